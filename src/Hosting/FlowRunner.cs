using System.CommandLine;
using System.Net;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>One run of one flow: prepare, run the engine with what accompanies it, finish, report.</summary>
internal sealed class FlowRunner(IFlow flow, IReadOnlyDictionary<string, Func<Uri, ISnapshotStore>> stores, TextWriter output, HostLog log, ILoggerFactory logging)
{
    /// <summary>How long a start says nothing of a broker that does not answer.</summary>
    private static readonly TimeSpan SilentFor = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(20);

    /// <summary>What of it is not for the last snapshots; more time for them is more time for the end.</summary>
    private static readonly TimeSpan StopPatienceBesideSnapshots = TimeSpan.FromSeconds(15);

    /// <exception cref="UsageException">The user made a mistake.</exception>
    /// <exception cref="StreamException">The engine cannot go on.</exception>
    public async Task RunAsync(ParseResult parsed, HostOptions host, bool report)
    {
        log.Settings = host.Log;
        OpenFiles.Check();
        StreamOptions options = host.Stream with { AppId = new FlowArguments(parsed, host.Stream).AppOf(flow), Snapshots = host.Snapshots.Open(stores) };
        host.Check(options);
        FlowArguments arguments = new(parsed, options);
        Dataflow dataflow = flow.Build(arguments);
        if (flow.BeginsAnew(arguments))
        {
            LocalFolder.Empty(host);
        }

        using StopSignals signals = new();
        Broker broker = BrokerCalls.Open(host, logging);
        using IDisposable closing = (IDisposable)broker;
        if (!await BeginAsync(dataflow, broker, host, options, signals.Token))
        {
            return;
        }

        await using BrokerPipe? pipe = BrokerPipe.Serve(broker, logging.CreateLogger("KStreamSharp"));
        using StreamEngine engine = new(dataflow, broker, options, logging) { AsksToLeave = ScaleIn.Question(host.StatefulSet, options, logging) };
        FlowRun run = new(arguments, dataflow, broker, output, log, () => engine.Status);
        CpuMeter cpu = new(() => engine.Status);
        using HostTelemetry telemetry = new(options.AppId!, options, hasPage: host.Http is not null, exports: true);
        await using StatusServer? server = await ServeAsync(host.Http, dataflow, options, engine, telemetry);
        try
        {
            await flow.PrepareAsync(run, signals.Token);
            await RunAsync(engine, run, signals, report ? cpu : null, PatienceOf(options));
        }
        catch (OperationCanceledException) when (signals.Token.IsCancellationRequested)
        {
            // Asked to end before the engine was started.
        }

        run.IsDone = options.UntilEnd && !signals.Token.IsCancellationRequested;
        await flow.FinishAsync(run);
        if (report)
        {
            output.WriteLine(RunReport.Json(flow.Id, options, engine.Status, cpu.Used, run.IsDone));
        }
    }

    /// <summary>Until the broker has answered and the first line is told; false when the end was asked for before.</summary>
    private async Task<bool> BeginAsync(Dataflow dataflow, Broker broker, HostOptions host, StreamOptions options, CancellationToken stop)
    {
        try
        {
            Task answer = BrokerCalls.AwaitAnswerAsync(broker, dataflow, stop);
            if (await Task.WhenAny(answer, Task.Delay(SilentFor, CancellationToken.None)) != answer && host.Kafka is { } kafka)
            {
                output.WriteLine($"Kafka at {kafka.BootstrapServers} has not answered yet; the start waits for it (--broker-wait TIME, Ctrl-C ends)");
            }

            await answer;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            output.WriteLine("Ended before the broker answered.");
            return false;
        }

        if (broker is EmbeddedBroker || host.CreateTopics)
        {
            FlowTopics.Make(dataflow, broker, options);
        }

        output.WriteLine(FlowTopics.StartLine(dataflow, broker, options));
        if (MemoryBudget.OfProcess(options, host.Kafka is not null) is { } memory)
        {
            output.WriteLine(memory.Line);
            if (memory.Warning is { } warning)
            {
                output.WriteLine(warning);
            }
        }

        return true;
    }

    private async Task<StatusServer?> ServeAsync(IPEndPoint? endpoint, Dataflow dataflow, StreamOptions options, StreamEngine engine, HostTelemetry telemetry)
    {
        if (endpoint is null)
        {
            return null;
        }

        StatusServer server = await StatusServer.StartAsync(endpoint, new RunHealth(dataflow.Id, options, () => engine.Status, TimeProvider.System), telemetry);
        output.WriteLine($"Health, status and metrics: {server.Address}");
        return server;
    }

    /// <inheritdoc cref="RunAsync(ParseResult, HostOptions, bool)"/>
    public async Task LoadAsync(ILoadableFlow loadable, ParseResult parsed, HostOptions host)
    {
        Broker broker = BrokerCalls.Open(host, logging);
        using IDisposable closing = (IDisposable)broker;
        await loadable.LoadAsync(new FlowLoad(new FlowArguments(parsed, host.Stream), broker, output));
    }

    private async Task RunAsync(StreamEngine engine, FlowRun run, StopSignals signals, CpuMeter? cpu, TimeSpan stopPatience)
    {
        using CancellationTokenSource ending = CancellationTokenSource.CreateLinkedTokenSource(signals.Token);
        Task running = engine.RunAsync(signals.Token);
        Task measuring = cpu?.MeasureAsync(ending.Token) ?? Task.CompletedTask;
        Task accompanying = AccompanyAsync(run, ending.Token);
        if (await Task.WhenAny(running, accompanying) == accompanying && !accompanying.IsCompletedSuccessfully)
        {
            signals.Stop();
        }

        try
        {
            await Bounded(running, () => engine.Status, signals.Token, stopPatience);
        }
        finally
        {
            await ending.CancelAsync();
            await measuring;
            await accompanying.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }

        if (accompanying.IsFaulted)
        {
            await accompanying;
        }
    }

    private static TimeSpan PatienceOf(StreamOptions options)
    {
        TimeSpan withSnapshots = StopPatienceBesideSnapshots + (options.Snapshots?.EndTimeout ?? TimeSpan.Zero);
        return withSnapshots > StopPatience ? withSnapshots : StopPatience;
    }

    /// <summary>What is thrown before the first await is a fault of the task, too: the engine runs by now, and is to end first.</summary>
    private async Task AccompanyAsync(FlowRun run, CancellationToken stop) => await flow.AccompanyAsync(run, stop);

    /// <summary>Waits for the engine; from the signal on, not for ever.</summary>
    private static async Task Bounded(Task running, Func<EngineStatus> status, CancellationToken stop, TimeSpan patience)
    {
        TaskCompletionSource stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using CancellationTokenRegistration registration = stop.Register(stopped.SetResult);
        if (await Task.WhenAny(running, stopped.Task) == running)
        {
            await running;
            return;
        }

        try
        {
            await running.WaitAsync(patience, CancellationToken.None);
        }
        catch (TimeoutException error)
        {
            throw NotEnded(status().Workers, patience, error);
        }
    }

    /// <summary>Why an instance has not ended in time: a step that does not return, or else what every end waits for.</summary>
    internal static StreamException NotEnded(IReadOnlyList<WorkerStatus> workers, TimeSpan patience, TimeoutException? error)
    {
        const string Redone = "What was not committed is done again at the next start.";
        string late = $"The instance did not end within {patience.TotalSeconds:0} s of the signal";
        return workers.MaxBy(worker => worker.InTurn) is { } slowest && slowest.InTurn > patience / 2
            ? new StreamException(ExitCode.Stalled, $"{late}: worker {slowest.Worker} has been in the code of a step for {slowest.InTurn.TotalSeconds:0} s. {Redone}", error)
            : new StreamException(ExitCode.Broker, $"{late}: the broker, or the snapshot store, does not answer. {Redone}", error);
    }
}
