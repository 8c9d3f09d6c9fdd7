using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace KStreamSharp.Tests.Mutants;

/// <summary>
/// A copy of the tree with the tests built once. A mutant is the engine's assembly compiled anew and laid over theirs.
/// </summary>
internal sealed class Workbench(string tree, string folder)
{
    private const string Unit = "KStreamSharp.Tests.Unit";
    private const string Simulation = "KStreamSharp.Tests.Simulation";

    /// <summary>What the stage of the simulation plays anyway, or plays with another engine.</summary>
    private static readonly string[] Simulations = [$"{Unit[..^5]}.Runtime.SimulationTests.NothingIsLostOrDoubledWhateverHappens", $"{Unit[..^5]}.Runtime.SimulationTests.AWrongEngineIsFound"];

    private static readonly string[] NotCopied = [".git", "bin", "obj", "artifacts"];

    /// <summary>The time of day says little on a busy machine, so a hang is told by both.</summary>
    private static readonly TimeSpan ProcessorTimeMax = TimeSpan.FromMinutes(6);
    private static readonly TimeSpan TimeMax = TimeSpan.FromMinutes(20);
    private static readonly TimeSpan SimulationTimeMax = TimeSpan.FromHours(2);

    private string _compiler = "";

    private string Source => Path.Combine(folder, "src", "Streams");

    private string Responses => Path.Combine(folder, "engine.rsp");

    private string Assembly => Path.Combine(folder, "mutant", "KStreamSharp.dll");

    /// <summary>Copies the tree and builds the tests, unless an earlier run has left both, and asks MSBuild how the engine is compiled.</summary>
    public async Task PrepareAsync()
    {
        bool isKept = Directory.Exists(Bin("Unit"));
        if (!isKept)
        {
            Copy(new DirectoryInfo(tree), folder);
        }

        foreach (string project in isKept ? [] : new[] { "Unit", "Simulation" })
        {
            Output built = await RunAsync("dotnet", ["build", $"tests/{project}", "-c", "Release", "--nologo", "-v", "q", "-p:RunAnalyzers=false", "-p:UseSharedCompilation=false", "-nodeReuse:false"], folder, TimeMax, TimeMax);
            if (built.Code != 0)
            {
                throw new InvalidOperationException($"tests/{project} does not build:\n{built.Text}");
            }
        }

        Output asked = await RunAsync(
            "dotnet",
            [
                "msbuild", Source, "-nologo", "-nodeReuse:false", "-t:Compile", "-p:Configuration=Release", "-p:ProvideCommandLineArgs=true", "-p:SkipCompilerExecution=true",
                $"-p:IntermediateOutputPath={folder}/mutant/", "-p:RunAnalyzers=false", "-p:TreatWarningsAsErrors=false", "-p:GenerateDocumentationFile=false",
                "-getItem:CscCommandLineArgs", "-getProperty:RoslynTargetsPath",
            ],
            folder, TimeMax, TimeMax);
        using JsonDocument answer = JsonDocument.Parse(asked.Text);
        _compiler = Path.Combine(answer.RootElement.GetProperty("Properties").GetProperty("RoslynTargetsPath").GetString()!, "bincore", "csc.dll");
        string[] left = ["/out:", "/refout:", "/debug", "/analyzerconfig:", "/additionalfile:", "/embed:", "/noconfig", "/nowarn:"];
        File.WriteAllLines(
            Responses,
            answer.RootElement.GetProperty("Items").GetProperty("CscCommandLineArgs").EnumerateArray()
                .Select(item => item.GetProperty("Identity").GetString()!)
                .Where(argument => !left.Any(argument.StartsWith))
                .Where(argument => !argument.StartsWith("/analyzer:", StringComparison.Ordinal) || !Path.GetFileName(argument).Contains("CodeAnalysis", StringComparison.Ordinal))
                .Select(argument => argument.Contains(' ', StringComparison.Ordinal) && !argument.Contains('"', StringComparison.Ordinal) ? $"\"{argument}\"" : argument)
                .Append($"/out:\"{Assembly}\"")
                .Append("/nowarn:*"));
    }

    /// <summary>Compiles the engine with a mutant in it (null: as it is) and lays it over that of the tests.</summary>
    /// <returns>What the compiler says against it; null when it compiles.</returns>
    public async Task<string?> CompileAsync(Mutant? mutant)
    {
        string[] arguments = await File.ReadAllLinesAsync(Responses);
        if (mutant is not null)
        {
            // Beside its place, not in it: a run that is broken off leaves no mistake behind.
            string mutated = Path.Combine(folder, "mutant", Path.GetFileName(mutant.File));
            await File.WriteAllTextAsync(mutated, mutant.Apply(await File.ReadAllTextAsync(Path.Combine(Source, mutant.File))));
            arguments[Array.IndexOf(arguments, mutant.File)] = $"\"{mutated}\"";
        }

        string responses = Path.Combine(folder, "mutant", "engine.rsp");
        await File.WriteAllLinesAsync(responses, arguments);
        Output compiled = await RunAsync("dotnet", ["exec", _compiler, "/noconfig", "@" + responses], Source, TimeMax, TimeMax);
        if (compiled.Code != 0)
        {
            return compiled.Text;
        }

        foreach (string output in new[] { Bin("Unit"), Bin("Simulation") })
        {
            File.Copy(Assembly, Path.Combine(output, "KStreamSharp.dll"), overwrite: true);
        }

        return null;
    }

    /// <summary>Who found the mutant; null when nobody did.</summary>
    public async Task<string?> FindAsync(Mutant? mutant, int seeds, bool sideBySide)
    {
        if (!sideBySide)
        {
            return await TestAsync(mutant, CancellationToken.None) ?? await SimulateAsync(seeds, CancellationToken.None);
        }

        using CancellationTokenSource found = new();
        List<Task<string?>> running = [TestAsync(mutant, found.Token), SimulateAsync(seeds, found.Token)];
        string? finder = null;
        while (running.Count > 0)
        {
            Task<string?> ended = await Task.WhenAny(running);
            running.Remove(ended);
            if (finder is null && await ended is { } first)
            {
                finder = first;
                await found.CancelAsync();
            }
        }

        return finder;
    }

    /// <summary>Who found the mutant of some classes of unit tests: a quick look.</summary>
    public Task<string?> TestAsync(string[] classes, CancellationToken stop = default) => FilteredAsync([.. classes.SelectMany(tests => new[] { "-class", tests })], stop);

    /// <summary>The unit tests: first those that are near the mutant, since most are found by them.</summary>
    private async Task<string?> TestAsync(Mutant? mutant, CancellationToken stop)
    {
        string[] near = Near(mutant?.File ?? "");
        return (near.Length > 0 ? await TestAsync(near, stop) : null)
            ?? await FilteredAsync([.. near.SelectMany(tests => new[] { "-class-", tests })], stop);
    }

    private async Task<string?> FilteredAsync(string[] filter, CancellationToken stop)
    {
        HashSet<string> flaky = [];
        while (true)
        {
            Output tested = await RunTestsAsync([.. filter, .. Simulations.Concat(flaky).SelectMany(method => new[] { "-method-", method })], stop);
            if (tested.Code == 0 || stop.IsCancellationRequested)
            {
                return null;
            }

            if (tested.Hangs)
            {
                return $"hangs: the unit tests do not end ({tested.Last})";
            }

            string[] failed = Failed(tested);
            if (failed.Length == 0)
            {
                return $"the unit tests end with code {tested.Code}: {tested.Last}";
            }

            // Once more alone: what fails now and then, on a busy machine, or because the run was broken off, has found nothing.
            string[] methods = [.. failed.Select(name => name.Split('(')[0]).Distinct()];
            Output again = await RunTestsAsync([.. methods.SelectMany(method => new[] { "-method", method })], stop);
            if (again.Code != 0)
            {
                return again.Hangs ? $"hangs: {methods[0]}" : Failed(again).FirstOrDefault()?[(Unit.Length - 4)..] ?? $"the unit tests end with code {again.Code}: {again.Last}";
            }

            Console.WriteLine($"  failed, and passed when run again, so left out for this mutant: {string.Join(", ", methods)}");
            flaky.UnionWith(methods);
        }
    }

    private static string[] Failed(Output tested) => [.. Regex.Matches(tested.Text, @"^\s+(KStreamSharp\.\S+?(\(.*)?) \[FAIL\]", RegexOptions.Multiline).Select(match => match.Groups[1].Value)];

    private Task<Output> RunTestsAsync(string[] options, CancellationToken stop) =>
        RunAsync(Path.Combine(Bin("Unit"), Unit), ["-noLogo", "-noColor", "-stopOnFail", .. options], Bin("Unit"), TimeMax, ProcessorTimeMax, stop: stop);

    private async Task<string?> SimulateAsync(int seeds, CancellationToken stop)
    {
        if (seeds == 0)
        {
            return null;
        }

        // The first breach is enough: it would go on to look for the shortest list of events.
        Output simulated = await RunAsync(
            Path.Combine(Bin("Simulation"), Simulation), ["--seeds", $"{seeds}"], Bin("Simulation"), SimulationTimeMax, SimulationTimeMax, line => Regex.IsMatch(line, @"^seed \d+, \w+: "), stop);
        return simulated.Code == 0 || stop.IsCancellationRequested ? null
            : simulated.Hangs ? "hangs: the simulation does not end"
            : $"simulation, {simulated.Last}";
    }

    /// <summary>The classes of the unit tests that are most likely to find a mutant in a file.</summary>
    public static string[] Near(string file) => file.Split('/') switch
    {
        ["State" or "Operators", ..] =>
            ["*.SmallMistakeTests", "*.StatefulTests", "*.FinalTests", "*.RecordTests", "*.JoinTests", "*.CollectTests", "*.StatelessTests", "*.DescriptionTests", "*.LongTurnTests", "*.StateThatIsPutOutTests", $"{Unit[..^5]}.State.*"],
        ["Recovery", ..] => [$"{Unit[..^5]}.Recovery.*", "*.RestartTests", "*.ShardLifeTests"],
        ["Runtime", ..] =>
            ["*.SmallMistakeTests", "*.ShardLifeTests", "*.FlowDriverTests", "*.RestartTests", "*.AtLeastOnceTests", "*.PartitioningTests", "*.StreamEngineTests", "*.FinalTests", "*.LongTurnTests", "*.FiniteBesideEndlessTests"],
        ["Flow", ..] => ["*.TimestampRangeTests", "*.SmallMistakeTests", "*.RecordTests"],
        ["Broker", "Kafka", ..] => ["*.Kafka*"],
        ["Broker", ..] => ["*.Embedded*", "*.GroupNews*", "*.Murmur2*"],
        _ => [],
    };

    private string Bin(string project) => Path.Combine(folder, "tests", project, "bin", "Release", "net10.0");

    private static void Copy(DirectoryInfo from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (FileInfo file in from.EnumerateFiles())
        {
            file.CopyTo(Path.Combine(to, file.Name), overwrite: true);
        }

        foreach (DirectoryInfo below in from.EnumerateDirectories().Where(below => !NotCopied.Contains(below.Name)))
        {
            Copy(below, Path.Combine(to, below.Name));
        }
    }

    private async Task<Output> RunAsync(
        string program, string[] arguments, string workingFolder, TimeSpan timeMax, TimeSpan processorTimeMax, Func<string, bool>? isEnough = null, CancellationToken stop = default)
    {
        string temporary = Directory.CreateDirectory(Path.Combine(folder, "tmp", Guid.NewGuid().ToString("N")[..8])).FullName;
        ProcessStartInfo start = new(program, arguments) { WorkingDirectory = workingFolder, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["TMPDIR"] = temporary;
        start.Environment["DOTNET_TieredPGO"] = "0";
        using Process process = Process.Start(start)!;
        List<string> lines = [];
        TaskCompletionSource enough = new();
        Task[] reading = [ReadAsync(process.StandardOutput), ReadAsync(process.StandardError)];
        Task ended = process.WaitForExitAsync(CancellationToken.None);
        Stopwatch watch = Stopwatch.StartNew();
        bool hangs = false;
        while (!ended.IsCompleted && !enough.Task.IsCompleted && !stop.IsCancellationRequested && !hangs)
        {
            await Task.WhenAny(ended, enough.Task, Task.Delay(500, CancellationToken.None));
            hangs = !ended.IsCompleted && (watch.Elapsed > timeMax || ProcessorTime() > processorTimeMax);
        }

        if (!ended.IsCompleted)
        {
            process.Kill(entireProcessTree: true);
            await ended;
        }

        await Task.WhenAll(reading);
        Directory.Delete(temporary, recursive: true);
        return new(enough.Task.IsCompleted || hangs ? 1 : process.ExitCode, hangs, lines);

        TimeSpan ProcessorTime()
        {
            try
            {
                return process.TotalProcessorTime;
            }
            catch (InvalidOperationException)
            {
                // It has ended just now.
                return TimeSpan.Zero;
            }
        }

        async Task ReadAsync(StreamReader from)
        {
            while (await from.ReadLineAsync() is { } line)
            {
                lock (lines)
                {
                    if (!enough.Task.IsCompleted)
                    {
                        lines.Add(line);
                    }

                    if (isEnough?.Invoke(line) == true)
                    {
                        enough.TrySetResult();
                    }
                }
            }
        }
    }

    private sealed record Output(int Code, bool Hangs, IReadOnlyList<string> Lines)
    {
        public string Text => string.Join('\n', Lines);

        /// <summary>The last line that says something, short enough for a table.</summary>
        public string Last => Lines.LastOrDefault(line => line.Trim().Length > 0)?.Trim() is { } line ? line[..Math.Min(line.Length, 160)] : "no output";
    }
}
