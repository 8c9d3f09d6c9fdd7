namespace KStreamSharp;

/// <summary>A metric as <c>docs/telemetry.md</c> lists it; a test compares the page with this.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Kind">What it is: counter, gauge or histogram.</param>
/// <param name="Unit">The unit, as OpenTelemetry writes them: <c>s</c>, <c>By</c>, <c>1</c> for a ratio, else what is counted, in braces.</param>
/// <param name="Labels">The labels beside <c>app</c>, which all have.</param>
/// <param name="Meaning">What a person reads.</param>
internal sealed record Metric(string Name, string Kind, string Unit, string Labels, string Meaning);

/// <summary>Every metric of the engine. The series are bounded by shards and steps; nothing is labelled with keys, topics or members.</summary>
internal static class Metrics
{
    /// <summary>The labels of what is counted for each step in each shard.</summary>
    public const string ByStepAndShard = "step, shard";

    private const string Counter = "counter";
    private const string Gauge = "gauge";
    private const string Histogram = "histogram";

    public static readonly Metric RecordsIn = new("kstream.records.in", Counter, "{record}", ByStepAndShard, "records of inputs and repartition topics that were processed, aborted work included");
    public static readonly Metric RecordsSkipped = new("kstream.records.skipped", Counter, "{record}", ByStepAndShard, "records of inputs that were passed over as bad");
    public static readonly Metric RecordsOut = new("kstream.records.out", Counter, "{record}", ByStepAndShard, "records appended to outputs and repartition topics, aborted work included");
    public static readonly Metric Lag = new("kstream.lag", Gauge, "{record}", ByStepAndShard, "offsets from the position to the end, records of open transactions included; the end is asked for every 5 s");
    public static readonly Metric Latency = new("kstream.latency", Histogram, "s", "step", "from the timestamp of the oldest record of a source in a commit, as the first records of its batches show it, to the end of that commit");
    public static readonly Metric ProcessDuration = new("kstream.process.duration", Histogram, "s", "", "a turn of a shard that had records: their way through the steps, batches and due timers");
    public static readonly Metric Commits = new("kstream.commits", Counter, "{commit}", "", "transactions committed");
    public static readonly Metric CommitDuration = new("kstream.commit.duration", Histogram, "s", "", "a commit, from the first state written to the changes applied to RocksDB");
    public static readonly Metric CommitRecords = new("kstream.commit.records", Histogram, "{record}", "", "records in a transaction: outputs, states and commit markers");
    public static readonly Metric TransactionFailures = new("kstream.transaction.failures", Counter, "{failure}", "kind", "failed calls of transactions, by what they asked of the engine: retry, abort, lost_membership, new_writer or stop");
    public static readonly Metric ChangelogRecords = new("kstream.changelog.records", Counter, "{record}", "shard", "states written to the changelog in commits");
    public static readonly Metric ChangelogBytes = new("kstream.changelog.bytes", Counter, "By", "shard", "the bytes of their keys and values");
    public static readonly Metric CacheSize = new("kstream.cache.size", Gauge, "By", ByStepAndShard, "estimated bytes of the live state in memory");
    public static readonly Metric CacheKeys = new("kstream.cache.keys", Gauge, "{key}", ByStepAndShard, "keys in memory");
    public static readonly Metric CacheMisses = new("kstream.cache.misses", Counter, "{miss}", ByStepAndShard, "keys that were not in memory and were looked for in RocksDB");
    public static readonly Metric StateKeys = new("kstream.state.keys", Gauge, "{key}", ByStepAndShard, "keys with state in RocksDB, as it estimates them");
    public static readonly Metric StateSize = new("kstream.state.size", Gauge, "By", ByStepAndShard, "live bytes of state in the files of RocksDB, as it estimates them");
    public static readonly Metric Timers = new("kstream.timers", Gauge, "{timer}", "shard", "timer hints in RocksDB, as it estimates them: notifications pending, and some that are no longer");
    public static readonly Metric Memtable = new("kstream.rocksdb.memtable", Gauge, "By", "shard", "bytes of RocksDB's write buffers");
    public static readonly Metric PendingCompaction = new("kstream.rocksdb.compaction.pending", Gauge, "By", "shard", "bytes that compactions have yet to rewrite, as RocksDB estimates them");
    public static readonly Metric Files = new("kstream.rocksdb.files", Gauge, "By", "shard", "bytes of table files");
    public static readonly Metric Stalled = new("kstream.rocksdb.stalled", Gauge, "{family}", "shard", "column families whose writes RocksDB has stopped");
    public static readonly Metric BlockCache = new("kstream.rocksdb.block_cache", Gauge, "By", "", "bytes in the block cache, which all shards share, write buffers included");
    public static readonly Metric Restores = new("kstream.restores", Counter, "{restore}", "", "restores that are done");
    public static readonly Metric RestoreDuration = new("kstream.restore.duration", Histogram, "s", "", "a restore, from the first look at the positions to the last changelog record");
    public static readonly Metric RestoreRecords = new("kstream.restore.records", Counter, "{record}", "", "changelog records replayed in restores that are done");
    public static readonly Metric RestoreBytes = new("kstream.restore.bytes", Counter, "By", "", "bytes of snapshots downloaded in restores");
    public static readonly Metric RestoreProgress = new("kstream.restore.progress", Gauge, "1", "shard", "how much is done of the part of a restore that is under way: a download or a replay");
    public static readonly Metric RestoreRemaining = new("kstream.restore.remaining", Gauge, "s", "shard", "how long the rest of that part takes at the speed so far");
    public static readonly Metric SnapshotsRestored = new("kstream.snapshots.restored", Counter, "{snapshot}", "", "snapshots that shards were restored from");
    public static readonly Metric SnapshotsRefused = new("kstream.snapshots.refused", Counter, "{snapshot}", "", "snapshots that could not be used in a restore");
    public static readonly Metric Wipes = new("kstream.wipes", Counter, "{wipe}", "", "local states wiped or replaced");
    public static readonly Metric SnapshotsPublished = new("kstream.snapshots.published", Counter, "{snapshot}", "", "snapshots published");
    public static readonly Metric SnapshotDuration = new("kstream.snapshot.duration", Histogram, "s", "", "an upload of a snapshot");
    public static readonly Metric SnapshotBytes = new("kstream.snapshot.bytes", Counter, "By", "", "bytes uploaded for snapshots; files that the store had already are not among them");
    public static readonly Metric SnapshotFailures = new("kstream.snapshot.failures", Counter, "{failure}", "", "times that the snapshot store failed, in uploads, downloads and deletions");
    public static readonly Metric SnapshotAge = new("kstream.snapshot.age", Gauge, "s", "shard", "time since the newest published snapshot was taken");
    public static readonly Metric SnapshotSize = new("kstream.snapshot.size", Gauge, "By", "shard", "bytes of the newest published snapshot, all its files together");
    public static readonly Metric Member = new("kstream.member", Gauge, "{member}", "", "1 while the instance is a member of its group, else 0");
    public static readonly Metric Shards = new("kstream.shards", Gauge, "{shard}", "state", "shards that the instance owns, by what happens with them: owned, restoring, running or closing");
    public static readonly Metric Handovers = new("kstream.handovers", Counter, "{shard}", "kind", "shards that the group gave to the instance (assigned), asked back (revoked) or took without asking (lost)");

    /// <summary>All of them, in the order of the page.</summary>
    public static IReadOnlyList<Metric> All { get; } =
    [
        RecordsIn, RecordsSkipped, RecordsOut, Lag, Latency, ProcessDuration,
        Commits, CommitDuration, CommitRecords, TransactionFailures, ChangelogRecords, ChangelogBytes,
        CacheSize, CacheKeys, CacheMisses, StateKeys, StateSize, Timers, Memtable, PendingCompaction, Files, Stalled, BlockCache,
        Restores, RestoreDuration, RestoreRecords, RestoreBytes, RestoreProgress, RestoreRemaining, SnapshotsRestored, SnapshotsRefused, Wipes,
        SnapshotsPublished, SnapshotDuration, SnapshotBytes, SnapshotFailures, SnapshotAge, SnapshotSize,
        Member, Shards, Handovers,
    ];
}
