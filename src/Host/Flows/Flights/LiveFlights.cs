namespace KStreamSharp.Flows.Flights;

/// <summary>The live flow: what goes on at the airlines, planes and airports of New York while the flights come in.</summary>
internal static class LiveFlights
{
    public static readonly TimeSpan SilentAfter = TimeSpan.FromSeconds(2);
    public static readonly TimeSpan LongRest = TimeSpan.FromHours(12);

    public static Dataflow Build(KeyedTopic<string, FlightRow> input, LiveTopics outputs)
    {
        Dataflow flow = new("flights");
        KeyedStream<string, FlightRow> flights = flow.Input("flights", input);
        KeyedStream<string, PlaneRow> planes = flow.Input("planes", PlaneRow.Topic);

        KeyedStream<string, FlightRow> byAirline = flights.KeyOn("airline", (_, flight) => flight.Carrier).Repartition("by-airline");
        byAirline.StatefulMap<AirlineTotal, AirlineTotal>("airline-totals", AirlineTotal.Add).Output("airlines", outputs.Airlines);
        byAirline.Stateful("airline-silent", () => new SilenceLogic()).Output("silences", outputs.Silences);

        KeyedStream<string, FlightRow> planeFlights = flights.FilterValue("plane-known", flight => flight.Tailnum is not null);
        KeyedStream<string, PlaneReport> reports = planeFlights.StatefulFlatMap<PlaneDay, PlaneReport>("plane-legs", PlaneDay.Fly);
        reports.FilterMapValue("legs-only", report => report.Leg).Output("legs", outputs.Legs);
        reports.FilterMapValue("rests-only", report => report.Rest).Output("rests", outputs.Rests);

        planeFlights
            .JoinRunning("plane", planes)
            .FilterMapValue("joined", row => FlightWithPlane.Of(row.Item1.Value, row.Item2.Value))
            .Output("with-planes", outputs.WithPlanes);

        flights
            .KeyOn("airport", (_, flight) => flight.Origin)
            .Collect("batch", TimeSpan.FromSeconds(10), maxSize: 10)
            .MapValue("batch-figures", Batch.Of)
            .Output("batches", outputs.Batches);
        return flow;
    }
}

/// <summary>The topics that the live flow writes, with one name in front.</summary>
internal sealed class LiveTopics(string name)
{
    public KeyedTopic<string, AirlineTotal> Airlines { get; } = Topic.Keyed<string, AirlineTotal>($"{name}-airlines");

    public KeyedTopic<string, Silence> Silences { get; } = Topic.Keyed<string, Silence>($"{name}-silent");

    public KeyedTopic<string, Leg> Legs { get; } = Topic.Keyed<string, Leg>($"{name}-legs");

    public KeyedTopic<string, Rest> Rests { get; } = Topic.Keyed<string, Rest>($"{name}-rests");

    public KeyedTopic<string, FlightWithPlane> WithPlanes { get; } = Topic.Keyed<string, FlightWithPlane>($"{name}-with-planes");

    public KeyedTopic<string, Batch> Batches { get; } = Topic.Keyed<string, Batch>($"{name}-batches");
}

/// <summary>An airline so far; <c>Departed</c> counts the flights that were not cancelled.</summary>
internal sealed record AirlineTotal(long Flights, long Departed, long SumDepDelay, double? MeanDepDelay)
{
    public static AirlineTotal Add(ref AirlineTotal? total, FlightRow flight)
    {
        long departed = (total?.Departed ?? 0) + (flight.DepDelay is null ? 0 : 1);
        long sum = (total?.SumDepDelay ?? 0) + (flight.DepDelay ?? 0);
        return total = new AirlineTotal((total?.Flights ?? 0) + 1, departed, sum, departed == 0 ? null : Math.Round((double)sum / departed, 2));
    }
}

/// <summary>An airline has had no flight for a while of processing time.</summary>
internal sealed record Silence(long Flights, double Seconds);

/// <summary>What a silence waits for: the flights so far, and until when the next one must come; null once it was reported.</summary>
internal sealed record SilenceState(long Flights, DateTimeOffset? Until);

internal sealed class SilenceLogic : StatefulLogic<string, FlightRow, Silence, SilenceState>
{
    private SilenceState _state = new(0, null);

    public override void Resume(SilenceState state) => _state = state;

    public override StateAction OnItem(FlightRow value, StatefulContext<string, Silence> context)
    {
        _state = new(_state.Flights + 1, context.Now + LiveFlights.SilentAfter);
        return StateAction.Retain;
    }

    public override StateAction OnNotify(StatefulContext<string, Silence> context)
    {
        context.Emit(new(_state.Flights, LiveFlights.SilentAfter.TotalSeconds));
        _state = _state with { Until = null };
        return StateAction.Retain;
    }

    public override DateTimeOffset? NotifyAt() => _state.Until;

    public override SilenceState Snapshot() => _state;
}

/// <summary>
/// A flight of a plane. <c>GroundMinutes</c> passed since its landing before; null for its first flight. The data know
/// departures from New York only, so the way back is part of it.
/// </summary>
internal sealed record Leg(string Carrier, int Flight, string Origin, string Dest, DateTimeOffset Departed, DateTimeOffset Landed, int? GroundMinutes);

/// <summary>A plane left after a long rest: what it had done between the rest before and this one.</summary>
internal sealed record Rest(string Carrier, double Hours, int Legs, int AirMinutes, int Miles, string NextOrigin);

/// <summary>Either a leg or a rest.</summary>
internal sealed record PlaneReport(Leg? Leg, Rest? Rest);

/// <summary>A plane since its last long rest.</summary>
internal sealed record PlaneDay(int Legs, int AirMinutes, int Miles, DateTimeOffset Landed)
{
    /// <summary>A cancelled flight is no leg. The time in the air ends at the landing; a diverted flight counts as landed at once.</summary>
    public static IEnumerable<PlaneReport> Fly(ref PlaneDay? day, FlightRow flight)
    {
        if (flight.Departed() is not { } departed)
        {
            return [];
        }

        List<PlaneReport> reports = [];
        TimeSpan? ground = day is null ? null : TimeSpan.FromTicks(Math.Max(0, (departed - day.Landed).Ticks));
        if (day is not null && ground > LiveFlights.LongRest)
        {
            reports.Add(new(null, new Rest(flight.Carrier, Math.Round(ground.Value.TotalHours, 1), day.Legs, day.AirMinutes, day.Miles, flight.Origin)));
            day = null;
        }

        DateTimeOffset landed = departed.AddMinutes(flight.AirTime ?? 0);
        day = new PlaneDay((day?.Legs ?? 0) + 1, (day?.AirMinutes ?? 0) + (flight.AirTime ?? 0), (day?.Miles ?? 0) + flight.Distance, landed);
        reports.Add(new(new Leg(flight.Carrier, flight.Flight, flight.Origin, flight.Dest, departed, landed, (int?)ground?.TotalMinutes), null));
        return reports;
    }
}

/// <summary>A flight with what is known of its plane.</summary>
internal sealed record FlightWithPlane(
    string Carrier, int Flight, string Origin, string Dest, DateTimeOffset Scheduled, string Manufacturer, string Model, int Seats, int? Built)
{
    /// <summary>Null until both are there.</summary>
    public static FlightWithPlane? Of(FlightRow? flight, PlaneRow? plane) => flight is null || plane is null
        ? null
        : new(flight.Carrier, flight.Flight, flight.Origin, flight.Dest, flight.Scheduled(), plane.Manufacturer, plane.Model, plane.Seats, plane.Year);
}

/// <summary>Flights that left an airport one after another, at most ten.</summary>
internal sealed record Batch(int Flights, int Airlines, int Miles, DateTimeOffset First, DateTimeOffset Last)
{
    public static Batch Of(IReadOnlyList<FlightRow> flights) => new(
        flights.Count,
        flights.DistinctBy(flight => flight.Carrier).Count(),
        flights.Sum(flight => flight.Distance),
        flights.Min(flight => flight.Scheduled()),
        flights.Max(flight => flight.Scheduled()));
}
