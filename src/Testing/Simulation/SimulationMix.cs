namespace KStreamSharp.Testing;

/// <summary>
/// What else a seed's run has: a second application on the broker, instances of two kinds, code of which a full turn outlives
/// the transaction. Drawn from random numbers of its own, so that it shifts nothing else.
/// </summary>
internal sealed class SimulationMix
{
    private const int Salt = 0x6d69_7865;

    private readonly Random _random;

    public SimulationMix(int seed)
    {
        _random = new Random(seed ^ Salt);
        HasNeighbour = _random.Next(4) == 0;
        NeighbourNumber = _random.Next(10_000);

        // Often at once, before anything is in the topics of the first.
        NeighbourComesAt = _random.Next(2) == 0 ? 1 : 1 + _random.Next(150);
        OthersOfKind = _random.Next(4) == 0 ? 1 + _random.Next(4) : 0;
        CodeTakes = TimeSpan.FromMilliseconds(_random.Next(8) == 0 ? 30 + _random.Next(31) : 0);
    }

    /// <summary>Whether a second application runs beside.</summary>
    public bool HasNeighbour { get; }

    /// <summary>From which its names are drawn.</summary>
    public int NeighbourNumber { get; }

    /// <summary>How many events have happened when it comes.</summary>
    public int NeighbourComesAt { get; }

    /// <summary>How often an instance starts that is of the other kind, finite or endless, than the rest.</summary>
    public int OthersOfKind { get; }

    /// <summary>How long each call of the code of steps takes, to the end; zero for no time. No record alone outlives a transaction.</summary>
    public TimeSpan CodeTakes { get; }

    /// <summary>Whether turns take all that there is, which is too much for a transaction.</summary>
    public bool HasLongTurns => CodeTakes > TimeSpan.Zero;

    /// <summary>The records that come at once besides those that an event brings otherwise.</summary>
    public int MoreRecords(in SimulationEvent push) => HasLongTurns && push.B % 8 == 0 ? 25 : 0;

    /// <summary>Adds its events to a list.</summary>
    public void AddTo(List<SimulationEvent> events)
    {
        for (int left = OthersOfKind; left > 0; left--)
        {
            events.Insert(
                2 + _random.Next(events.Count - 2),
                new(SimulationEventKind.OtherKind, _random.Next(10_000), _random.Next(10_000), _random.Next(10_000), _random.Next(10_000)));
        }
    }
}
