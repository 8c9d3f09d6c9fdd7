namespace KStreamSharp.Hosting;

/// <summary>The states in snapshots, one of each shard: downloaded to a temporary folder when they are asked for, every file compared with its hash.</summary>
internal sealed class StoredSnapshots(ISnapshotStore store, string app, IReadOnlyList<(int Shard, SnapshotEntry Entry)> snapshots) : StoredState
{
    private readonly Dictionary<int, SnapshotEntry> _entries = snapshots.ToDictionary(snapshot => snapshot.Shard, snapshot => snapshot.Entry);
    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-snapshot-").FullName;

    public override string Name => $"snapshot{(snapshots.Count == 1 ? "" : "s")} {string.Join(", ", snapshots.Select(SnapshotCatalog.NameOf))}";

    public override IReadOnlyList<int> Shards => [.. _entries.Keys.Order()];

    public override string? SnapshotOf(int shard) => SnapshotCatalog.NameOf((shard, _entries[shard]));

    public override StoredShard OpenShard(int shard)
    {
        SnapshotEntry entry = _entries[shard];
        string folder = StateFolder.ShardPath(_folder, shard);
        try
        {
            if (!Directory.Exists(folder))
            {
                SnapshotDownload download = new(store, new SnapshotPlace(app, shard), entry, folder, nearby: null);
                download.Start(static work => work());
                download.Check();
            }

            StoredShard stored = StoredShard.Open(folder);
            if (stored.Marker?.ChangelogPosition == entry.Position)
            {
                return stored;
            }

            stored.Dispose();
            throw new SnapshotDamagedException($"it holds the states at offset {stored.Marker?.ChangelogPosition}, and was published as those at {entry.Position}");
        }
        catch (Exception error) when (error is SnapshotDamagedException or ShardDamagedException or IOException)
        {
            throw new StreamException(ExitCode.State, $"Snapshot {SnapshotOf(shard)} cannot be used: {(error is ShardDamagedException damaged ? damaged.Reason : error.Message).TrimEnd('.')}. Try another one.", error);
        }
    }

    public override void Dispose() => StateFolder.Remove(_folder);
}
