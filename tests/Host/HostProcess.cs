using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace KStreamSharp.Tests;

/// <summary>The host as a user starts it: a process of its own, in a folder of its own.</summary>
internal sealed partial class HostProcess : IDisposable
{
    private const int SigTerm = 15;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "KStreamSharp.Host.dll");

    private readonly Process _process;
    private readonly Lock _gate = new();
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _errors = new();
    private readonly List<(string Part, TaskCompletionSource<string> Seen)> _awaited = [];

    private HostProcess(ProcessStartInfo start)
    {
        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, line) => Take(_output, line.Data);
        _process.ErrorDataReceived += (_, line) => Take(_errors, line.Data);
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public int Id => _process.Id;

    public string Output => Text(_output);

    public string Errors => Text(_errors);

    public static HostProcess Start(string folder, string arguments, params (string Name, string Value)[] environment)
    {
        ProcessStartInfo start = new("dotnet", [Program, .. arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries)])
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        return new HostProcess(start);
    }

    /// <summary>One that may have no more than so many files open.</summary>
    public static HostProcess StartWithFiles(string folder, int files, string arguments) => new(
        new ProcessStartInfo("bash", ["-c", $"ulimit -n {files}; exec dotnet {Program} {arguments}"]) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true });

    /// <summary>Waits for a line of the output that contains a text, also one that has come already.</summary>
    public async Task<string> LineAsync(string part)
    {
        TaskCompletionSource<string> seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_output.ToString().Split('\n').FirstOrDefault(line => line.Contains(part, StringComparison.Ordinal)) is { } old)
            {
                return old;
            }

            _awaited.Add((part, seen));
        }

        if (await Task.WhenAny(seen.Task, _process.WaitForExitAsync()).WaitAsync(Patience) != seen.Task && !seen.Task.IsCompleted)
        {
            throw new InvalidOperationException($"The host has ended ({_process.ExitCode}) without '{part}'. It said:\n{Output}\n{Errors}");
        }

        return await seen.Task;
    }

    public void Kill() => _process.Kill();

    /// <summary>Asks for the orderly end, as a container's stop does.</summary>
    public void Terminate() => _ = SendSignal(_process.Id, SigTerm);

    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(Patience);
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            _process.WaitForExit();
        }

        _process.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);

    private string Text(StringBuilder builder)
    {
        lock (_gate)
        {
            return builder.ToString();
        }
    }

    private void Take(StringBuilder builder, string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (_gate)
        {
            builder.Append(line).Append('\n');
            if (builder == _output)
            {
                foreach ((string _, TaskCompletionSource<string> seen) in _awaited.Where(one => line.Contains(one.Part, StringComparison.Ordinal)))
                {
                    seen.TrySetResult(line);
                }
            }
        }
    }
}
