using System.Text.Json;

namespace KStreamSharp.Flows.Flights;

/// <summary>The finite flow: one line per airline once all flights have been read.</summary>
internal static class FlightsSummary
{
    public const string AppId = "flights-summary";

    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>The topic that the flow writes: <c>NAME-summary</c>.</summary>
    public static KeyedTopic<string, AirlineSummary> Summaries(string name) => Topic.Keyed($"{name}-summary", Serde.Utf8, Serde.Json<AirlineSummary>(Json));

    public static Dataflow Build(KeyedTopic<string, FlightRow> input, KeyedTopic<string, AirlineSummary> output)
    {
        Dataflow flow = new(AppId);
        KeyedStream<string, FlightRow> flights = flow.Input("flights", input);
        KeyedStream<string, FlightFigures> byAirline = flights
            .KeyOn("airline", (_, flight) => flight.Carrier)
            .MapValue("figures", flight => new FlightFigures(flight.DepDelay, flight.Distance))
            .Repartition("by-airline");
        KeyedStream<string, int> delays = byAirline.FilterMapValue("delays", flight => flight.DepDelay);

        KeyedStream<string, Part> count = flights
            .KeyRemove("rows")
            .CountFinal("flights-count", flight => flight.Carrier)
            .MapValue("flights-part", count => new Part { Flights = count });
        KeyedStream<string, Part> delay = delays
            .FoldFinal("delay-sum", () => new DelaySum(0, 0), (sum, minutes) => new DelaySum(sum.Departed + 1, sum.Minutes + minutes))
            .MapValue("delay-part", sum => new Part { Departed = sum.Departed, SumDepDelay = sum.Minutes });
        KeyedStream<string, Part> max = delays.MaxFinal("delay-max").MapValue("max-part", minutes => new Part { MaxDepDelay = minutes });
        KeyedStream<string, Part> min = delays.MinFinal("delay-min").MapValue("min-part", minutes => new Part { MinDepDelay = minutes });
        KeyedStream<string, Part> distance = byAirline
            .MapValue("miles", flight => (long)flight.Distance)
            .ReduceFinal("distance-sum", (sum, miles) => sum + miles)
            .MapValue("distance-part", miles => new Part { Distance = miles });

        count
            .JoinFinal("summary", [delay, max, min, distance])
            .MapValue("line", AirlineSummary.Of)
            .Output("summaries", output);
        return flow;
    }
}

/// <summary>What the summary needs of a flight.</summary>
internal sealed record FlightFigures(int? DepDelay, int Distance);

internal sealed record DelaySum(long Departed, long Minutes);

/// <summary>One side of the summary.</summary>
internal sealed record Part
{
    public long? Flights { get; init; }

    public long? Departed { get; init; }

    public long? SumDepDelay { get; init; }

    public int? MaxDepDelay { get; init; }

    public int? MinDepDelay { get; init; }

    public long? Distance { get; init; }
}

/// <summary>An airline's flights: all, and those that departed; delays in minutes, null when none departed; miles.</summary>
internal sealed record AirlineSummary(long Flights, long Departed, long SumDepDelay, int? MaxDepDelay, int? MinDepDelay, long Distance)
{
    public static AirlineSummary Of(IReadOnlyList<Side<Part>> sides)
    {
        Part[] parts = [.. sides.Where(side => side.HasValue).Select(side => side.Value!)];
        return new(
            parts.Sum(part => part.Flights ?? 0),
            parts.Sum(part => part.Departed ?? 0),
            parts.Sum(part => part.SumDepDelay ?? 0),
            parts.Max(part => part.MaxDepDelay),
            parts.Min(part => part.MinDepDelay),
            parts.Sum(part => part.Distance ?? 0));
    }
}
