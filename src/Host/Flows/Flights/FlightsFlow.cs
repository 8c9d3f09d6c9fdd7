using System.CommandLine;
using KStreamSharp.Hosting;
using Spectre.Console;

namespace KStreamSharp.Flows.Flights;

/// <summary>
/// Real data to look at: flights out of New York, live, or with <c>--until-end</c> summed up per airline. On the embedded
/// broker a run replays a file; on Kafka it reads the topic that a load has filled.
/// </summary>
internal sealed class FlightsFlow : ILoadableFlow
{
    private const int DefaultSpeed = 180;
    private const int DefaultPartitions = 4;
    private const string DefaultName = "flights";

    private readonly Option<string?> _data = new("--data")
    {
        Description = "the flights, .csv or .csv.gz (default: January 2013, which comes with the host)",
        HelpName = "FILE",
    };

    private readonly Option<int?> _speed = FlowOptions.WholeNumber(
        "--speed", "ROWS", $"flights replayed per second, without Kafka (default: {DefaultSpeed})", 1_000_000, ifMissing: null);

    private readonly Option<bool> _again = new("--again")
    {
        Description = "without Kafka: empty the state folder first, broker and all, and play the flights from the start",
    };

    private readonly Option<string?> _summary = new("--summary")
    {
        Description = "with --until-end: write the table to this file too, as JSON",
        HelpName = "FILE",
    };

    private readonly Option<string> _input = new("--input") { Description = "the topic of the flights", HelpName = "TOPIC", DefaultValueFactory = _ => DefaultName };

    private readonly Option<string> _output = new("--output")
    {
        Description = "the name before those of the topics that are written: NAME-summary, NAME-airlines and so on",
        HelpName = "NAME",
        DefaultValueFactory = _ => DefaultName,
    };

    private readonly Option<int?> _partitions = FlowOptions.WholeNumber("--partitions", "N", "partitions of topics that are made", 10_000, DefaultPartitions);
    private readonly TimeProvider _time = TimeProvider.System;
    private Replay? _replay;
    private FlightsBoard? _board;

    public string Id => "flights";

    public string Summary => "Flights out of New York: delays, planes, airports live; with --until-end a table per airline.";

    public IEnumerable<Option> Options => [_input, _output, _data, _speed, _again, _summary];

    public string LoadSummary => "Write the flights and planes to their topics, once: rows as JSON, keyed by tail number. Goes on where it was cut off.";

    public IEnumerable<Option> LoadOptions => [_input, _data, _partitions];

    public Dataflow Build(FlowArguments arguments) => FlowOptions.NamesOfTopics(
        () => arguments.Options.UntilEnd ? FlightsSummary.Build(Flights(arguments), Summaries(arguments)) : LiveFlights.Build(Flights(arguments), Outputs(arguments)));

    public bool BeginsAnew(FlowArguments arguments) => arguments.Value(_again);

    public string AppId(FlowArguments arguments) => arguments.Options.UntilEnd ? FlightsSummary.AppId : Id;

    public Task LoadAsync(FlowLoad load)
    {
        FlightData flights = ReadData(load);
        if (load.Broker is EmbeddedBroker)
        {
            flights.Claim(load.Arguments.Options.StateDir);
        }

        string topic = FlowOptions.NamesOfTopics(() => Flights(load.Arguments)).Name;
        int partitions = load.PartitionCount(topic) ?? load.Arguments.Value(_partitions)!.Value;
        if (load.PartitionCount(PlaneRow.Topic.Name) is { } planes && planes != partitions)
        {
            throw new UsageException($"Topic '{PlaneRow.Topic.Name}' has {planes} partitions: the flights that are joined with it need as many. Load with --partitions {planes} into a new topic.");
        }

        load.CreateTopic(PlaneRow.Topic.Name, partitions);
        load.CreateTopic(topic, partitions);
        using Feed<PlaneRow> planeFeed = PlaneFeed(load, flights);
        using Feed<FlightRow> flightFeed = FlightFeed(load, flights);
        Load(planeFeed, PlaneRow.Topic.Name, "planes.csv.gz");
        Load(flightFeed, topic, flights.Name);
        return Task.CompletedTask;

        void Load<T>(Feed<T> feed, string into, string source)
            where T : class
        {
            feed.Check(source);
            bool wasThere = feed.Left == 0;
            feed.LoadAll(load.Output, _time);
            load.Output.WriteLine($"Topic {into}: {(wasThere ? "all" : "loaded")} {feed.Loaded:N0} rows of {source}{(wasThere ? " are there already" : "")}");
        }
    }

    public Task PrepareAsync(FlowRun run, CancellationToken stop)
    {
        CheckSummaryFile(run.Arguments);
        if (run.Broker is EmbeddedBroker)
        {
            PrepareReplay(run, stop);
        }
        else
        {
            PrepareTopics(run);
        }

        return Task.CompletedTask;
    }

    public async Task AccompanyAsync(FlowRun run, CancellationToken stop)
    {
        if (_board is null)
        {
            return;
        }

        Task replaying = _replay?.Feed.ReplayAsync(run.Arguments.Value(_speed) ?? DefaultSpeed, _time, stop) ?? Task.CompletedTask;
        FlightsView view = new(_board, run.Status, _replay is null ? null : (_replay.Flights.Rows.Count, () => _replay.Feed.Loaded), _time);
        if (run.OutputIsTerminal && AnsiConsole.Profile.Capabilities is { Ansi: true, Interactive: true })
        {
            using IDisposable held = run.HoldLog();
            await view.DrawAsync(stop);
        }
        else
        {
            await view.WriteAsync(run.Output, stop);
        }

        await replaying;
    }

    public Task FinishAsync(FlowRun run)
    {
        using FlightsBoard? board = _board;
        using Feed<FlightRow>? feed = _replay?.Feed;
        if (board is not null)
        {
            FlightsReport.WriteLive(run.Output, board);
        }
        else if (run.IsDone)
        {
            if (_replay?.HasSummary == true && run.Status().RecordsFromInputs == 0)
            {
                run.Output.WriteLine("No new flights since the last run: this is its table.");
            }

            FlightsReport.WriteSummary(run, Summaries(run.Arguments), run.Arguments.Value(_summary));
        }
        else if (run.Arguments.Options.UntilEnd)
        {
            run.Output.WriteLine("Stopped before the end. The same command goes on from here.");
        }

        return Task.CompletedTask;
    }

    private void CheckSummaryFile(FlowArguments arguments)
    {
        string? summary = arguments.Value(_summary);
        if (summary is not null && !arguments.Options.UntilEnd)
        {
            throw new UsageException("--summary goes with --until-end: a run without end has no last word.");
        }

        if (summary is not null && !Directory.Exists(Path.GetDirectoryName(Path.GetFullPath(summary))))
        {
            throw new UsageException($"--summary '{summary}': there is no such folder.");
        }
    }

    private void PrepareReplay(FlowRun run, CancellationToken stop)
    {
        FlightData flights = ReadData(run);
        flights.Claim(run.Arguments.Options.StateDir);
        Feed<FlightRow> feed = FlightFeed(run, flights);
        if (run.Arguments.Options.UntilEnd)
        {
            run.Output.WriteLine($"{flights.Name}: {flights.Rows.Count:N0} flights, to be summed up per airline");
            feed.LoadAll(run.Output, _time, stop);
            using TopicWriter<string, AirlineSummary> summaries = new(run.Broker, Summaries(run.Arguments));
            _replay = new(flights, feed, summaries.EndOffsets().Sum() > 0);
            return;
        }

        using (Feed<PlaneRow> planes = PlaneFeed(run, flights))
        {
            planes.LoadAll(run.Output, _time, stop);
        }

        _replay = new(flights, feed, HasSummary: false);
        _board = new FlightsBoard(run.Broker, Outputs(run.Arguments));
        _board.Refresh();
        run.Output.WriteLine(_board.Flights >= flights.Rows.Count
            ? $"{flights.Name}: all {flights.Rows.Count:N0} flights were played; run flights --again plays them again"
            : _board.Flights > 0
            ? $"{flights.Name}: continuing after {_board.Flights:N0} of {flights.Rows.Count:N0} flights"
            : $"{flights.Name}: replaying {flights.Rows.Count:N0} flights, {run.Arguments.Value(_speed) ?? DefaultSpeed:N0} per second (--speed)");
    }

    private void PrepareTopics(FlowRun run)
    {
        string topic = Flights(run.Arguments).Name;
        string fix = $"Fill it first: load flights --kafka HOST:PORT{(topic == DefaultName ? "" : $" --input {topic}")}.";
        if (run.Arguments.Value(_data) is not null || run.Arguments.Value(_speed) is not null)
        {
            throw new UsageException("--data and --speed are for the replay without Kafka. On Kafka a run reads the topic: fill it by load flights --kafka HOST:PORT --data FILE.");
        }

        int partitions = run.RequireTopic(topic, fix);
        if (!run.Arguments.Options.UntilEnd)
        {
            run.RequireTopic(PlaneRow.Topic.Name, fix);
        }

        run.CreateOutputs(partitions);
        if (!run.Arguments.Options.UntilEnd)
        {
            _board = new FlightsBoard(run.Broker, Outputs(run.Arguments));
        }
    }

    private KeyedTopic<string, FlightRow> Flights(FlowArguments arguments) => FlightRow.Topic(arguments.Value(_input)!);

    private LiveTopics Outputs(FlowArguments arguments) => new(arguments.Value(_output)!);

    private KeyedTopic<string, AirlineSummary> Summaries(FlowArguments arguments) => FlightsSummary.Summaries(arguments.Value(_output)!);

    private FlightData ReadData(FlowBroker host) => FlightData.Read(host.Arguments.Value(_data) ?? FlightData.DefaultPath, new Progress(host.Output, _time));

    private Feed<FlightRow> FlightFeed(FlowBroker host, FlightData flights) =>
        new(host.Broker, Flights(host.Arguments), flights.Rows, row => row.Tailnum ?? "", row => row.Scheduled());

    private static Feed<PlaneRow> PlaneFeed(FlowBroker host, FlightData flights)
    {
        DateTimeOffset first = flights.Rows.Count > 0 ? flights.Rows[0].Scheduled() : default;
        return new(host.Broker, PlaneRow.Topic, FlightData.ReadPlanes(), plane => plane.Tailnum, _ => first);
    }

    /// <summary>What a run without Kafka replays; <c>HasSummary</c>: an earlier run has left a table.</summary>
    private sealed record Replay(FlightData Flights, Feed<FlightRow> Feed, bool HasSummary);
}
