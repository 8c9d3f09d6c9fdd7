using System.Globalization;

namespace KStreamSharp.Testing;

/// <summary>
/// What can happen in a simulation. An event means the same whatever happened before, or nothing: so that any part of a list
/// of events is a list of events, and a failing list can be made shorter.
/// </summary>
internal enum SimulationEventKind
{
    /// <summary>A few records arrive.</summary>
    Push,

    /// <summary>Every instance makes a turn.</summary>
    Round,

    /// <summary>One instance makes a turn.</summary>
    Turn,

    /// <summary>One part of an instance makes a turn: membership, the restorer, or a worker.</summary>
    Part,

    /// <summary>An instance joins, up to three; a fourth may join while one sleeps.</summary>
    Add,

    /// <summary>An instance ends in order.</summary>
    Stop,

    /// <summary>An instance ends as by kill -9, between two turns.</summary>
    Crash,

    /// <summary>An instance that is down starts again, with its folder, without it, or with an old copy of it.</summary>
    Open,

    /// <summary>An instance will end as by kill -9 when it reaches a numbered step.</summary>
    CrashAt,

    /// <summary>An instance will fall asleep when it reaches a numbered step, for some events.</summary>
    SleepAt,

    /// <summary>One worker will fall asleep when its instance reaches a numbered step, for some events; the rest goes on.</summary>
    WorkerSleepsAt,

    /// <summary>An instance falls asleep between two turns.</summary>
    Sleep,

    /// <summary>The membership of an instance makes no turns, while its workers do.</summary>
    MembershipSleeps,

    /// <summary>An instance that sleeps between two turns wakes, or its membership does.</summary>
    Wake,

    /// <summary>Time passes in which nobody does anything.</summary>
    Pass,

    /// <summary>The wall clock jumps, forwards or back; time-outs do not see it.</summary>
    ClockJump,

    /// <summary>So much time passes that tombstones go.</summary>
    Days,

    /// <summary>Transaction markers of one partition come late.</summary>
    HoldMarkers,

    /// <summary>The markers that were late come.</summary>
    ReleaseMarkers,

    /// <summary>Compacted topics are compacted.</summary>
    Compact,

    /// <summary>
    /// The changelog of a shard loses its oldest records, up to a place that the folder of an instance that is down covers.
    /// Who has no such folder must refuse the shard; then a copy of that folder is put back.
    /// </summary>
    TruncateChangelog,

    /// <summary>Bytes of a file of an instance that is down are flipped.</summary>
    Corrupt,

    /// <summary>A call of a writer will fail, before or after it was carried out.</summary>
    FailCall,

    /// <summary>A writer is fenced by another of its id.</summary>
    Fence,

    /// <summary>With snapshots: an instance will end as by kill -9 when it reaches a numbered step of a snapshot or of a download.</summary>
    CrashAtSnapshot,

    /// <summary>With snapshots: an instance will fall asleep when it reaches such a step, for some events.</summary>
    SleepAtSnapshot,

    /// <summary>With snapshots: calls of the store will fail, before or after they were carried out.</summary>
    StoreFails,

    /// <summary>With snapshots: an object of the store is lost, or has another byte in it.</summary>
    StoreDamage,

    /// <summary>The next calls of the code of steps take time on the clock.</summary>
    SlowCode,

    /// <summary>The code of a step will fail: its instance ends.</summary>
    CodeFails,

    /// <summary>A call of an admin or of a reader will fail: the broker is away, or refuses it.</summary>
    FailClient,

    /// <summary>A reader of an input or repartition topic will be told that its position does not exist.</summary>
    OutOfRange,

    /// <summary>The disk will be full, once, when something is written to the folder of a shard.</summary>
    DiskFull,

    /// <summary>The offsets of transactions that are decided become visible late.</summary>
    HoldOffsets,

    /// <summary>The offsets that were late become visible.</summary>
    ReleaseOffsets,

    /// <summary>The group's positions in a topic expire.</summary>
    ExpirePositions,

    /// <summary>
    /// An input, a repartition topic or the changelog is deleted and made anew. All must refuse to go on, also when they start
    /// again; then the run is over.
    /// </summary>
    TopicMadeAnew,

    /// <summary>
    /// An instance starts that is of the other kind than the rest: to end with the inputs beside ones without an end, or the
    /// other way round.
    /// </summary>
    OtherKind,

    /// <summary>A finite run begins in the midst of it all.</summary>
    End,

    /// <summary>Faults stop, a finite run ends, and all leave; then they go on.</summary>
    Finish,
}

/// <summary>One event; A to D are numbers that it uses as it likes, each 0 to 9,999.</summary>
internal readonly record struct SimulationEvent(SimulationEventKind Kind, int A, int B, int C, int D)
{
    /// <summary>
    /// The steps at which an instance can stop or sleep. "begin" is there more often: whoever sleeps there has work that
    /// no time-out of a transaction takes away.
    /// </summary>
    public static readonly string[] Steps =
    [
        "takeover.1", "takeover.2", "takeover.3", "takeover.4", "takeover.5",
        "begin", "begin", "begin", "turn", "commit.0", "commit.1", "commit.2", "commit.3", "commit.4", "commit.5", "commit.6",
        "run.1", "run.2", "run.3", "run.4", "run.5",
    ];

    private const int QuietEvery = 30;

    private static readonly (SimulationEventKind Kind, int Weight)[] Weights =
    [
        (SimulationEventKind.Push, 90), (SimulationEventKind.Round, 120), (SimulationEventKind.Turn, 70), (SimulationEventKind.Part, 80),
        (SimulationEventKind.Add, 6), (SimulationEventKind.Stop, 3), (SimulationEventKind.Crash, 5), (SimulationEventKind.Open, 22),
        (SimulationEventKind.CrashAt, 10), (SimulationEventKind.SleepAt, 6), (SimulationEventKind.WorkerSleepsAt, 6),
        (SimulationEventKind.Sleep, 5), (SimulationEventKind.MembershipSleeps, 3), (SimulationEventKind.Wake, 20), (SimulationEventKind.Pass, 8),
        (SimulationEventKind.ClockJump, 2), (SimulationEventKind.Days, 2), (SimulationEventKind.HoldMarkers, 7), (SimulationEventKind.ReleaseMarkers, 9),
        (SimulationEventKind.Compact, 5), (SimulationEventKind.TruncateChangelog, 2), (SimulationEventKind.FailCall, 12), (SimulationEventKind.Fence, 3),
        (SimulationEventKind.SlowCode, 5), (SimulationEventKind.CodeFails, 3), (SimulationEventKind.FailClient, 6), (SimulationEventKind.OutOfRange, 1), (SimulationEventKind.DiskFull, 3),
        (SimulationEventKind.HoldOffsets, 3), (SimulationEventKind.ReleaseOffsets, 5), (SimulationEventKind.ExpirePositions, 1),
    ];

    /// <summary>The steps of a snapshot, and of a restore from one.</summary>
    private static readonly string[] SnapshotSteps = ["snapshot.1", "snapshot.2", "snapshot.2", "snapshot.3", "snapshot.5", "restore.file"];

    /// <summary>What else happens in a run with snapshots.</summary>
    private static readonly (SimulationEventKind Kind, int Weight)[] SnapshotWeights =
    [
        .. Weights,
        (SimulationEventKind.CrashAtSnapshot, 8), (SimulationEventKind.SleepAtSnapshot, 8), (SimulationEventKind.StoreFails, 8),
        (SimulationEventKind.StoreDamage, 2), (SimulationEventKind.Corrupt, 3), (SimulationEventKind.TruncateChangelog, 4),
    ];

    /// <summary>The step that this event waits for.</summary>
    public string Step => IsAtSnapshotStep ? SnapshotSteps[B % SnapshotSteps.Length] : Steps[B % Steps.Length];

    public bool IsAtStep => IsAtSnapshotStep || Kind is SimulationEventKind.CrashAt or SimulationEventKind.SleepAt or SimulationEventKind.WorkerSleepsAt;

    public bool IsCrash => Kind is SimulationEventKind.CrashAt or SimulationEventKind.CrashAtSnapshot;

    /// <summary>The whole instance falls asleep, not a worker of it.</summary>
    public bool IsSleep => Kind is SimulationEventKind.SleepAt or SimulationEventKind.SleepAtSnapshot;

    private bool IsAtSnapshotStep => Kind is SimulationEventKind.CrashAtSnapshot or SimulationEventKind.SleepAtSnapshot;

    /// <summary>
    /// The events of a seed: one to three finite runs, each of which begins amidst the faults or after them. In some stretches
    /// nothing arrives: then only timers work, and no position moves.
    /// </summary>
    public static List<SimulationEvent> Draw(Random random, int count, bool withSnapshots, SimulationMix mix)
    {
        (SimulationEventKind Kind, int Weight)[] weights = withSnapshots ? SnapshotWeights : Weights;
        List<SimulationEvent> events = [Any(SimulationEventKind.Add), Any(SimulationEventKind.Push)];
        int runs = random.Next(4) == 0 ? 1 + random.Next(3) : 1;
        bool quiet = false;
        for (int run = 0; run < runs; run++)
        {
            int length = count / runs;
            int endAt = length * (1 + random.Next(4)) / 4;
            for (int i = 0; i < length; i++)
            {
                if (i == endAt)
                {
                    events.Add(Any(SimulationEventKind.End));
                }

                if (i % QuietEvery == 0)
                {
                    quiet = random.Next(3) == 0;
                }

                SimulationEventKind kind = Kind();
                events.Add(Any(quiet && kind == SimulationEventKind.Push ? SimulationEventKind.Round : kind));
            }

            events.Add(Any(SimulationEventKind.Finish));
        }

        if (random.Next(12) == 0)
        {
            events.Insert((events.Count / 3) + random.Next(events.Count / 2), Any(SimulationEventKind.TopicMadeAnew));
        }

        mix.AddTo(events);
        return events;

        SimulationEvent Any(SimulationEventKind kind) => new(kind, random.Next(10_000), random.Next(10_000), random.Next(10_000), random.Next(10_000));

        SimulationEventKind Kind()
        {
            int at = random.Next(weights.Sum(entry => entry.Weight));
            foreach ((SimulationEventKind kind, int weight) in weights)
            {
                if ((at -= weight) < 0)
                {
                    return kind;
                }
            }

            return SimulationEventKind.Round;
        }
    }

    public override string ToString() => IsAtStep
        ? string.Create(CultureInfo.InvariantCulture, $"{Kind} {Step} ({A}, {B}, {C}, {D})")
        : string.Create(CultureInfo.InvariantCulture, $"{Kind} ({A}, {B}, {C}, {D})");
}
