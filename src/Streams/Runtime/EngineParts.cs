using Microsoft.Extensions.Logging;

namespace KStreamSharp;

/// <summary>What the parts of one instance share.</summary>
internal sealed class EngineParts
{
    public required Dataflow Flow { get; init; }

    public required Broker Broker { get; init; }

    public required StreamOptions Options { get; init; }

    public required ILogger Logger { get; init; }

    public required TimeProvider Time { get; init; }

    public required string App { get; init; }

    public required string InstanceId { get; init; }

    public required AppTopics Topics { get; init; }

    public required Ownership Ownership { get; init; }

    public required ShardTable Table { get; init; }

    public required StateLimits Limits { get; init; }

    public required StateFolder Folder { get; init; }

    public Counters Counters { get; } = new();

    /// <summary>What is known of each shard, by its number.</summary>
    public required IReadOnlyList<ShardFigures> Figures { get; init; }

    public required Telemetry Telemetry { get; init; }

    /// <summary>When the instance began to end, by the time provider's timestamp; 0 before. Calls are not retried for ever after it.</summary>
    public long EndingSince;

    /// <summary>Called when a numbered step of commit, takeover or snapshot has been reached, after a turn, and before a transaction begins; tests stop an instance there.</summary>
    public Action<string>? Reached { get; init; }

    /// <summary>Begins long work beside the parts' turns; drivers and simulations do it in place.</summary>
    public Func<Func<Task>, Task> Beside { get; init; } = static work => work();

    public EngineSteps Steps { get; init; } = EngineSteps.Default;

    /// <summary>Commits only when asked by hand, as a driver does.</summary>
    public bool CommitsByHand { get; init; }

    public int ShardCount => Topics.ShardCount;

    /// <summary>The ids of the steps that keep state.</summary>
    public IEnumerable<string> StepsWithState => Flow.Steps.Where(step => step.State is not null).Select(step => step.Id);

    public long NowMilliseconds => Time.GetUtcNow().ToUnixTimeMilliseconds();
}

/// <summary>Makes an instance's commits, takeovers and snapshots. The simulator is tested with ones that do a step wrongly.</summary>
internal class EngineSteps
{
    public static EngineSteps Default { get; } = new();

    public virtual Commit NewCommit(EngineParts parts, Membership membership, Transaction transaction) => new(parts, membership, transaction);

    public virtual Takeover NewTakeover(EngineParts parts, int shard, long number) => new(parts, shard, number);

    /// <summary>Whether what a slice of the end of the input emitted is handled before a commit may come.</summary>
    public virtual bool EndsTurns => true;

    /// <summary>Purged records could not be deleted: that is housekeeping, and ends nothing.</summary>
    public virtual void PurgeFailed(BrokerException error)
    {
    }

    public virtual SnapshotSeries NewSnapshotSeries(EngineParts parts, int shard, long ownerEpoch) => new(parts, shard, ownerEpoch);
}

/// <summary>What an instance counts; written by its threads once per turn or commit, read by anyone.</summary>
internal sealed class Counters
{
    public long RecordsIn;
    public long RecordsFromInputs;
    public long RecordsOut;
    public long RecordsSkipped;
    public long Commits;
    public long RecordsRestored;
    public long RestoreTicks;
    public long Restores;
    public long Snapshots;
    public long SnapshotBytes;
    public long SnapshotFailures;
    public long SnapshotsRestored;
    public long SnapshotBytesRestored;
    public long SnapshotsRefused;
    public long Wipes;
    public long FirstRecordAt;
    public long LastCommitAt;
    public long ShardsAssigned;
    public long ShardsRevoked;
    public long ShardsLost;

    /// <summary>By what they asked of the engine (<see cref="Consequence"/>).</summary>
    public readonly long[] TransactionFailures = new long[Enum.GetValues<Consequence>().Length];
}
