using KStreamSharp.Hosting;

namespace KStreamSharp.Flows.Flights;

/// <summary>What the live flow has put out so far, read from its output topics: committed records only, so what it shows stays.</summary>
internal sealed class FlightsBoard(Broker broker, LiveTopics topics) : IDisposable
{
    private readonly TopicReader<string, AirlineTotal> _totals = new(broker, topics.Airlines);
    private readonly TopicReader<string, FlightWithPlane> _withPlanes = new(broker, topics.WithPlanes);
    private readonly TopicReader<string, Rest> _rests = new(broker, topics.Rests);
    private readonly TopicReader<string, Batch> _batches = new(broker, topics.Batches);
    private readonly TopicReader<string, Silence> _silences = new(broker, topics.Silences);
    private readonly SortedDictionary<string, AirlineLine> _airlines = new(StringComparer.Ordinal);

    /// <summary>The airlines by code.</summary>
    public IReadOnlyDictionary<string, AirlineLine> Airlines => _airlines;

    public long Flights => _airlines.Values.Sum(airline => airline.Total.Flights);

    public double? MeanDelay => _airlines.Values.Sum(airline => airline.Total.Departed) is > 0 and long departed
        ? (double)_airlines.Values.Sum(airline => airline.Total.SumDepDelay) / departed
        : null;

    /// <summary>How far the replay is: the largest scheduled departure counted.</summary>
    public DateTimeOffset? ReplayTime { get; private set; }

    public News Rests { get; } = new("rest", $"rests of planes over {LiveFlights.LongRest.TotalHours:0} h");

    public News Batches { get; } = new("batch", "batches of ten flights of an airport, or fewer after a pause");

    public News Silences { get; } = new("silent", $"silences of an airline over {LiveFlights.SilentAfter.TotalSeconds:0} s");

    public IEnumerable<News> AllNews => [Rests, Batches, Silences];

    /// <summary>Reads what has come, or all that the topics have now.</summary>
    public void Refresh(bool toEnd = false)
    {
        foreach ((string airline, AirlineTotal total, DateTimeOffset at, _) in Read(_totals, toEnd))
        {
            // Shards pass flights of one airline on in an order of their own; the counts only grow.
            _airlines[airline] = (_airlines.GetValueOrDefault(airline) ?? new AirlineLine(total, null)) with { Total = total };
            ReplayTime = ReplayTime is { } last && last > at ? last : at;
        }

        foreach ((_, FlightWithPlane flight, _, _) in Read(_withPlanes, toEnd))
        {
            if (_airlines.TryGetValue(flight.Carrier, out AirlineLine? line) && !(line.LastFlight?.Scheduled > flight.Scheduled))
            {
                _airlines[flight.Carrier] = line with { LastFlight = flight };
            }
        }

        Rests.Add(Read(_rests, toEnd), (plane, rest) =>
            $"{plane} ({rest.Carrier}) rested {rest.Hours:0.0} h after {Some(rest.Legs, "leg")} and {rest.Miles:N0} miles, next from {rest.NextOrigin}");
        Batches.Add(Read(_batches, toEnd), (airport, batch) =>
            $"{airport}: {Some(batch.Flights, "flight")} of {Some(batch.Airlines, "airline")}, {batch.First:MM-dd HH:mm} to {batch.Last:HH:mm}, {batch.Miles:N0} miles");
        Silences.Add(Read(_silences, toEnd), (airline, silence) => $"{airline} for {silence.Seconds:0} s, after {Some(silence.Flights, "flight")}");
    }

    public void Dispose()
    {
        _totals.Dispose();
        _withPlanes.Dispose();
        _rests.Dispose();
        _batches.Dispose();
        _silences.Dispose();
    }

    private static string Some(long count, string what) => $"{count:N0} {what}{(count == 1 ? "" : "s")}";

    private static IEnumerable<Record<string, T>> Read<T>(TopicReader<string, T> reader, bool toEnd) => toEnd ? reader.ReadToEnd() : reader.ReadNew();
}

/// <summary>An airline on the board: its totals, and its newest flight whose plane is known.</summary>
internal sealed record AirlineLine(AirlineTotal Total, FlightWithPlane? LastFlight);

/// <summary>Events of one kind: how many there were, and the newest in words.</summary>
internal sealed class News(string name, string meaning)
{
    public string Name => name;

    public string Meaning => meaning;

    public long Count { get; private set; }

    public string? Newest { get; private set; }

    public void Add<T>(IEnumerable<Record<string, T>> events, Func<string, T, string> words)
    {
        Record<string, T>? newest = null;
        foreach (Record<string, T> one in events)
        {
            newest = one;
            Count++;
        }

        if (newest is { } shown)
        {
            Newest = words(shown.Key, shown.Value);
        }
    }
}
