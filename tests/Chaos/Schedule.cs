using System.Globalization;

namespace KStreamSharp.Tests.Chaos;

/// <summary>What a fault hits.</summary>
internal enum Hits
{
    Instance,
    Application,
    Broker,
    Everything,
}

/// <summary>A kind of fault.</summary>
/// <param name="Name">As the table has it.</param>
/// <param name="Hits">What it is done to.</param>
/// <param name="Least">The shortest time that it lasts, in seconds.</param>
/// <param name="Most">The longest.</param>
/// <param name="Fire">Does it, and answers what shows that it happened: nothing when it was not seen to.</param>
internal sealed record FaultKind(string Name, Hits Hits, double Least, double Most, Func<Faults, PlannedFault, Task<IReadOnlyList<string>>> Fire)
{
    /// <summary>Loses a folder, which a truncated changelog does not make anew.</summary>
    public bool LosesFolder { get; init; }

    /// <summary>Loses snapshots, which an application has that takes some and whose changelog is whole.</summary>
    public bool LosesSnapshots { get; init; }

    public bool NeedsProxies { get; init; }

    public bool NeedsOwnCluster { get; init; }

    /// <summary>Needs brokers that look what one may.</summary>
    public bool NeedsAuthorizer { get; init; }

    /// <summary>Needs an instance whose step can be made slow.</summary>
    public bool NeedsSlowStep { get; init; }

    /// <summary>One of those that come every five seconds in the scenario of a backlog.</summary>
    public bool IsSteady { get; init; }

    /// <summary>Leaves one instance alone with all shards, for about as long as a round of steady faults.</summary>
    public bool Isolates { get; init; }

    /// <summary>An instance that was hit aborts, and goes on with its shards in the same process.</summary>
    public bool MakesAbort { get; init; }

    /// <summary>Comes before any instance is started.</summary>
    public bool ComesFirst { get; init; }

    /// <summary>Comes once, in the midst of a run: the time after it is for what it leaves behind.</summary>
    public bool ComesInTheMiddle { get; init; }

    /// <summary>Comes when all has been checked, for the application that it hits is at its end; and only where it is asked for by name.</summary>
    public bool ComesLast { get; init; }

    /// <summary>Comes in the last quarter of a run only, for it forbids others after it.</summary>
    public bool ComesLate { get; init; }
}

/// <summary>Which of the instances that can bear a fault it hits.</summary>
internal enum Aim
{
    Any,

    /// <summary>The one that has the shard of the backlog.</summary>
    Backlog,

    /// <summary>One that has it not, so that the one that has it has time to show how it is.</summary>
    Others,
}

/// <summary>A fault at its time.</summary>
/// <param name="Number">Its place in the schedule.</param>
/// <param name="At">When, after the beginning of the faults.</param>
/// <param name="Kind">What.</param>
/// <param name="Target">Which instance or application: a number to be taken modulo those there are.</param>
/// <param name="Seconds">How long.</param>
/// <param name="Variant">Draws the details.</param>
internal sealed record PlannedFault(int Number, TimeSpan At, FaultKind Kind, int Target, double Seconds, int Variant)
{
    public Aim Aim { get; init; }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"#{Number,-3} at {At.TotalSeconds,6:0.0} s  {Kind.Name} ({Seconds:0.0} s, {Kind.Hits.ToString().ToLowerInvariant()} {Target % 100}, variant {Variant % 100}{(Aim == Aim.Any ? "" : Aim == Aim.Backlog ? ", the backlog's" : ", another than the backlog's")})");
}

/// <summary>The faults of a run, drawn from its seed: every kind in turn, in an order that is shuffled for each round.</summary>
internal static class Schedule
{
    private static readonly TimeSpan Gap = TimeSpan.FromSeconds(9);
    private static readonly TimeSpan SteadyGap = TimeSpan.FromSeconds(5);
    private const double SteadySecondsMost = 3;

    public static IReadOnlyList<PlannedFault> Draw(int seed, TimeSpan length, IReadOnlyList<FaultKind> kinds)
    {
        Random random = new(seed);
        List<PlannedFault> faults = [];
        FaultKind[] late = [.. kinds.Where(kind => kind.ComesLate)];
        FaultKind[] always = [.. kinds.Where(kind => !kind.ComesLate && !kind.ComesFirst && !kind.ComesInTheMiddle && !kind.ComesLast)];
        Queue<FaultKind> round = [];
        int count = Math.Max(1, (int)(length / Gap));
        for (int i = 0; i < count && always.Length > 0; i++)
        {
            if (round.Count == 0)
            {
                random.Shuffle(always);
                round = new(always);
            }

            // Some come one upon the other, some leave time.
            Add(round.Dequeue(), (i + random.NextDouble() * 1.5) * Gap);
        }

        foreach (FaultKind kind in late)
        {
            int times = Math.Clamp((int)(length.TotalMinutes / 5), 1, 4);
            for (int i = 0; i < times; i++)
            {
                Add(kind, length * (0.75 + 0.2 * (i + random.NextDouble()) / times));
            }
        }

        foreach (FaultKind kind in kinds.Where(kind => kind.ComesLast))
        {
            Add(kind, length);
        }

        foreach (FaultKind kind in kinds.Where(kind => kind.ComesFirst))
        {
            Add(kind, TimeSpan.Zero);
        }

        foreach (FaultKind kind in kinds.Where(kind => kind.ComesInTheMiddle))
        {
            Add(kind, length * (0.4 + 0.2 * random.NextDouble()));
        }

        return [.. faults.OrderBy(fault => fault.At).Select((fault, number) => fault with { Number = number + 1 })];

        void Add(FaultKind kind, TimeSpan at) =>
            faults.Add(new(0, at, kind, random.Next(1000), kind.Least + random.NextDouble() * (kind.Most - kind.Least), random.Next(1000)));
    }

    /// <summary>
    /// One every five seconds. In the first minute whoever has the backlog is left alone with all shards and made to abort,
    /// and has the time to show that it goes on. Then rounds of a minute: some may hit whoever has the backlog, and the last of those makes
    /// it abort; the others spare it, for a shard that stands still is seen only as long as nobody else takes it over.
    /// </summary>
    public static IReadOnlyList<PlannedFault> DrawSteady(int seed, TimeSpan length, IReadOnlyList<FaultKind> kinds)
    {
        const int round = 12;
        const int hitting = 5;
        Random random = new(seed);
        FaultKind[] usual = [.. kinds.Where(kind => !kind.Isolates)];
        FaultKind? isolating = kinds.FirstOrDefault(kind => kind.Isolates);
        FaultKind? aborting = kinds.FirstOrDefault(kind => kind.MakesAbort);
        List<PlannedFault> faults = [];
        for (int i = 0; i < Math.Max(1, (int)(length / SteadyGap)) && usual.Length > 0; i++)
        {
            bool isolate = i == 1 && isolating is not null;
            bool abort = i % round == hitting - 1 || (i + 2) * SteadyGap > length;
            bool quiet = isolating is not null && i is > 1 and < round;
            FaultKind kind = isolate ? isolating! : abort && aborting is not null ? aborting : usual[random.Next(usual.Length)];
            double span = abort ? 1.5 : isolate ? 0 : Math.Min(SteadySecondsMost, kind.Most - kind.Least);
            double seconds = (abort ? 1.5 : kind.Least) + random.NextDouble() * span;
            PlannedFault fault = new(faults.Count + 1, i * SteadyGap, kind, random.Next(1000), seconds, random.Next(1000))
            {
                Aim = abort ? Aim.Backlog : i % round >= hitting || isolate ? Aim.Others : (Aim)random.Next(2),
            };
            if (!quiet)
            {
                faults.Add(fault);
            }
        }

        return faults;
    }
}
