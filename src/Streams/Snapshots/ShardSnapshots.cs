namespace KStreamSharp;

/// <summary>The snapshots of a running shard, as its worker sees them: what is published, what is to be, when the next one is due.</summary>
internal sealed class ShardSnapshots
{
    /// <summary>A snapshot with a tail is of no use any more when tombstones go, so that idle shards get one now and then, too.</summary>
    private static readonly TimeSpan RefreshAfter = TimeSpan.FromDays(1);

    private readonly InstanceContext _parts;
    private readonly Snapshotter _snapshotter;
    private readonly SnapshotRequests _requests;
    private readonly int _shard;
    private readonly long _positionAtFirst;
    private readonly SnapshotSeries _series;
    private IReadOnlyList<SnapshotEntry> _published;
    private IReadOnlyList<SnapshotEntry>? _written;
    private SnapshotEntry? _uploaded;
    private bool _uploading;
    private long _bytes;
    private long _bytesAtLast;
    private long _lastAt;
    private long _retryAt;

    public ShardSnapshots(InstanceContext parts, Snapshotter snapshotter, SnapshotRequests requests, RestoredShard restored, SnapshotSeries series)
    {
        _parts = parts;
        _snapshotter = snapshotter;
        _requests = requests;
        _shard = restored.Shard;
        _published = restored.Snapshots;
        _positionAtFirst = restored.Store.ReadMarker()?.ChangelogPosition ?? 0;
        HasChanged = _published.Count == 0 && _positionAtFirst > 0;
        _series = series;

        // The age counts over owners: a shard that moves often gets snapshots all the same.
        _lastAt = Newest?.TakenAt ?? parts.NowMilliseconds;
    }

    /// <summary>Nothing of it is on its way to the store or to the next commit.</summary>
    public bool IsSettled => !_uploading && _uploaded is null;

    /// <summary>Whether the next commit is to carry a list that differs from the published one, and the shard must be committed for it.</summary>
    /// <remarks>Not while an upload is under way: the collection after a publish deletes what its list does not name, and would delete that too.</remarks>
    public bool HasToPublish => _uploaded is not null || (!_uploading && _requests.DropOf(_shard) is { Count: > 0 } drop && _published.Any(entry => drop.Contains(entry.Id)));

    /// <summary>The newest published one; null when there is none.</summary>
    public SnapshotEntry? Newest => _published.Count > 0 ? _published[0] : null;

    private SnapshotOptions Options => _parts.Options.Snapshots!;

    /// <summary>Whether the store holds what no snapshot has; a commit of nothing but a list is none.</summary>
    public bool HasChanged { get; private set; }

    /// <summary>The last attempt failed a moment ago.</summary>
    public bool Rests => _parts.NowMilliseconds < _retryAt;

    /// <summary>A commit has been applied.</summary>
    /// <param name="bytes">Its bytes in the changelog.</param>
    /// <param name="hasChanged">Whether states or positions have moved.</param>
    public void Count(long bytes, bool hasChanged)
    {
        _bytes += bytes;
        HasChanged |= hasChanged;
    }

    /// <summary>Whether the shard is to be snapshot now.</summary>
    /// <param name="now">The time, in milliseconds since 1970.</param>
    public bool IsDue(long now)
    {
        if (!IsSettled || now < _retryAt)
        {
            return false;
        }

        long age = now - _lastAt;
        return IsRequested
            || (HasChanged && (age >= Options.Interval.TotalMilliseconds || _bytes - _bytesAtLast >= Options.ChangelogBytesMax))
            || (_published.Count > 0 && age >= RefreshAfter.TotalMilliseconds);
    }

    /// <summary>Snapshot, step 1, between two records; false when another shard of the instance is at it.</summary>
    public bool TryTake(ShardStore store, ShardMailbox mailbox)
    {
        if (!_snapshotter.TryReserve())
        {
            return false;
        }

        long now = _parts.NowMilliseconds;
        try
        {
            string folder = _parts.Folder.CheckpointPath(_shard);
            StoredMarker stored = store.Checkpoint(folder);
            _parts.Reached?.Invoke("snapshot.1");
            long offsets = stored.ChangelogPosition - _positionAtFirst;
            ShardCheckpoint checkpoint = new(
                folder, stored, store.StepsWithState, _published, offsets > 1_000 ? _bytes / offsets : Newest?.BytesPerOffset ?? 0, _requests.TakeOf(_shard));
            _uploading = true;
            HasChanged = false;
            _lastAt = now;
            _bytesAtLast = _bytes;
            _snapshotter.Upload(_series, checkpoint, mailbox);
            return true;
        }
        catch (Exception error)
        {
            _snapshotter.Free();
            if (error is not (IOException or UnauthorizedAccessException))
            {
                throw;
            }

            Interlocked.Increment(ref _parts.Counters.SnapshotFailures);
            Log.SnapshotFailed(_parts.Logger, _shard, error.Message);
            _retryAt = now + RetryAfter;
            return false;
        }
    }

    /// <summary>The upload has ended; null when it failed.</summary>
    public void Uploaded(SnapshotSeries series, SnapshotEntry? entry)
    {
        if (series != _series)
        {
            // Of the time before the shard was taken over again: nobody names it, so a later collection deletes it.
            return;
        }

        _uploading = false;
        _uploaded = entry;
        if (entry is null)
        {
            HasChanged = true;
            _lastAt = 0;
            _retryAt = _parts.NowMilliseconds + RetryAfter;
        }
    }

    /// <summary>Snapshot, step 4: the new list goes with the commit, if there is one.</summary>
    public void Write(FlowPlace place, long now)
    {
        _written = null;
        if (HasToPublish)
        {
            IReadOnlySet<string> drop = _requests.DropOf(_shard);
            IEnumerable<SnapshotEntry> all = _uploaded is null ? _published : _published.Prepend(_uploaded);
            _written = [.. all.Where(entry => entry == _uploaded || !drop.Contains(entry.Id)).Take(Options.Kept)];
            place.Append(new(InternalTopics.Shards(place.App), place.Shard), new(now, SnapshotList.ListKey, true, SnapshotList.Write(_written), true, Headers.Empty));
        }
    }

    /// <summary>The commit is done, and the list with it.</summary>
    public void Applied()
    {
        if (_written is { } list)
        {
            if (_uploaded is { } published)
            {
                Interlocked.Increment(ref _parts.Counters.Snapshots);
                Log.SnapshotPublished(_parts.Logger, _shard, published.Id, list.Count);
            }

            _published = list;
            _uploaded = null;
            _written = null;
            _snapshotter.Collect(_series, list);
        }
    }

    private bool IsRequested => _requests.TakeOf(_shard) is >= 0 and long request && (Newest is null || Newest.Request < request);

    private long RetryAfter => (long)Math.Min(Options.Interval.TotalMilliseconds / 10, 30_000);
}

/// <summary>What people ask of the owners, by the shards topic; any thread may look.</summary>
internal sealed class SnapshotRequests(int shards)
{
    private readonly long[] _take = [.. Enumerable.Repeat(-1L, shards)];
    private readonly IReadOnlySet<string>?[] _drop = new IReadOnlySet<string>?[shards];

    /// <summary>The offset of the newest wish for a snapshot; −1 when there was none.</summary>
    public long TakeOf(int shard) => Volatile.Read(ref _take[shard]);

    /// <summary>The ids of snapshots that are to go.</summary>
    public IReadOnlySet<string> DropOf(int shard) => Volatile.Read(ref _drop[shard]) ?? System.Collections.Frozen.FrozenSet<string>.Empty;

    /// <summary>A record of the shards topic.</summary>
    public void See(int shard, in RecordView record)
    {
        if (record.Key.SequenceEqual(SnapshotList.RequestKey))
        {
            Volatile.Write(ref _take[shard], record.Offset);
        }
        else if (record.Key.SequenceEqual(SnapshotList.DropKey))
        {
            // What was asked for before is answered with it.
            Volatile.Write(ref _take[shard], -1);
            Volatile.Write(ref _drop[shard], SnapshotList.ReadDrop(record.Value));
        }
    }
}
