namespace KStreamSharp;

/// <summary>A shard whose state is at the last commit, on its way to a worker.</summary>
internal sealed record RestoredShard(
    int Shard, long Number, ShardStore Store, long OwnerEpoch, IReadOnlyDictionary<TopicPartition, long> Positions, IReadOnlyDictionary<string, Guid> TopicIds,
    long Watermark, RunProgress Run, IReadOnlyList<SnapshotEntry> Snapshots);
