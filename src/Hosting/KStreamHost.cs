using System.CommandLine;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>
/// A whole service in one call: the commands <c>run FLOW</c> and <c>describe FLOW</c>, options from command line, environment
/// and configuration file, signals, exit codes (<see cref="ExitCode"/>).
/// </summary>
public static class KStreamHost
{
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(20);

    /// <summary>Runs the command line until the flow has ended or a signal asks for the end.</summary>
    /// <param name="args">The command line; without any word, the first flow is run.</param>
    /// <param name="configure">Adds the flows.</param>
    /// <returns>The exit code.</returns>
    public static Task<int> RunAsync(string[] args, Action<KStreamHostBuilder> configure) => RunAsync(args, configure, Console.Out, Console.Error);

    internal static async Task<int> RunAsync(string[] args, Action<KStreamHostBuilder> configure, TextWriter output, TextWriter errors)
    {
        ArgumentNullException.ThrowIfNull(args);
        ArgumentNullException.ThrowIfNull(configure);
        try
        {
            KStreamHostBuilder builder = new();
            configure(builder);
            IReadOnlyList<IFlow> flows = builder.Build();
            RootCommand root = Commands(flows, output);
            ParseResult parsed = root.Parse(args.Length == 0 ? ["run", flows[0].Id] : args);
            if (parsed.Errors.Count > 0)
            {
                errors.WriteLine($"{parsed.Errors[0].Message} See --help.");
                return (int)ExitCode.Usage;
            }

            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null, Output = output, Error = errors });
        }
        catch (StreamException error)
        {
            errors.WriteLine(error.Message);
            return (int)error.Code;
        }
        catch (Exception error) when (error is FlowException or UsageException)
        {
            errors.WriteLine(error.Message);
            return (int)ExitCode.Usage;
        }
        catch (Exception error)
        {
            errors.WriteLine($"Unexpected: {error}");
            return (int)ExitCode.Internal;
        }
    }

    private static RootCommand Commands(IReadOnlyList<IFlow> flows, TextWriter output)
    {
        RootCommand root = new("A KStreamSharp service.");
        Command run = new("run", "Runs a flow until it is stopped, or with --until-end to the end of its inputs.");
        Command describe = new("describe", "Shows the steps, topics and states of a flow.");
        Option<string> format = new("--format") { Description = "text, json or mermaid", DefaultValueFactory = _ => "text" };
        format.AcceptOnlyFromAmong("text", "json", "mermaid");
        foreach (IFlow flow in flows)
        {
            HostSettings settings = new();
            Option<string?> report = new("--report") { Description = "json: end standard output with one line of figures" };
            report.AcceptOnlyFromAmong("json");
            Command runFlow = new(flow.Id, flow.Summary) { report };
            Command describeFlow = new(flow.Id, flow.Summary) { format };
            foreach (Option option in settings.Options)
            {
                runFlow.Options.Add(option);
                describeFlow.Options.Add(option);
            }

            foreach (Option option in flow.Options)
            {
                runFlow.Options.Add(option);
                describeFlow.Options.Add(option);
            }

            runFlow.SetAction((parsed, _) => RunFlowAsync(flow, settings, parsed, parsed.GetValue(report) is not null, output));
            describeFlow.SetAction(parsed => output.Write(Describe(flow, settings, parsed, parsed.GetValue(format)!)));
            run.Subcommands.Add(runFlow);
            describe.Subcommands.Add(describeFlow);
        }

        root.Subcommands.Add(run);
        root.Subcommands.Add(describe);
        return root;
    }

    private static string Describe(IFlow flow, HostSettings settings, ParseResult parsed, string format)
    {
        FlowArguments arguments = new(parsed, settings.Read(parsed, Configuration()));
        FlowDescription description = flow.Build(arguments).Describe(arguments.Options.AppId ?? flow.AppId(arguments));
        return format switch
        {
            "json" => description.ToJson() + "\n",
            "mermaid" => description.ToMermaid(),
            _ => description.ToText(),
        };
    }

    private static async Task<int> RunFlowAsync(IFlow flow, HostSettings settings, ParseResult parsed, bool report, TextWriter output)
    {
        StreamOptions options = settings.Read(parsed, Configuration());
        FlowArguments given = new(parsed, options);
        options = options with { AppId = options.AppId ?? flow.AppId(given) };
        options.Check();
        FlowArguments arguments = new(parsed, options);
        Dataflow dataflow = flow.Build(arguments);

        using ILoggerFactory logging = LoggerFactory.Create(builder => builder
            .SetMinimumLevel(LogLevel.Warning)
            .AddSimpleConsole(console => console.SingleLine = true)
            .AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace));
        using CancellationTokenSource stopping = new();
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => Stop(signal, stopping, 143));
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => Stop(signal, stopping, 130));

        using EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(options.StateDir, "broker"));
        StreamEngine? engine = null;
        FlowRun run = new(arguments, broker, output, () => engine?.Status ?? Idle);
        await flow.PrepareAsync(run, stopping.Token);
        MakeTopics(dataflow, broker, options);

        using CancellationTokenSource ending = CancellationTokenSource.CreateLinkedTokenSource(stopping.Token);
        TimeSpan cpuBefore = Process.GetCurrentProcess().TotalProcessorTime;
        engine = new StreamEngine(dataflow, broker, options, logging);
        Task accompany = flow.AccompanyAsync(run, ending.Token);
        Task running = engine.RunAsync(stopping.Token);
        try
        {
            if (await Task.WhenAny(running, accompany) == accompany)
            {
                await accompany;
            }

            await Bounded(running, stopping.Token);
        }
        finally
        {
            await ending.CancelAsync();
            await Quietly(accompany);
        }

        await flow.FinishAsync(run);
        if (report)
        {
            output.WriteLine(Report(flow.Id, options, engine.Status, Process.GetCurrentProcess().TotalProcessorTime - cpuBefore, done: options.UntilEnd && !stopping.IsCancellationRequested));
        }

        engine.Dispose();
        return (int)ExitCode.Ok;
    }

    private static EngineStatus Idle { get; } = new()
    {
        RecordsIn = 0,
        RecordsOut = 0,
        RecordsSkipped = 0,
        Commits = 0,
        RecordsRestored = 0,
        RestoreTime = TimeSpan.Zero,
        ProcessingTime = TimeSpan.Zero,
        ShardCount = 0,
        Shards = [],
    };

    /// <summary>A first signal asks for the orderly end, a second one ends at once.</summary>
    private static void Stop(PosixSignalContext signal, CancellationTokenSource stopping, int code)
    {
        signal.Cancel = true;
        if (stopping.IsCancellationRequested)
        {
            Environment.Exit(code);
        }

        stopping.Cancel();
    }

    private static async Task Bounded(Task running, CancellationToken stop)
    {
        TaskCompletionSource stopped = new();
        using CancellationTokenRegistration registration = stop.Register(stopped.SetResult);
        if (await Task.WhenAny(running, stopped.Task) == running)
        {
            await running;
            return;
        }

        try
        {
            await running.WaitAsync(StopPatience, CancellationToken.None);
        }
        catch (TimeoutException error)
        {
            throw new StreamException(ExitCode.Stalled, $"The instance did not end within {StopPatience.TotalSeconds:0} s of the signal; what was not committed is done again at the next start.", error);
        }
    }

    private static async Task Quietly(Task task)
    {
        try
        {
            await task;
        }
        catch (OperationCanceledException)
        {
            // It was asked to end.
        }
    }

    /// <summary>On the embedded broker missing topics are made: there is no one else to make them.</summary>
    private static void MakeTopics(Dataflow flow, EmbeddedBroker broker, StreamOptions options)
    {
        int partitions = options.Shards ?? flow.Describe().Steps.Where(step => step.Operator == "input").Max(step => broker.PartitionCount(step.Topic!)) ?? 1;
        foreach (StepDescription step in flow.Describe().Steps.Where(step => step is { Topic: not null, Operator: "input" or "output" }))
        {
            broker.CreateTopic(step.Topic!, partitions);
        }
    }

    private static string Report(string workload, StreamOptions options, EngineStatus status, TimeSpan cpu, bool done)
    {
        double seconds = status.ProcessingTime.TotalSeconds;
        return JsonSerializer.Serialize(new Dictionary<string, object>
        {
            ["system"] = "kstreamsharp",
            ["workload"] = workload,
            ["guarantee"] = options.Guarantee == Guarantee.ExactlyOnce ? "exactly-once" : "at-least-once",
            ["done"] = done,
            ["records"] = status.RecordsIn,
            ["seconds"] = Math.Round(seconds, 3),
            ["records_per_s"] = seconds > 0 ? Math.Round(status.RecordsIn / seconds) : 0,
            ["cpu_s_per_million"] = status.RecordsIn > 0 ? Math.Round(cpu.TotalSeconds / status.RecordsIn * 1e6, 2) : 0,
            ["rss_mb"] = Process.GetCurrentProcess().PeakWorkingSet64 >> 20,
            ["restored"] = status.RecordsRestored,
            ["restore_s"] = Math.Round(status.RestoreTime.TotalSeconds, 3),
        });
    }

    private static IConfigurationRoot Configuration()
    {
        try
        {
            return new ConfigurationBuilder()
                .SetBasePath(AppContext.BaseDirectory)
                .AddJsonFile("appsettings.json", optional: true)
                .AddJsonFile(Path.Combine(Directory.GetCurrentDirectory(), "appsettings.json"), optional: true)
                .AddEnvironmentVariables()
                .Build();
        }
        catch (InvalidDataException error)
        {
            throw new UsageException($"{error.Message} {error.InnerException?.Message}".TrimEnd(), error);
        }
    }
}
