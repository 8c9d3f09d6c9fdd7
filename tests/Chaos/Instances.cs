using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace KStreamSharp.Tests.Chaos;

/// <summary>An application under test: a flow of the host over the common input, shared by some instances.</summary>
internal sealed class Application
{
    public required string Id { get; init; }

    /// <summary>count, rekey-count or copy.</summary>
    public required string Flow { get; init; }

    public required Guarantee Guarantee { get; init; }

    /// <summary>classic or consumer.</summary>
    public required string Protocol { get; init; }

    public required string Input { get; init; }

    public required int Partitions { get; init; }

    public List<HostInstance> Instances { get; } = [];

    public string Output => $"{Id}-out";

    public string Changelog => InternalTopics.Changelog(Id);

    public string? Repartition => Flow == "rekey-count" ? $"{Id}-by-new-key.repartition" : null;

    /// <summary>What it reads.</summary>
    public IReadOnlyList<string> Sources => Repartition is null ? [Input] : [Input, Repartition];

    /// <summary>All topics that its transactions write to.</summary>
    public IEnumerable<string> Written => Repartition is null ? [Output, Changelog, InternalTopics.Shards(Id)] : [Output, Changelog, InternalTopics.Shards(Id), Repartition];

    /// <summary>The folder of its snapshots; null when it takes none.</summary>
    public string? Snapshots { get; init; }

    /// <summary>The changelog does not begin at 0 any more, and there are no snapshots: a folder that is lost is lost.</summary>
    public bool NeedsFolders { get; set; }

    /// <summary>The changelog does not begin at 0 any more: a snapshot that is lost may be lost.</summary>
    public bool NeedsSnapshots { get; set; }

    /// <summary>A byte of an object in its snapshot store was changed.</summary>
    public bool HasDamagedSnapshots { get; set; }

    public override string ToString() => $"{Flow} ({(Guarantee == Guarantee.ExactlyOnce ? "exactly-once" : "at-least-once")}, {Protocol}{(Snapshots is null ? "" : ", snapshots")})";
}

/// <summary>How one instance is set up.</summary>
/// <param name="CommitInterval">How often it commits.</param>
/// <param name="TransactionTimeout">When the broker aborts what it left open.</param>
/// <param name="SessionTimeout">When the group gives it up; under the consumer protocol the broker's own.</param>
/// <param name="HasOwnId">Whether it has an id of its own: a static member in the classic protocol, which does not leave the group when it stops.</param>
/// <param name="Workers">Its worker threads.</param>
internal sealed record Tuning(TimeSpan CommitInterval, TimeSpan TransactionTimeout, TimeSpan SessionTimeout, bool HasOwnId, int Workers);

/// <summary>A line of an instance's log.</summary>
internal sealed record LogLine(DateTime At, string Level, int Id, string Text, int Life);

/// <summary>One process of an instance, from its start to its end.</summary>
internal sealed class Life
{
    public required int Number { get; init; }

    public required Process Process { get; init; }

    public required DateTime Started { get; init; }

    public DateTime? Ended { get; set; }

    public int? ExitCode { get; set; }

    /// <summary>This program killed it or asked it to end, or knows that it will refuse to start.</summary>
    public bool IsMeantToEnd { get; set; }

    public DateTime? AskedToEnd { get; set; }

    /// <summary>The last line that is no line of the log: why it ended, for a person.</summary>
    public string LastWords { get; set; } = "";
}

/// <summary>Memory and open files of an instance at a moment.</summary>
internal sealed record Sample(DateTime At, int Life, long ResidentBytes, int Handles);

/// <summary>An instance of the host, in one process after another over the same folder.</summary>
internal sealed partial class HostInstance : IDisposable
{
    private const int SigKill = 9;
    private const int SigTerm = 15;
    private const int SigCont = 18;
    private const int SigStop = 19;

    private readonly Lock _gate = new();
    private readonly List<LogLine> _lines = [];
    private readonly List<Life> _lives = [];
    private readonly List<Sample> _samples = [];
    private readonly StreamWriter _file;
    private DateTime _lastSample;

    public HostInstance(Application app, int slot, Tuning tuning, string runFolder)
    {
        App = app;
        Tuning = tuning;
        Name = $"{app.Flow}{(app.Guarantee == Guarantee.ExactlyOnce ? "" : "-alo")}.{slot}";
        StateDir = Path.Combine(runFolder, Name);
        Slow = Path.Combine(runFolder, $"{Name}.slow");
        HealthAddress = string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{Toxiproxy.LastingPort()}");
        Directory.CreateDirectory(Path.Combine(runFolder, "logs"));
        _file = new StreamWriter(Path.Combine(runFolder, "logs", $"{Name}.log")) { AutoFlush = true };
    }

    public Application App { get; }

    public Tuning Tuning { get; }

    public string Name { get; }

    public string StateDir { get; }

    public string AppFolder => Path.Combine(StateDir, App.Id);

    /// <summary>Where it says how it is.</summary>
    public string HealthAddress { get; }

    /// <summary>The file that makes its step slow, if its flow has one that can be.</summary>
    public string Slow { get; }

    public bool CanBeSlow => App.Flow == "count";

    /// <summary>Where it finds the broker.</summary>
    public string Address { get; set; } = "";

    /// <summary>Held by a fault that starts and ends its processes or touches its folder.</summary>
    public SemaphoreSlim ProcessLock { get; } = new(1);

    /// <summary>Held by a fault of its connections.</summary>
    public SemaphoreSlim NetworkLock { get; } = new(1);

    /// <summary>The times at which a byte of its folder was changed.</summary>
    public List<DateTime> DamagedAt { get; } = [];

    /// <summary>The last time at which its folder was replaced by a good one.</summary>
    public DateTime HealedAt { get; set; }

    /// <summary>Its folder is damaged, and it has not noticed yet.</summary>
    public bool IsDamaged => DamagedAt.Exists(at => at > HealedAt && !Lines.Any(line => line.Id == 306 && line.At > at));

    /// <summary>The times at which its folder was replaced by something older, deleted or damaged: positions may go back there.</summary>
    public List<DateTime> FolderTouched { get; } = [];

    /// <summary>The ids under which it has been a member and a writer.</summary>
    public HashSet<string> Ids { get; } = [];

    public Life? Current { get; private set; }

    public bool IsUp => Current is { Ended: null };

    public IReadOnlyList<LogLine> Lines
    {
        get
        {
            lock (_gate)
            {
                return [.. _lines];
            }
        }
    }

    public IReadOnlyList<Life> Lives
    {
        get
        {
            lock (_gate)
            {
                return [.. _lives];
            }
        }
    }

    public IReadOnlyList<Sample> Samples
    {
        get
        {
            lock (_gate)
            {
                return [.. _samples];
            }
        }
    }

    public void Start(bool willRefuse = false)
    {
        if (IsUp)
        {
            throw new InvalidOperationException($"{Name} runs already.");
        }

        List<string> arguments =
        [
            .. CanBeSlow ? [Path.Combine(AppContext.BaseDirectory, "KStreamSharp.Tests.Chaos.dll"), "host"] : new[] { Path.Combine(AppContext.BaseDirectory, "KStreamSharp.Host.dll") },
            "run", App.Flow,
            "--kafka", Address,
            "--app-id", App.Id,
            "--input", App.Input,
            "--output", App.Output,
            "--state-dir", StateDir,
            "--guarantee", App.Guarantee == Guarantee.ExactlyOnce ? "exactly-once" : "at-least-once",
            "--group-protocol", App.Protocol,
            "--commit-interval", Milliseconds(Tuning.CommitInterval),
            "--transaction-timeout", Milliseconds(Tuning.TransactionTimeout),
            "--session-timeout", Milliseconds(Tuning.SessionTimeout),
            "--workers", Tuning.Workers.ToString(CultureInfo.InvariantCulture),
            "--http", HealthAddress,
            "--log-level", "information",
        ];
        if (CanBeSlow)
        {
            arguments.AddRange(["--slow", Slow]);
        }

        if (App.Snapshots is not null)
        {
            arguments.AddRange(["--snapshots", App.Snapshots, "--snapshot-interval", "10s", "--snapshots-kept", "2"]);
        }

        if (Tuning.HasOwnId)
        {
            arguments.AddRange(["--instance-id", Name]);
        }

        ProcessStartInfo start = new("dotnet", arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        Process process = new() { StartInfo = start, EnableRaisingEvents = true };
        Life life;
        lock (_gate)
        {
            life = new Life { Number = _lives.Count, Process = process, Started = DateTime.UtcNow, IsMeantToEnd = willRefuse };
            _lives.Add(life);
            _file.WriteLine($"--- process {life.Number}: {string.Join(' ', arguments.Skip(1))}");
        }

        process.OutputDataReceived += (_, line) => Take(life, line.Data);
        process.ErrorDataReceived += (_, line) => Take(life, line.Data);
        process.Exited += (_, _) => End(life);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        Current = life;
    }

    /// <summary>kill -9; returns its exit code when it is gone, or null if it was gone before.</summary>
    public async Task<int?> KillAsync()
    {
        if (Current is not { Ended: null } life)
        {
            return null;
        }

        life.IsMeantToEnd = true;
        _ = SendSignal(life.Process.Id, SigKill);
        return await ExitAsync(TimeSpan.FromSeconds(20));
    }

    /// <summary>Asks for the orderly end, and waits for it.</summary>
    /// <returns>The exit code; null when it did not end in time, and was killed.</returns>
    public async Task<int?> TerminateAsync(TimeSpan limit)
    {
        if (Current is not { Ended: null } life)
        {
            return null;
        }

        life.IsMeantToEnd = true;
        life.AskedToEnd = DateTime.UtcNow;
        _ = SendSignal(life.Process.Id, SigTerm);
        int? code = await ExitAsync(limit);
        if (code is null)
        {
            await KillAsync();
        }

        return code;
    }

    /// <summary>SIGSTOP; true when the system says that the process is stopped.</summary>
    public async Task<bool> PauseAsync()
    {
        if (Current is not { Ended: null } life)
        {
            return false;
        }

        _ = SendSignal(life.Process.Id, SigStop);
        for (int i = 0; i < 100 && !life.Process.HasExited; i++)
        {
            if (StateOf(life.Process.Id) == 'T')
            {
                return true;
            }

            await Task.Delay(20);
        }

        return false;
    }

    public void Wake()
    {
        if (Current is { Ended: null } life)
        {
            _ = SendSignal(life.Process.Id, SigCont);
        }
    }

    /// <summary>The exit code, or null when the limit has passed.</summary>
    public async Task<int?> ExitAsync(TimeSpan limit)
    {
        Life life = Current!;
        long began = Stopwatch.GetTimestamp();
        while (life.Ended is null)
        {
            if (Stopwatch.GetElapsedTime(began) > limit)
            {
                return null;
            }

            await Task.Delay(20);
        }

        return life.ExitCode;
    }

    /// <summary>The first line of the current process that fits, or null when the limit has passed or the process has ended.</summary>
    public async Task<LogLine?> LineAsync(Func<LogLine, bool> fits, TimeSpan limit, CancellationToken stop)
    {
        Life life = Current!;
        long began = Stopwatch.GetTimestamp();
        while (true)
        {
            lock (_gate)
            {
                if (_lines.Find(line => line.Life == life.Number && fits(line)) is { } found)
                {
                    return found;
                }
            }

            if (life.Ended is not null || Stopwatch.GetElapsedTime(began) > limit)
            {
                return null;
            }

            await Task.Delay(10, stop);
        }
    }

    /// <summary>Notes its memory and open files every five seconds.</summary>
    public void Measure()
    {
        DateTime now = DateTime.UtcNow;
        if (Current is not { Ended: null } life || now - _lastSample < TimeSpan.FromSeconds(5))
        {
            return;
        }

        _lastSample = now;
        try
        {
            string[] pages = File.ReadAllText($"/proc/{life.Process.Id}/statm").Split(' ');
            int handles = Directory.GetFileSystemEntries($"/proc/{life.Process.Id}/fd").Length;
            lock (_gate)
            {
                _samples.Add(new(now, life.Number, long.Parse(pages[1], CultureInfo.InvariantCulture) * Environment.SystemPageSize, handles));
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It has just ended.
        }
    }

    public void DeleteFolder()
    {
        FolderTouched.Add(DateTime.UtcNow);
        HealedAt = DateTime.UtcNow;
        if (Directory.Exists(StateDir))
        {
            Directory.Delete(StateDir, recursive: true);
        }
    }

    public void Dispose()
    {
        if (Current is { Ended: null } life)
        {
            life.IsMeantToEnd = true;
            _ = SendSignal(life.Process.Id, SigKill);
            life.Process.WaitForExit();
        }

        lock (_gate)
        {
            _file.Dispose();
        }
    }

    public override string ToString() => Name;

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);

    [GeneratedRegex(@"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})Z (\w+) \[(\d+)\] (.*)$")]
    private static partial Regex LogForm();

    [GeneratedRegex("^Instance (\\S+) of ")]
    private static partial Regex StartsForm();

    private static string Milliseconds(TimeSpan time) => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0}ms");

    /// <summary>The state of a process as the system tells it: T is stopped.</summary>
    private static char StateOf(int process)
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{process}/stat");
            return stat[stat.LastIndexOf(')') + 2];
        }
        catch (IOException)
        {
            return '?';
        }
    }

    private void End(Life life)
    {
        // Not before its last line has been read.
        life.Process.WaitForExit();
        life.ExitCode = life.Process.ExitCode;
        life.Ended = DateTime.UtcNow;
        Note($"--- process {life.Number} has ended: {life.ExitCode}");
    }

    private void Note(string line)
    {
        lock (_gate)
        {
            if (_file.BaseStream is { CanWrite: true })
            {
                _file.WriteLine(line);
            }
        }
    }

    private void Take(Life life, string? text)
    {
        if (string.IsNullOrEmpty(text))
        {
            return;
        }

        Note(text);
        Match match = LogForm().Match(text);
        if (!match.Success)
        {
            life.LastWords = text;
            return;
        }

        DateTime at = DateTime.SpecifyKind(DateTime.ParseExact(match.Groups[1].Value, "yyyy-MM-dd HH:mm:ss.fff", CultureInfo.InvariantCulture), DateTimeKind.Utc);
        LogLine line = new(at, match.Groups[2].Value, int.Parse(match.Groups[3].Value, CultureInfo.InvariantCulture), match.Groups[4].Value, life.Number);
        lock (_gate)
        {
            _lines.Add(line);
            if (line.Id == 100 && StartsForm().Match(line.Text) is { Success: true } starts)
            {
                Ids.Add(starts.Groups[1].Value);
            }
        }
    }
}
