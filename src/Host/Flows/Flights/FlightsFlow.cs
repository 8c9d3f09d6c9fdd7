using System.CommandLine;
using System.Text;
using System.Text.Json;
using KStreamSharp.Hosting;
using Spectre.Console;

namespace KStreamSharp.Flows.Flights;

/// <summary>Real data to look at: flights out of New York, replayed live, or with <c>--until-end</c> summed up per airline.</summary>
internal sealed class FlightsFlow : IFlow
{
    private const int DefaultSpeed = 180;

    private static readonly JsonSerializerOptions SummaryJson = new() { WriteIndented = true };

    private readonly Option<string?> _data = new("--data")
    {
        Description = "the flights, .csv or .csv.gz (default: January 2013, which comes with the host)",
        HelpName = "FILE",
    };

    private readonly Option<int?> _speed = FlowOptions.WholeNumber("--speed", "ROWS", "flights replayed per second", 1_000_000, DefaultSpeed);

    private readonly Option<string?> _summary = new("--summary")
    {
        Description = "with --until-end: write the table to this file too, as JSON",
        HelpName = "FILE",
    };

    private readonly TimeProvider _time = TimeProvider.System;
    private Feed<FlightRow>? _feed;
    private FlightData? _flights;
    private FlightsBoard? _board;
    private long _summariesBefore;

    public string Id => "flights";

    public string Summary => "Flights out of New York: delays, planes, airports live; with --until-end a table per airline.";

    public IEnumerable<Option> Options => [_data, _speed, _summary];

    public Dataflow Build(FlowArguments arguments) => arguments.Options.UntilEnd ? FlightsSummary.Build() : LiveFlights.Build();

    public string AppId(FlowArguments arguments) => arguments.Options.UntilEnd ? FlightsSummary.AppId : Id;

    public Task PrepareAsync(FlowRun run, CancellationToken stop)
    {
        string? summary = run.Arguments.Value(_summary);
        if (summary is not null && !run.Arguments.Options.UntilEnd)
        {
            throw new UsageException("--summary goes with --until-end: a run without end has no last word.");
        }

        if (summary is not null && !Directory.Exists(Path.GetDirectoryName(Path.GetFullPath(summary))))
        {
            throw new UsageException($"--summary '{summary}': there is no such folder.");
        }

        _flights = FlightData.Read(run.Arguments.Value(_data) ?? FlightData.DefaultPath, new Progress(run.Output, _time));
        _flights.Claim(run.Arguments.Options.StateDir);
        _feed = new(run.Broker, FlightRow.Topic, _flights.Rows, row => row.Tailnum ?? "", row => row.Scheduled());
        if (run.Arguments.Options.UntilEnd)
        {
            run.Output.WriteLine($"{_flights.Name}: {_flights.Rows.Count:N0} flights, to be summed up per airline");
            _feed.LoadAll(run.Output, _time, stop);
            _summariesBefore = run.Broker.EndOffsets(FlightsSummary.Summaries.Name);
            return Task.CompletedTask;
        }

        DateTimeOffset first = _flights.Rows.Count > 0 ? _flights.Rows[0].Scheduled() : default;
        new Feed<PlaneRow>(run.Broker, PlaneRow.Topic, FlightData.ReadPlanes(), plane => plane.Tailnum, _ => first).LoadAll(run.Output, _time, stop);
        _board = new FlightsBoard(run.Broker);
        _board.Refresh();
        run.Output.WriteLine(_board.Flights > 0
            ? $"{_flights.Name}: continuing after {_board.Flights:N0} of {_flights.Rows.Count:N0} flights"
            : $"{_flights.Name}: replaying {_flights.Rows.Count:N0} flights, {run.Arguments.Value(_speed):N0} per second (--speed)");
        return Task.CompletedTask;
    }

    public async Task AccompanyAsync(FlowRun run, CancellationToken stop)
    {
        if (run.Arguments.Options.UntilEnd)
        {
            return;
        }

        FlightsView view = new(_board!, run.Status, () => _feed!.Loaded, _flights!.Rows.Count, _time);
        Task replay = _feed!.ReplayAsync(run.Arguments.Value(_speed)!.Value, _time, stop);
        if (run.OutputIsTerminal && AnsiConsole.Profile.Capabilities is { Ansi: true, Interactive: true })
        {
            using IDisposable held = run.HoldLog();
            await view.DrawAsync(stop);
        }
        else
        {
            await view.WriteAsync(run.Output, stop);
        }

        await replay;
    }

    public Task FinishAsync(FlowRun run)
    {
        if (run.Arguments.Options.UntilEnd)
        {
            FinishSummary(run);
        }
        else if (_board is not null)
        {
            FinishLive(run.Output, _board);
        }

        return Task.CompletedTask;
    }

    private static void FinishLive(TextWriter output, FlightsBoard board)
    {
        board.Refresh();
        output.WriteLine();
        TextTable.Write(
            output,
            ["airline", "flights", "departed", "mean delay"],
            board.Airlines.Select(airline => new[]
            {
                AirlineName.Of(airline.Key), $"{airline.Value.Total.Flights:N0}", $"{airline.Value.Total.Departed:N0}",
                FlightsView.Minutes(airline.Value.Total.MeanDepDelay),
            }).Append(["all", $"{board.Flights:N0}", $"{board.Airlines.Values.Sum(airline => airline.Total.Departed):N0}", FlightsView.Minutes(board.MeanDelay)]));
        output.WriteLine();
        foreach (News news in board.AllNews)
        {
            output.WriteLine($"  {news.Count:N0} {news.Meaning}");
        }

        output.WriteLine();
        output.WriteLine("The next start goes on from here. More: run flights --until-end, describe flights, --help");
    }

    private void FinishSummary(FlowRun run)
    {
        if (!run.IsDone)
        {
            run.Output.WriteLine("Stopped before the end. The same command goes on from here.");
            return;
        }

        IReadOnlyList<EmbeddedRecord> records = run.Broker.ReadAll(FlightsSummary.Summaries.Name);
        SortedDictionary<string, AirlineSummary> airlines = new(StringComparer.Ordinal);
        foreach (EmbeddedRecord record in records)
        {
            airlines[Encoding.UTF8.GetString(record.Key!)] = FlightsSummary.Summaries.Value.Deserialize(record.Value, new(FlightsSummary.Summaries.Name, RecordPart.Value));
        }

        if (run.Broker.EndOffsets(FlightsSummary.Summaries.Name) == _summariesBefore)
        {
            run.Output.WriteLine("No new flights since the last run: this is its table.");
        }

        run.Output.WriteLine();
        TextTable.Write(
            run.Output,
            ["airline", "flights", "departed", "sum delay", "max delay", "min delay", "miles"],
            airlines.Select(airline => new[]
            {
                AirlineName.Of(airline.Key), $"{airline.Value.Flights:N0}", $"{airline.Value.Departed:N0}", $"{airline.Value.SumDepDelay:N0}",
                $"{airline.Value.MaxDepDelay:N0}", $"{airline.Value.MinDepDelay:N0}", $"{airline.Value.Distance:N0}",
            }));
        run.Output.WriteLine();
        if (run.Arguments.Value(_summary) is { } path)
        {
            WriteSummary(path, airlines);
            run.Output.WriteLine($"Written to {path}");
        }
    }

    private static void WriteSummary(string path, IEnumerable<KeyValuePair<string, AirlineSummary>> airlines)
    {
        try
        {
            File.WriteAllText(path, JsonSerializer.Serialize(
                airlines.Select(airline => new
                {
                    airline = airline.Key,
                    flights = airline.Value.Flights,
                    departed = airline.Value.Departed,
                    sum_dep_delay = airline.Value.SumDepDelay,
                    max_dep_delay = airline.Value.MaxDepDelay,
                    min_dep_delay = airline.Value.MinDepDelay,
                    distance = airline.Value.Distance,
                }),
                SummaryJson) + "\n");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"--summary '{path}' cannot be written: {error.Message}", error);
        }
    }
}
