using System.Text;
using RocksDbSharp;

namespace KStreamSharp.Testing;

/// <summary>
/// What must be true of every flow: of its commits, restores and folders at any moment, and of its topics when all have
/// left. The names are those of the table in <c>docs/simulation.md</c>.
/// </summary>
/// <remarks>
/// The audit reads the changelog as it grows, so that it still knows what compaction and deletion have taken from the broker.
/// </remarks>
internal sealed class SimulationAudit
{
    /// <summary>A reader that fetches ahead brings a few records at a time.</summary>
    private const int SnapshotListSteps = 10_000;

    private readonly Cluster _cluster;
    private readonly string _changelog;
    private readonly ShardHistory[] _shards;
    private readonly long[] _next;
    private readonly HashSet<string> _planned = [];
    private readonly Dictionary<string, long> _restoredFrom = [];
    private readonly HashSet<string> _repartitions;
    private readonly Action<string> _count;
    private readonly Action<string>? _trace;

    public SimulationAudit(Cluster cluster, Action<string> count, Action<string>? trace)
    {
        _trace = trace;
        _cluster = cluster;
        _count = count;
        _changelog = InternalTopics.Changelog(cluster.Flow.Id);
        _repartitions = [.. cluster.Flow.Steps.Where(step => step.IsRepartition).Select(step => step.RepartitionTopic(cluster.Flow.Id))];
        _next = new long[cluster.Shards];
        _shards = [.. Enumerable.Range(0, cluster.Shards).Select(_ => new ShardHistory())];
    }

    /// <summary>The commits since the last look: one owner per epoch, epochs without a gap, and positions that never go back.</summary>
    public void Look()
    {
        foreach (EmbeddedRecord record in _cluster.Broker.ReadAll(_changelog, from: _next))
        {
            ShardHistory shard = _shards[record.Partition];
            if (ShardChanges.ReadKey(record.Key, out _) is not null)
            {
                shard.Add(record);
                continue;
            }

            CommitMarker marker = CommitMarker.Read(record.Value);
            _trace?.Invoke($"     committed at {record.Offset}: shard {record.Partition} by {marker.TransactionalId} as owner {marker.OwnerEpoch}, run {marker.Run.Run}{(marker.Run.Done ? " done" : "")}, {string.Join(", ", marker.Positions.Select(source => $"{source.Key} {source.Value}"))}");
            if (shard.Last is { } last)
            {
                Compare(record.Partition, last, marker);
            }

            shard.Add(record, marker);
        }
    }

    /// <summary>A folder has been opened for a restore: what it holds was flushed, and no crash takes it away.</summary>
    public void Planned(Cluster.Member member, int shard) => _planned.Add(member.ShardFolder(shard));

    /// <summary>A restore goes on where its folder ends: never before the place where it once began, unless the folder was wiped since.</summary>
    public void BeginsToRestore(Cluster.Member member, int shard, long from)
    {
        member.ExactFrom[shard] = long.MaxValue;
        string folder = member.ShardFolder(shard);
        if (!_planned.Remove(folder))
        {
            // The tail is read again, into the store that is open.
            return;
        }

        if (_restoredFrom.TryGetValue(folder, out long before) && from < before)
        {
            throw new SimulationBreach($"shard {shard}: {member.Name} restores from {from}, though it began at {before} earlier and its folder was not wiped");
        }

        _restoredFrom[folder] = from;
    }

    /// <summary>A restore has come to the end that it looked for.</summary>
    public static void Restored(Cluster.Member member, int shard, long end) => member.ExactFrom[shard] = end;

    /// <summary>A folder may be wiped when it is too old for the tombstones, or damaged; never because of a crash.</summary>
    public void Wiped(Cluster.Member member, int shard, string reason)
    {
        bool isOld = reason.Contains("older than the changelog keeps tombstones", StringComparison.Ordinal);
        bool isBehind = reason.Contains(", the changelog begins at ", StringComparison.Ordinal);
        bool isReplaced = !reason.Contains("the local state cannot be used", StringComparison.Ordinal) && reason.Contains("snapshot ", StringComparison.Ordinal);
        if (isBehind || isReplaced)
        {
            _count(isBehind ? "Wiped: before the changelog's start, a snapshot is there" : "Wiped: a snapshot is nearer");
            Replaced(member, shard);
            return;
        }

        if (!isOld && !member.Damaged.Contains(shard))
        {
            throw new SimulationBreach($"shard {shard}: {member.Name} wipes its folder: {reason}");
        }

        _count(isOld ? "Wiped: too old for the tombstones" : "Wiped: damaged");
        member.Damaged.Remove(shard);
        Replaced(member, shard);
    }

    /// <summary>The folder of a shard is another one from now on.</summary>
    public void Replaced(Cluster.Member member, int shard) => _restoredFrom.Remove(member.ShardFolder(shard));

    /// <summary>The folder of a shard of an instance that is down, crashed or not: it is what the changelog says up to its position.</summary>
    public void CheckFolder(Cluster.Member member, int shard)
    {
        if (!member.Damaged.Contains(shard) && ShardFolder.Read(member.ShardFolder(shard)) is { } folder)
        {
            CheckFolder(member, shard, folder);
        }
    }

    /// <summary>The state of every key of a step, as the changelog has it up to its end; null where the key was deleted.</summary>
    public IEnumerable<(byte[] Key, byte[]? Envelope)> States(string step) =>
        _shards.SelectMany(shard => shard.At(long.MaxValue)).Where(state => ShardChanges.ReadKey(state.Key, out _) == step).Select(state =>
        {
            ShardChanges.ReadKey(state.Key, out ReadOnlySpan<byte> key);
            return (key.ToArray(), state.Envelope);
        });

    /// <summary>
    /// All have left: no transaction hangs, everything that was there has been read, the group's positions are those of the
    /// last commits, and changelog and folders say the same.
    /// </summary>
    /// <param name="store">The store of snapshots, or null.</param>
    /// <param name="expired">The topics of which the group's positions have expired: an idle shard does not commit them again.</param>
    public void CheckEnd(SimulatedStore? store, IReadOnlySet<string> expired)
    {
        _cluster.Clock.Advance(TimeSpan.FromSeconds(2));
        Look();
        CheckNothingHangs();
        for (int shard = 0; shard < _shards.Length; shard++)
        {
            if (_shards[shard].Last is { } marker)
            {
                CheckPositions(shard, marker, expired);
                CheckReplay(shard);
                CheckFolders(shard);
                if (store is not null)
                {
                    CheckSnapshots(shard, store);
                }
            }
        }
    }

    /// <summary>Every published snapshot is whole, and is what the changelog says up to its position; nothing else is left in the store.</summary>
    private void CheckSnapshots(int shard, SimulatedStore store)
    {
        using SnapshotListReader reader = new(_cluster.Broker, _cluster.Flow.Id, shard);
        SnapshotPlace place = new(_cluster.Flow.Id, shard);
        IReadOnlyList<SnapshotEntry>? entries = null;
        for (int step = 0; entries is null && step < SnapshotListSteps; step++)
        {
            reader.Step(out entries);
        }

        if (entries is null)
        {
            throw new SimulationBreach($"shard {shard}: the list of its snapshots cannot be read to its end");
        }

        foreach (SnapshotEntry entry in entries)
        {
            string manifestName = place.Manifest(entry);
            if (store.IsDamagedAt(manifestName))
            {
                continue;
            }

            SnapshotManifest manifest = SnapshotManifest.LoadAsync(store.Store, place, entry, CancellationToken.None).GetAwaiter().GetResult();
            if (manifest.Files.FirstOrDefault(file => !store.IsDamagedAt(file.Object) && !store.Store.Objects.ContainsKey(file.Object)) is { } missing)
            {
                throw new SimulationBreach($"shard {shard}: snapshot {entry.Id} is published, but {missing.Object} ({missing.Name}) is not there");
            }

            if (manifest.Files.Any(file => store.IsDamagedAt(file.Object)))
            {
                continue;
            }

            string path = _cluster.NewFolder();
            Directory.CreateDirectory(path);
            foreach (SnapshotFile file in manifest.Files)
            {
                File.WriteAllBytes(Path.Combine(path, file.Name), store.Store.Objects[file.Object]);
            }

            ShardFolder? folder;
            try
            {
                folder = ShardFolder.Read(path) ?? throw new SimulationBreach($"shard {shard}: snapshot {entry.Id} holds nothing");
            }
            catch (RocksDbException) when (_cluster.HasDamagedFolders)
            {
                // Taken of a folder that was damaged and not yet known to be: a restore looks at every block before it uses it.
                _count("Audit: snapshot of a damaged folder");
                continue;
            }

            if (folder.Position != entry.Position)
            {
                throw new SimulationBreach($"shard {shard}: snapshot {entry.Id} is at {folder.Position}");
            }

            _count("Audit: snapshot compared with the changelog");
            CheckSame($"snapshot {entry.Id} of shard {shard}", shard, folder.Position, folder.States);
            Directory.Delete(path, recursive: true);
        }
    }

    private void CheckNothingHangs()
    {
        foreach (string topic in Topics())
        {
            for (int partition = 0; partition < _cluster.Broker.PartitionCount(topic); partition++)
            {
                TopicPartition log = new(topic, partition);
                long end = _cluster.Broker.EndOffset(log, committedOnly: false);
                if (_cluster.Broker.EndOffset(log, committedOnly: true) != end)
                {
                    throw new SimulationBreach($"{log} ends at {end}, but a transaction in it has no end");
                }
            }
        }
    }

    private IEnumerable<string> Topics() => [.. _cluster.Flow.Steps.Select(step => step.Topic).OfType<string>(), .. _repartitions, _changelog, InternalTopics.Shards(_cluster.Flow.Id)];

    private void CheckPositions(int shard, CommitMarker marker, IReadOnlySet<string> expired)
    {
        TopicPartition[] sources = [.. marker.Positions.Keys];
        _cluster.Broker.TryGetCommittedOffsets(_cluster.Flow.Id, sources, out long?[] group);
        for (int i = 0; i < sources.Length; i++)
        {
            long position = marker.Positions[sources[i]];
            if (group[i] != position && !(group[i] is null && expired.Contains(sources[i].Topic)))
            {
                throw new SimulationBreach($"the last commit of shard {shard} says {position} for {sources[i]}, the group says {group[i]?.ToString() ?? "nothing"}");
            }

            long[] from = new long[_cluster.Shards];
            from[sources[i].Partition] = position;
            bool isRepartition = _repartitions.Contains(sources[i].Topic);

            // The word that a run has ended may come twice, and has no key.
            if (_cluster.Broker.ReadAll(sources[i].Topic, from: from).FirstOrDefault(record => record.Partition == sources[i].Partition && !(isRepartition && record.Key is null)) is { } left)
            {
                throw new SimulationBreach($"the run is done, but offset {left.Offset} of {sources[i]} has not been read: the position is {position}");
            }
        }
    }

    /// <summary>What the broker has still is what was ever committed: compaction took nothing that counts.</summary>
    private void CheckReplay(int shard)
    {
        TopicPartition changelog = new(_changelog, shard);
        if (_cluster.Broker.StartOffset(changelog) > 0)
        {
            return;
        }

        Dictionary<byte[], byte[]> replayed = new(KeyComparer.Instance);
        foreach (EmbeddedRecord record in _cluster.Broker.ReadAll(_changelog).Where(record => record.Partition == shard && ShardChanges.ReadKey(record.Key, out _) is not null))
        {
            if (record.Value is null)
            {
                replayed.Remove(record.Key!);
            }
            else
            {
                replayed[record.Key!] = record.Value;
            }
        }

        CheckSame($"the changelog of shard {shard}, replayed from its start,", shard, long.MaxValue, replayed);
    }

    private void CheckFolders(int shard)
    {
        bool any = false;
        foreach (Cluster.Member member in _cluster.Members)
        {
            if (member.Damaged.Contains(shard))
            {
                any = true;
            }
            else if (ShardFolder.Read(member.ShardFolder(shard)) is { } folder)
            {
                CheckFolder(member, shard, folder);
                any |= folder.Position > _shards[shard].MarkerOffset;
            }
        }

        if (!any)
        {
            throw new SimulationBreach($"shard {shard}: all have left in order, but no folder is at the end of the changelog");
        }
    }

    private void CheckFolder(Cluster.Member member, int shard, ShardFolder folder)
    {
        if (folder.Position > _next[shard])
        {
            if (folder.Position > _cluster.Broker.EndOffset(new(_changelog, shard), committedOnly: false))
            {
                throw new SimulationBreach($"shard {shard}: the folder of {member.Name} is at {folder.Position}, after the end of the changelog");
            }

            // Markers come late: what it holds is not visible yet.
            return;
        }

        _count("Audit: folder compared with the changelog");
        string what = $"the folder of {member.Name} for shard {shard}, at {folder.Position},";
        if (folder.Position < member.ExactFrom.GetValueOrDefault(shard))
        {
            // In the midst of a restore: what is superseded further on may have been compacted away.
            _count("Audit: folder in the midst of a restore");
            CheckSame(what, shard, folder.Position, folder.States, isPartial: true);
            return;
        }

        CheckSame(what, shard, folder.Position, folder.States);
        if (!_shards[shard].MarkerAt(folder.Position).AsSpan().SequenceEqual(folder.Marker))
        {
            throw new SimulationBreach($"{what} has another marker than the changelog");
        }

        byte[] hint = [];
        foreach ((byte[] record, byte[] envelope) in folder.States)
        {
            string step = ShardChanges.ReadKey(record, out ReadOnlySpan<byte> key)!;
            long notifyAt = Envelope.Read(envelope, step).NotifyAt;
            if (notifyAt != Envelope.Never && !folder.Hints.Contains(TimerKey.Write(ref hint, step, notifyAt, key).ToArray()))
            {
                throw new SimulationBreach($"{what} has no hint for the timer of key {Encoding.UTF8.GetString(key)} in step {step}");
            }
        }
    }

    private void CheckSame(string what, int shard, long position, Dictionary<byte[], byte[]> actual, bool isPartial = false)
    {
        int live = 0;
        foreach ((byte[] key, byte[]? envelope) in _shards[shard].At(position))
        {
            byte[]? found = actual.GetValueOrDefault(key);
            live += envelope is null ? 0 : 1;
            if (isPartial && _shards[shard].IsSuperseded(key, position, found))
            {
                continue;
            }

            if (envelope is null ? found is not null : found is null || !found.AsSpan().SequenceEqual(envelope))
            {
                throw new SimulationBreach($"{what} has {Text(found)} for {Encoding.UTF8.GetString(key)}, committed was {Text(envelope)}");
            }
        }

        if (live != actual.Count && !isPartial)
        {
            throw new SimulationBreach($"{what} has {actual.Count} states, committed were {live}");
        }

        static string Text(byte[]? bytes) => bytes is null ? "nothing" : Convert.ToHexString(bytes);
    }

    private static void Compare(int shard, CommitMarker last, CommitMarker next)
    {
        if (next.OwnerEpoch < last.OwnerEpoch)
        {
            throw new SimulationBreach($"shard {shard}: {next.TransactionalId} committed as owner {next.OwnerEpoch} after {last.TransactionalId} as owner {last.OwnerEpoch}");
        }

        if (next.OwnerEpoch > last.OwnerEpoch + 1)
        {
            throw new SimulationBreach($"shard {shard}: {next.TransactionalId} committed as owner {next.OwnerEpoch}, the last owner was {last.OwnerEpoch}: a takeover did not see a claim, or two claimed at once");
        }

        if (next.OwnerEpoch == last.OwnerEpoch && next.TransactionalId != last.TransactionalId)
        {
            throw new SimulationBreach($"shard {shard}: {next.TransactionalId} and {last.TransactionalId} both committed as owner {next.OwnerEpoch}");
        }

        foreach ((TopicPartition source, long position) in last.Positions)
        {
            if (next.Positions.TryGetValue(source, out long now) && now < position)
            {
                throw new SimulationBreach($"shard {shard}: the position in {source} went back from {position} to {now}");
            }
        }

        if (next.Watermark < last.Watermark)
        {
            throw new SimulationBreach($"shard {shard}: the watermark went back from {last.Watermark} to {next.Watermark}");
        }

        if (next.Run.Run < last.Run.Run || (next.Run.Run == last.Run.Run && last.Run.Done && !next.Run.Done))
        {
            throw new SimulationBreach($"shard {shard}: went back from run {last.Run.Run} (done: {last.Run.Done}) to run {next.Run.Run} (done: {next.Run.Done})");
        }
    }

    /// <summary>Everything that was ever committed to the changelog of a shard.</summary>
    private sealed class ShardHistory
    {
        private readonly Dictionary<byte[], List<(long Offset, byte[]? Envelope)>> _states = new(KeyComparer.Instance);
        private readonly List<(long Offset, byte[] Marker)> _markers = [];

        public CommitMarker? Last { get; private set; }

        public long MarkerOffset => _markers[^1].Offset;

        public void Add(EmbeddedRecord record)
        {
            if (!_states.TryGetValue(record.Key!, out List<(long, byte[]?)>? versions))
            {
                _states[record.Key!] = versions = [];
            }

            versions.Add((record.Offset, record.Value));
        }

        public void Add(EmbeddedRecord record, CommitMarker marker)
        {
            _markers.Add((record.Offset, record.Value!));
            Last = marker;
        }

        public byte[] MarkerAt(long position) => _markers.FindLast(marker => marker.Offset < position).Marker ?? [];

        /// <summary>Whether there is a record of a key at or after a position, and what a folder has of it is older, or nothing.</summary>
        public bool IsSuperseded(byte[] key, long position, byte[]? found) =>
            _states[key].Exists(version => version.Offset >= position)
            && (found is null || _states[key].Exists(version => version.Offset < position && version.Envelope.AsSpan().SequenceEqual(found)));

        /// <summary>What the records below a position say of every key that any record names.</summary>
        public IEnumerable<(byte[] Key, byte[]? Envelope)> At(long position) =>
            _states.Select(state => (state.Key, state.Value.FindLast(version => version.Offset < position).Envelope));
    }
}

/// <summary>Something that must hold did not.</summary>
internal sealed class SimulationBreach(string message) : Exception(message);
