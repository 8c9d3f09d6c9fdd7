using System.Security.Cryptography;

namespace KStreamSharp;

/// <summary>A checkpoint of a shard on its way to the store. The folder is this object's, and removed by it.</summary>
/// <param name="Folder">The checkpoint's folder.</param>
/// <param name="Stored">What the checkpoint holds, by its own marker.</param>
/// <param name="Steps">The steps that have state in it.</param>
/// <param name="Kept">The published snapshots; nothing is published of the shard until this upload has ended.</param>
/// <param name="BytesPerOffset">The bytes of a changelog offset on average; 0 when unknown.</param>
/// <param name="Request">The offset of the newest request that it answers; −1 for none.</param>
internal sealed record ShardCheckpoint(string Folder, StoredMarker Stored, IReadOnlyList<string> Steps, IReadOnlyList<SnapshotEntry> Kept, long BytesPerOffset, long Request);

/// <summary>
/// The objects of one shard under one owner epoch: what of a checkpoint is new goes up, and what no kept snapshot names goes.
/// Used by the snapshotter alone, one thing at a time.
/// </summary>
/// <remarks>
/// Always true: an owner writes only below its own epoch; a snapshot names only objects that were in the store when it was
/// made, and that either a kept snapshot names or its own epoch wrote. So nothing that it names goes while it is kept:
/// older owners cannot publish any more, and the owner itself looks at the manifests of all that it keeps.
/// </remarks>
internal class SnapshotSeries(InstanceContext parts, int shard, long ownerEpoch)
{
    private readonly SnapshotPlace _place = new(parts.App, shard);
    private readonly Dictionary<string, SnapshotManifest> _manifests = [];
    private readonly Dictionary<string, string> _hashes = [];

    public int Shard => shard;

    protected SnapshotPlace Place => _place;

    protected Guid ChangelogId => parts.Topics.ChangelogId;

    protected long OwnerEpoch => ownerEpoch;

    private ISnapshotStore Store => parts.Options.Snapshots!.Store;

    /// <summary>Snapshot, steps 2 and 3: the files that the store lacks, then the manifest. The answer is what to publish.</summary>
    /// <exception cref="IOException">The store fails.</exception>
    public async Task<SnapshotEntry> UploadAsync(ShardCheckpoint checkpoint, UploadBudget budget, CancellationToken stop)
    {
        Dictionary<string, string> known = await KnownAsync(checkpoint.Kept, stop).ConfigureAwait(false);
        List<SnapshotFile> files = [];
        foreach (string path in Directory.EnumerateFiles(checkpoint.Folder).Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileName(path);
            string hash = Hash(path, name);
            long bytes = new FileInfo(path).Length;
            if (!known.TryGetValue(Key(hash, bytes), out string? stored))
            {
                stored = _place.Content(ChangelogId, ownerEpoch, hash);
                await using Stream content = budget.Limit(File.OpenRead(path), stop);
                await Store.PutAsync(stored, content, stop).ConfigureAwait(false);
                known[Key(hash, bytes)] = stored;
                Interlocked.Add(ref parts.Counters.SnapshotBytes, bytes);
                parts.Reached?.Invoke("snapshot.2");
            }

            files.Add(new SnapshotFile(name, bytes, hash, stored));
        }

        SnapshotManifest manifest = Describe(checkpoint, files);
        byte[] json = manifest.Write();
        SnapshotEntry entry = new()
        {
            OwnerEpoch = ownerEpoch,
            Position = manifest.Position,
            ChangelogId = manifest.ChangelogId,
            BrokerTime = manifest.BrokerTime,
            TakenAt = parts.NowMilliseconds,
            Bytes = files.Sum(file => file.Bytes),
            BytesPerOffset = checkpoint.BytesPerOffset,
            Request = checkpoint.Request,
            ManifestHash = SHA256.HashData(json),
        };
        using MemoryStream described = new(json);
        await Store.PutAsync(_place.Manifest(entry), described, stop).ConfigureAwait(false);
        _manifests[entry.Id] = manifest;
        parts.Reached?.Invoke("snapshot.3");
        return entry;
    }

    /// <summary>Snapshot, step 5, after a publish: everything of this epoch and older ones that no kept snapshot names is deleted.</summary>
    /// <exception cref="IOException">The store fails.</exception>
    /// <exception cref="SnapshotDamagedException">A kept manifest cannot be read: what it names is not known, so nothing is deleted.</exception>
    public async Task CollectAsync(IReadOnlyList<SnapshotEntry> kept, CancellationToken stop)
    {
        List<SnapshotManifest> manifests = [];
        foreach (SnapshotEntry entry in kept)
        {
            manifests.Add(await ManifestAsync(entry, stop).ConfigureAwait(false));
        }

        foreach (string gone in _manifests.Keys.Except(kept.Select(entry => entry.Id)).ToArray())
        {
            _manifests.Remove(gone);
        }

        IReadOnlyList<SnapshotObject> objects = await Store.ListAsync(_place.Prefix(ChangelogId), stop).ConfigureAwait(false);
        foreach (string name in Garbage(objects, kept, manifests))
        {
            await Store.DeleteAsync(name, stop).ConfigureAwait(false);
            parts.Reached?.Invoke("snapshot.5");
        }
    }

    /// <summary>What may be deleted. Younger epochs are another owner's.</summary>
    protected virtual IEnumerable<string> Garbage(IReadOnlyList<SnapshotObject> objects, IReadOnlyList<SnapshotEntry> kept, IReadOnlyList<SnapshotManifest> manifests)
    {
        HashSet<string> named = [.. kept.Select(_place.Manifest), .. manifests.SelectMany(manifest => manifest.Files, (_, file) => file.Object)];
        return objects.Select(stored => stored.Name).Where(name => _place.EpochOf(name, ChangelogId) <= ownerEpoch && !named.Contains(name));
    }

    private static string Key(string hash, long bytes) => $"{hash}/{bytes}";

    /// <summary>The objects that may be named again, by hash and length: they are in the store, and stay there.</summary>
    private async Task<Dictionary<string, string>> KnownAsync(IReadOnlyList<SnapshotEntry> kept, CancellationToken stop)
    {
        IReadOnlyList<SnapshotObject> objects = await Store.ListAsync(_place.Prefix(ChangelogId), stop).ConfigureAwait(false);
        Dictionary<string, long> stored = objects.ToDictionary(item => item.Name, item => item.Bytes, StringComparer.Ordinal);
        Dictionary<string, string> known = [];
        foreach (SnapshotObject item in objects.Where(item => _place.EpochOf(item.Name, ChangelogId) == ownerEpoch))
        {
            known[Key(item.Name[(item.Name.LastIndexOf('/') + 1)..], item.Bytes)] = item.Name;
        }

        foreach (SnapshotEntry entry in kept.Where(entry => entry.ChangelogId == ChangelogId))
        {
            try
            {
                SnapshotManifest manifest = await ManifestAsync(entry, stop).ConfigureAwait(false);
                foreach (SnapshotFile file in manifest.Files.Where(file => stored.GetValueOrDefault(file.Object, -1) == file.Bytes))
                {
                    known[Key(file.Sha256, file.Bytes)] = file.Object;
                }
            }
            catch (SnapshotDamagedException error)
            {
                Log.SnapshotUnusable(parts.Logger, shard, entry.Id, error.Message);
            }
        }

        return known;
    }

    private async Task<SnapshotManifest> ManifestAsync(SnapshotEntry entry, CancellationToken stop)
    {
        if (!_manifests.TryGetValue(entry.Id, out SnapshotManifest? manifest))
        {
            _manifests[entry.Id] = manifest = await SnapshotManifest.LoadAsync(Store, _place, entry, stop).ConfigureAwait(false);
        }

        return manifest;
    }

    /// <summary>While the store is open its table files never change and their names never come back; the other files do change.</summary>
    private string Hash(string path, string name)
    {
        bool isTable = name.EndsWith(".sst", StringComparison.Ordinal);
        if (isTable && _hashes.TryGetValue(name, out string? hash))
        {
            return hash;
        }

        using FileStream content = File.OpenRead(path);
        hash = Convert.ToHexStringLower(SHA256.HashData(content));
        if (isTable)
        {
            _hashes[name] = hash;
        }

        return hash;
    }

    private SnapshotManifest Describe(ShardCheckpoint checkpoint, IReadOnlyList<SnapshotFile> files) => new()
    {
        Format = SnapshotManifest.FormatNow,
        App = parts.App,
        Flow = parts.Flow.Id,
        Shard = shard,
        OwnerEpoch = ownerEpoch,
        Steps = checkpoint.Steps,
        ChangelogId = ChangelogId,
        Position = checkpoint.Stored.ChangelogPosition,
        BrokerTime = checkpoint.Stored.BrokerTime,
        Sources = [.. checkpoint.Stored.Marker!.Positions.Select(source => new SnapshotSource(source.Key.Topic, source.Key.Partition, source.Value))],
        Files = files,
    };
}
