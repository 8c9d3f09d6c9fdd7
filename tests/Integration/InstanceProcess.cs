using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>An instance of the counting application as a process of its own (tests/Instance).</summary>
public sealed partial class InstanceProcess : IDisposable
{
    private const int SigKill = 9;
    private const int SigTerm = 15;
    private const int SigCont = 18;
    private const int SigStop = 19;

    private readonly Process _process;
    private readonly List<string> _lines = [];
    private readonly string _name;

    public InstanceProcess(CountTopics topics, string address, string name, string folder, params string[] more)
    {
        _name = name;
        string program = Path.Combine(AppContext.BaseDirectory, "KStreamSharp.Tests.Instance.dll");
        ProcessStartInfo start = new("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in (string[])
            [program, "--kafka", address, "--app", topics.App, "--input", topics.Input, "--output", topics.Output, "--instance", name, "--folder", folder, .. more])
        {
            start.ArgumentList.Add(argument);
        }

        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, line) => Heard(line.Data);
        _process.ErrorDataReceived += (_, line) => Heard(line.Data);
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public bool HasExited => _process.HasExited;

    public int ExitCode => _process.ExitCode;

    /// <summary>The records that this process has processed, by its last status line.</summary>
    public long Records => Status(1);

    public long Restored => Status(3);

    /// <summary>The shards that run here, by the last status line; null before the first.</summary>
    public string? Shards
    {
        get
        {
            lock (_lines)
            {
                return _lines.FindLast(line => line.StartsWith("status ", StringComparison.Ordinal))?.Split(' ')[4];
            }
        }
    }

    public bool Has(string line)
    {
        lock (_lines)
        {
            return _lines.Contains(line);
        }
    }

    public void Kill() => Signal(SigKill);

    public void Terminate() => Signal(SigTerm);

    public void Pause() => Signal(SigStop);

    public void Wake() => Signal(SigCont);

    /// <summary>Waits for the end; answers the exit code (137 after SIGKILL).</summary>
    public int AwaitExit(TimeSpan limit)
    {
        Assert.True(_process.WaitForExit(limit), $"{_name} has not ended within {limit}. {this}");
        _process.WaitForExit();
        return _process.ExitCode;
    }

    public void AssertAlive() => Assert.False(_process.HasExited, $"{_name} has ended. {this}");

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            Signal(SigKill);
            _process.WaitForExit(TimeSpan.FromSeconds(10));
        }

        _process.Dispose();
    }

    public override string ToString()
    {
        lock (_lines)
        {
            return $"{_name}: {string.Join(" | ", _lines.TakeLast(8))}";
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Send(int process, int signal);

    private void Signal(int signal) => Assert.True(_process.HasExited || Send(_process.Id, signal) == 0, $"signal {signal} could not be sent to {_name}");

    private long Status(int field)
    {
        lock (_lines)
        {
            string? status = _lines.FindLast(line => line.StartsWith("status ", StringComparison.Ordinal));
            return status is null ? 0 : long.Parse(status.Split(' ')[field], CultureInfo.InvariantCulture);
        }
    }

    private void Heard(string? line)
    {
        if (line is not null)
        {
            lock (_lines)
            {
                _lines.Add(line);
            }
        }
    }
}
