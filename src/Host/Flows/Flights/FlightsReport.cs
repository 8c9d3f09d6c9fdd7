using System.Text.Json;
using KStreamSharp.Hosting;

namespace KStreamSharp.Flows.Flights;

/// <summary>The last words of a run.</summary>
internal static class FlightsReport
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true };

    /// <summary>What the live flow has put out until now.</summary>
    public static void WriteLive(TextWriter output, FlightsBoard board)
    {
        board.Refresh(toEnd: true);
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

    /// <summary>The table of a finite run that is done, whichever instances did it.</summary>
    public static void WriteSummary(FlowRun run, KeyedTopic<string, AirlineSummary> summaries, string? path)
    {
        using TopicReader<string, AirlineSummary> reader = new(run.Broker, summaries);
        SortedDictionary<string, AirlineSummary> airlines = new(StringComparer.Ordinal);
        foreach (Record<string, AirlineSummary> record in reader.ReadToEnd())
        {
            airlines[record.Key] = record.Value;
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
        if (path is not null)
        {
            WriteFile(path, airlines);
            run.Output.WriteLine($"Written to {path}");
        }
    }

    private static void WriteFile(string path, IEnumerable<KeyValuePair<string, AirlineSummary>> airlines)
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
                Json) + "\n");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"--summary '{path}' cannot be written: {error.Message}", error);
        }
    }
}
