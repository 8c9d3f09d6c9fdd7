namespace KStreamSharp;

/// <summary>
/// What the worker of a shard says of it once per turn and commit, for status and telemetry; any thread may read it. There is
/// one per shard and instance, so that counts go on when a shard comes back.
/// </summary>
internal sealed class ShardFigures(Dataflow flow, int shard)
{
    private readonly Dictionary<string, StepFigures> _steps = flow.Steps
        .Where(step => step.IsSource || step.Operator == "output" || step.State is not null)
        .ToDictionary(step => step.Id, step => new StepFigures(step), StringComparer.Ordinal);

    private volatile bool _isHere;
    private volatile bool _isAsked;
    private volatile StoreFigures? _store;
    private volatile SnapshotEntry? _snapshot;

    public long ChangelogRecords;
    public long ChangelogBytes;

    /// <summary>The time of the last commit, in milliseconds since 1970; 0 when none is known.</summary>
    public long LastCommitAt;

    public int Shard => shard;

    /// <summary>Whether the shard has run in this instance at all.</summary>
    public bool HasBeenHere { get; private set; }

    public IReadOnlyCollection<StepFigures> Steps => _steps.Values;

    /// <summary>Whether the shard runs in this instance now.</summary>
    public bool IsHere
    {
        get => _isHere;
        set
        {
            _isHere = value;
            _store = null;
            HasBeenHere |= value;
        }
    }

    /// <summary>The newest published snapshot; null when there is none.</summary>
    public SnapshotEntry? Snapshot
    {
        get => _snapshot;
        set => _snapshot = value;
    }

    /// <summary>
    /// What RocksDB says of itself, as the worker has read it since the last call; null when it has not yet. Only the worker
    /// may touch the store, so a call asks it to look, and the next one has the answer.
    /// </summary>
    public StoreFigures? AskStore()
    {
        _isAsked = true;
        return _store;
    }

    /// <summary>From the worker: looks at the store if someone has asked.</summary>
    public void LookIfAsked(ShardStore store)
    {
        if (_isAsked)
        {
            _isAsked = false;
            _store = StoreFigures.Read(store);
        }
    }

    public StepFigures Of(string step) => _steps[step];

    /// <summary>A shard's status with what is known here.</summary>
    public ShardStatus AddTo(ShardStatus status)
    {
        long commit = Volatile.Read(ref LastCommitAt);
        SnapshotEntry? snapshot = IsHere ? Snapshot : null;
        return !IsHere ? status : status with
        {
            Lag = Steps.Any(step => step.Lag is not null) ? Steps.Sum(step => step.Lag ?? 0) : null,
            LastCommit = commit > 0 ? DateTimeOffset.FromUnixTimeMilliseconds(commit) : null,
            LastSnapshot = snapshot is null ? null : new SnapshotStatus(snapshot.Id, DateTimeOffset.FromUnixTimeMilliseconds(snapshot.TakenAt), snapshot.Bytes),
        };
    }
}

/// <summary>A step in a shard. Counts only grow; the other figures are of the last turn.</summary>
internal sealed class StepFigures(Step step)
{
    private const long Unknown = -1;

    public long In;
    public long Skipped;
    public long Out;
    public long CacheBytes;
    public long CacheKeys;
    public long CacheMisses;
    public long Position = Unknown;
    public long End = Unknown;

    public string Step { get; } = step.Id;

    public bool IsSource { get; } = step.IsSource;

    public bool IsSink { get; } = step.IsRepartition || step.Operator == "output";

    public bool HasState { get; } = step.State is not null;

    /// <summary>What the shard reads of a source; null when it reads nothing of it.</summary>
    public TopicPartition? Partition { get; private set; }

    /// <summary>Whether nobody knows yet where the source ends.</summary>
    public bool IsEndUnknown => Partition is not null && Volatile.Read(ref End) == Unknown;

    /// <summary>Offsets to the end, as far as both are known.</summary>
    public long? Lag
    {
        get
        {
            long end = Volatile.Read(ref End);
            return Partition is null || end == Unknown ? null : Math.Max(0, end - Volatile.Read(ref Position));
        }
    }

    /// <summary>From the worker: the shard begins to read a source.</summary>
    public void Begin(TopicPartition partition, long position)
    {
        Volatile.Write(ref End, Unknown);
        Volatile.Write(ref Position, position);
        Partition = partition;
    }
}

/// <summary>What RocksDB says of a shard's store.</summary>
internal sealed record StoreFigures(long MemtableBytes, long PendingCompactionBytes, long FileBytes, long Stalled, long Timers, IReadOnlyDictionary<string, (long Keys, long Bytes)> Steps)
{
    private const string Keys = "rocksdb.estimate-num-keys";

    public static StoreFigures Read(ShardStore store) => new(
        store.Property("rocksdb.cur-size-all-mem-tables"),
        store.Property("rocksdb.estimate-pending-compaction-bytes"),
        store.Property("rocksdb.total-sst-files-size"),
        store.Property("rocksdb.is-write-stopped"),
        store.Property(Keys, ShardStore.TimersOfAll),
        store.StepsWithState.ToDictionary(step => step, step => (store.Property(Keys, step), store.Property("rocksdb.estimate-live-data-size", step)), StringComparer.Ordinal));
}
