using System.Collections.Frozen;
using System.Diagnostics;

namespace KStreamSharp;

/// <summary>
/// The takeover of one shard, in numbered steps:
/// <list type="number">
/// <item>Committed positions of the shard's sources, with require stable: waits while a transaction is pending.</item>
/// <item>End of the changelog partition, read uncommitted: the last stable offset may lie before committed data, because a
/// commit is answered before its markers have reached every partition.</item>
/// <item>Restore: the source with the fewest bytes to move (<see cref="RestorePlan"/>), then the changelog's tail, read
/// committed, until the position reaches that end. An end of what can be read below it means wait. A source that turns out to
/// be damaged is left for the next best one.</item>
/// <item>The topics must be the ones of the last marker's positions, and those must equal the group's. If not: again from 1 until two looks in a row are the same; then by cause.</item>
/// <item>Claim: the worker's first commit for the shard is a marker with the new owner epoch.</item>
/// </list>
/// </summary>
/// <remarks>
/// True before: the group gave the shard to this member under <c>number</c>; an older owner may still write. True after 3:
/// the store holds every transaction whose positions step 1 saw. True after 4: nothing was committed between 1 and 3. An
/// older owner that commits later is refused by the broker (its generation is old) or, if it is this process, by its void
/// ownership number; so nothing comes in between 4 and the claim.
/// </remarks>
internal class Takeover
{
    private static readonly TimeSpan ReportEvery = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan StorePauseMax = TimeSpan.FromSeconds(30);

    private const int StoreFailuresMax = 3;

    /// <summary>A disk that damages whatever is written to it is no place for a state.</summary>
    private const int DamagesMax = 3;

    private readonly InstanceContext _parts;
    private readonly int _shard;
    private readonly long _number;
    private readonly TopicPartition _changelog;
    private readonly TopicPartition[] _sources;
    private readonly InputOptions?[] _inputs;
    private readonly long _startedAt;
    private readonly TransactionWait _wait;
    private readonly Dictionary<string, string> _damagedSnapshots = [];
    private Phase _phase = Phase.Positions;
    private long?[] _group = [];
    private long _end;
    private SnapshotListReader? _listReader;
    private IReadOnlyList<SnapshotEntry> _snapshots = [];
    private SnapshotDownload? _download;
    private int _storeFailures;
    private int _damages;
    private long _pausedSince;
    private ShardStore? _store;
    private ChangelogReplay? _replay;
    private CommitMarker? _marker;
    private long _restored;
    private (TopicPartition Source, long? Group, long? Marker) _differed;
    private bool _hadLocal;
    private string _planReason = "";
    private long _reportedAt;
    private readonly Activity? _span;

    public Takeover(InstanceContext parts, int shard, long number)
    {
        _parts = parts;
        _shard = shard;
        _number = number;
        _wait = new TransactionWait(parts);
        _changelog = new(InternalTopics.Changelog(parts.App), shard);
        (Step Step, TopicPartition Partition)[] sources = [.. parts.Topics.Sources(parts.Flow, parts.App, shard)];
        _sources = [.. sources.Select(source => source.Partition)];
        _inputs = [.. sources.Select(source => source.Step.Input)];
        _startedAt = _reportedAt = parts.Time.GetTimestamp();
        _span = parts.Telemetry.StartLong(Telemetry.RestoreSpan, shard);
    }

    private enum Phase
    {
        Positions,
        End,
        Snapshots,
        Plan,
        Download,
        Replay,
        Compare,
        Done,
    }

    public int Shard => _shard;

    /// <summary>How far the restore has come; null before it has begun and when it is over.</summary>
    public RestoreProgress? Progress { get; private set; }

    /// <summary>One bounded step; true when it got further. The shard is restored when <paramref name="restored"/> is not null.</summary>
    /// <exception cref="StreamException">State would be lost, or was moved by someone else.</exception>
    public bool Step(out RestoredShard? restored)
    {
        restored = null;
        try
        {
            return Advance(out restored);
        }
        catch (ShardDamagedException error)
        {
            // Found while it was written to. The folder says so from now on, and the plan goes by it.
            CloseStore();
            if (++_damages > DamagesMax)
            {
                throw;
            }

            Log.LocalDamaged(_parts.Logger, _shard, error.Reason);
            _phase = Phase.Plan;
            return true;
        }
    }

    /// <summary>Step 2.</summary>
    protected virtual long ChangelogEnd() => _parts.Broker.EndOffset(_changelog, committedOnly: false);

    protected virtual RestorePlan Plan(LocalState? local, IReadOnlyList<SnapshotEntry> snapshots, IReadOnlyDictionary<string, string> damaged, ChangelogState changelog) =>
        RestorePlan.Decide(local, snapshots, damaged, changelog, Array.Exists(_group, position => position is not null), _parts.NowMilliseconds, Broker.TombstoneRetention, _parts.Options.BytesPerOffsetGuess);

    /// <summary>Asked once more when a snapshot is here, before it replaces anything.</summary>
    protected virtual string? UselessByNow(SnapshotEntry entry, ChangelogState changelog) =>
        RestorePlan.WhyUseless(entry.ChangelogId, entry.Position, entry.BrokerTime, changelog, _parts.NowMilliseconds, Broker.TombstoneRetention);

    /// <summary>How far the shard has come in its finite run: as the last marker says.</summary>
    protected virtual RunProgress RunOf(CommitMarker? marker) => marker?.Run ?? new RunProgress();

    /// <summary>Of which topics the positions are: as the last marker says.</summary>
    protected virtual IReadOnlyDictionary<string, Guid> IdsOf(CommitMarker? marker) =>
        marker?.TopicIds ?? FrozenDictionary<string, Guid>.Empty;

    /// <summary>
    /// Stops; what was restored so far is kept for the next time. False while a download has not let go of its files: call
    /// it again.
    /// </summary>
    public bool TryClose()
    {
        _span?.Dispose();
        _listReader?.Dispose();
        _listReader = null;
        CloseStore();
        if (_download is null)
        {
            return true;
        }

        _download.Cancel();
        return _download.IsCompleted;
    }

    /// <summary>Stops as a crash would.</summary>
    public void Abandon()
    {
        _span?.Dispose();
        _listReader?.Dispose();
        _replay?.Dispose();
        _download?.Cancel();
        _store?.Abandon();
        _store = null;
    }

    private bool Advance(out RestoredShard? restored)
    {
        restored = null;
        switch (_phase)
        {
            case Phase.Positions:
                if (!_parts.Broker.TryGetCommittedOffsets(_parts.App, _sources, out _group))
                {
                    _wait.Go(seconds => Log.PositionsWait(_parts.Logger, _shard, _parts.App, seconds));
                    return false;
                }

                _wait.End();
                Next(Phase.End, "takeover.1");
                return true;

            case Phase.End:
                // Another changelog would be a reason to wipe the folder.
                _parts.Topics.CheckSame(_parts.Broker, _changelog.Topic);
                _end = ChangelogEnd();
                _phase = _parts.Options.Snapshots is null ? Phase.Plan : Phase.Snapshots;
                return true;

            case Phase.Snapshots:
                _listReader ??= new SnapshotListReader(_parts.Broker, _parts.App, _shard);
                if (!_listReader.Step(out IReadOnlyList<SnapshotEntry>? snapshots))
                {
                    return false;
                }

                _listReader.Dispose();
                _listReader = null;
                _snapshots = snapshots;
                _phase = Phase.Plan;
                return true;

            case Phase.Plan:
                return Begin();

            case Phase.Download:
                return FollowDownload();

            case Phase.Replay:
                return Replay();

            case Phase.Compare:
                _parts.Topics.CheckSame(_parts.Broker, _changelog.Topic);
                IReadOnlyDictionary<string, Guid> topicIds = CheckTopics();
                if (!TryResolve(out IReadOnlyDictionary<TopicPartition, long>? positions))
                {
                    return true;
                }

                _phase = Phase.Done;
                _parts.Reached?.Invoke("takeover.4");
                TimeSpan took = _parts.Time.GetElapsedTime(_startedAt);
                Interlocked.Add(ref _parts.Counters.RecordsRestored, _restored);
                Interlocked.Add(ref _parts.Counters.RestoreTicks, took.Ticks);
                Interlocked.Increment(ref _parts.Counters.Restores);
                _parts.Telemetry.Restored(took);
                _span?.SetTag("source", _planReason).SetTag("records", _restored).Dispose();
                Log.Restored(_parts.Logger, _shard, _restored, _end, took.TotalSeconds);
                Progress = null;
                restored = new(_shard, _number, _store!, (_marker?.OwnerEpoch ?? 0) + 1, positions, topicIds, _marker?.Watermark ?? -1, RunOf(_marker), _snapshots);
                _store = null;
                return true;

            default:
                return false;
        }
    }

    private void Next(Phase phase, string reached)
    {
        _phase = phase;
        _parts.Reached?.Invoke(reached);
    }

    private void CloseStore()
    {
        _replay?.Dispose();
        _replay = null;
        _store?.Dispose();
        _store = null;
    }

    /// <summary>Chooses the source and begins with it; false while the only one left is a store that fails for now.</summary>
    private bool Begin()
    {
        if (_store is not null)
        {
            // Again from 1: the store goes on from where it is.
            BeginReplay(_store.ReadMarker()?.ChangelogPosition ?? 0);
            _parts.Reached?.Invoke("takeover.2");
            return true;
        }

        if (_pausedSince != 0 && _parts.Time.GetElapsedTime(_pausedSince) < Pause)
        {
            return false;
        }

        string folder = _parts.Folder.ShardPath(_shard);
        ChangelogState changelog = new(_parts.Topics.ChangelogId, _parts.Broker.StartOffset(_changelog), _end);
        LocalState? local = LookAtLocal(folder, changelog.Id, out StoredMarker? stored);
        _hadLocal = local is not null;
        RestorePlan plan = Plan(local, _snapshots, _damagedSnapshots, changelog);
        if (_storeFailures > 0 && plan.Snapshot is not null)
        {
            // Without the store, if that loses nothing, once it has failed often enough.
            RestorePlan without = Plan(local, [], _damagedSnapshots, changelog);
            plan = _storeFailures >= StoreFailuresMax && without.Kind != RestoreKind.Refuse ? without : plan;
        }

        _planReason = plan.Reason;
        Log.RestorePlanned(_parts.Logger, _shard, plan.Reason);
        switch (plan.Kind)
        {
            case RestoreKind.Refuse:
                throw new StreamException(
                    ExitCode.State, $"Shard {_shard} of application '{_parts.App}' is not taken over: {plan.Reason}. Bring the records of changelog '{_changelog.Topic}' back, or begin anew (command reset).");

            case RestoreKind.Snapshot:
                CloseStore();
                _download = new SnapshotDownload(_parts.Options.Snapshots!.Store, new SnapshotPlace(_parts.App, _shard), plan.Snapshot!, _parts.Folder.IncomingPath(_shard), folder)
                {
                    Reached = _parts.Reached,
                };
                _download.Start(_parts.Beside);
                Next(Phase.Download, "takeover.2");
                return true;

            case RestoreKind.Everything when _store is null || local is not null || _store.ReadIdentity() is not null:
                CloseStore();
                Wipe(folder, plan.Reason, _hadLocal);
                _store = ShardStore.Open(folder, _parts.Limits, _parts.StepsWithState);
                _marker = null;
                break;

            case RestoreKind.Local:
                _marker = stored!.Marker;
                break;

            default:
                break;
        }

        StateFolder.Remove(_parts.Folder.IncomingPath(_shard));
        _store!.WriteIdentity(StateFolder.Identity(_parts.App, _shard, changelog.Id));
        BeginReplay(plan.From);
        _parts.Reached?.Invoke("takeover.2");
        return true;
    }

    private TimeSpan Pause => TimeSpan.FromSeconds(Math.Min(StorePauseMax.TotalSeconds, Math.Pow(2, _storeFailures - 1)));

    /// <summary>Opens the local folder; a damaged one counts as local state that cannot be used.</summary>
    private LocalState? LookAtLocal(string folder, Guid changelogId, out StoredMarker? stored)
    {
        stored = null;
        CloseStore();
        if (!ShardStore.Exists(folder))
        {
            return null;
        }

        try
        {
            _store = ShardStore.Open(folder, _parts.Limits, _parts.StepsWithState);
            string? identity = _store.ReadIdentity();
            if (identity is not null && _parts.Folder.WhyForeign(identity, _shard) is { } foreign)
            {
                throw new StreamException(ExitCode.State, $"The state folder {folder} cannot be used: {foreign}. Give this application another folder by StateDir (--state-dir).");
            }

            stored = _store.ReadMarker();
            return identity is null || stored is null ? null : new(Guid.Parse(identity.Split('|')[3]), stored.ChangelogPosition, stored.BrokerTime);
        }
        catch (ShardDamagedException error)
        {
            CloseStore();
            Log.LocalDamaged(_parts.Logger, _shard, error.Reason);
            return new(changelogId, 0, 0, error.Reason);
        }
    }

    private void Wipe(string folder, string reason, bool hadState)
    {
        if (hadState)
        {
            Interlocked.Increment(ref _parts.Counters.Wipes);
            Log.Wiped(_parts.Logger, _shard, folder, reason);
        }

        StateFolder.Remove(folder);
    }

    private bool FollowDownload()
    {
        SnapshotEntry entry = _download!.Entry;
        Report($"snapshot {entry.Id}", _download.BytesDone, entry.Bytes, "bytes");
        if (_replay is null && _download.BytesDone >= entry.Bytes / 2)
        {
            // It connects while the rest comes. Not sooner: where it has nothing to read, it asks the broker often.
            _replay = new ChangelogReplay(_parts, _changelog, entry.Position);
        }

        if (!_download.IsCompleted)
        {
            return false;
        }

        SnapshotDownload download = _download;
        ChangelogState changelog = new(_parts.Topics.ChangelogId, _parts.Broker.StartOffset(_changelog), _end);
        _download = null;
        string incoming = _parts.Folder.IncomingPath(_shard);
        try
        {
            download.Check();
            SnapshotCheck.Open(incoming, StateFolder.Identity(_parts.App, _shard, entry.ChangelogId), entry.Position, _parts.Limits);
            if (UselessByNow(entry, changelog) is { } why)
            {
                // The download took long.
                throw new SnapshotDamagedException(why);
            }
        }
        catch (Exception error) when (error is SnapshotDamagedException or ShardDamagedException)
        {
            Refuse(entry, error is ShardDamagedException damaged ? damaged.Reason : error.Message);
            StateFolder.Remove(incoming);
            return true;
        }
        catch (Exception error) when (error is not (InstanceStoppedException or StreamException))
        {
            _storeFailures++;
            _pausedSince = _parts.Time.GetTimestamp();
            Interlocked.Increment(ref _parts.Counters.SnapshotFailures);
            Log.DownloadFailed(_parts.Logger, _shard, entry.Id, error.Message);
            CloseStore();
            _phase = Phase.Plan;
            return true;
        }

        // The copy is complete and looked at: only now the folder goes that it replaces.
        string folder = _parts.Folder.ShardPath(_shard);
        Wipe(folder, _planReason, _hadLocal);
        Directory.Move(incoming, folder);
        Interlocked.Increment(ref _parts.Counters.SnapshotsRestored);
        Interlocked.Add(ref _parts.Counters.SnapshotBytesRestored, download.BytesDone - download.BytesReused);
        Log.Downloaded(_parts.Logger, _shard, entry.Id, download.BytesDone, download.BytesReused, _parts.Time.GetElapsedTime(_startedAt).TotalSeconds);
        _store = ShardStore.Open(folder, _parts.Limits, _parts.StepsWithState);
        _marker = _store.ReadMarker()!.Marker;
        _replay ??= new ChangelogReplay(_parts, _changelog, entry.Position);
        _phase = Phase.Replay;
        return true;
    }

    private void Refuse(SnapshotEntry entry, string reason)
    {
        _damagedSnapshots[entry.Id] = reason;
        Interlocked.Increment(ref _parts.Counters.SnapshotsRefused);
        Log.SnapshotUnusable(_parts.Logger, _shard, entry.Id, reason);
        CloseStore();
        _phase = Phase.Plan;
    }

    private void BeginReplay(long from)
    {
        _replay?.Dispose();
        _replay = new ChangelogReplay(_parts, _changelog, from);
        _phase = Phase.Replay;
    }

    private bool Replay()
    {
        bool moved = _replay!.Step(_store!, _end);
        Report("changelog", _replay.Position - _replay.From, _end - _replay.From, "offsets");
        if (_replay.Position < _end)
        {
            return moved;
        }

        _marker = _replay.Marker ?? _marker;
        _restored += _replay.Records;
        _replay.Dispose();
        _replay = null;
        Next(Phase.Compare, "takeover.3");
        return true;
    }

    private void Report(string source, long done, long total, string unit)
    {
        TimeSpan elapsed = _parts.Time.GetElapsedTime(_startedAt);
        Progress = new RestoreProgress(source, done, total, unit, done > 0 && total > done ? elapsed * ((double)(total - done) / done) : null);
        if (_parts.Time.GetElapsedTime(_reportedAt) >= ReportEvery)
        {
            _reportedAt = _parts.Time.GetTimestamp();
            Log.RestoreProgress(_parts.Logger, _shard, source, done, total, unit, Progress.Remaining?.TotalSeconds ?? 0);
        }
    }

    /// <summary>Step 4: a position is one of a topic, not of its name. Answers the ids of all topics of which there are positions.</summary>
    /// <exception cref="StreamException">A source was made anew.</exception>
    private Dictionary<string, Guid> CheckTopics()
    {
        // Steps that the flow has no longer keep their place, as their states do: they may come back.
        Dictionary<string, Guid> ids = new(IdsOf(_marker));
        foreach (string topic in _sources.Select(source => source.Topic).Distinct())
        {
            _parts.Topics.CheckSame(_parts.Broker, topic);
            if (ids.TryGetValue(topic, out Guid committed))
            {
                _parts.Topics.CheckSame(topic, committed);
            }

            ids[topic] = _parts.Topics.Id(topic);
        }

        return ids;
    }

    /// <summary>Step 4. False: go again from step 1.</summary>
    private bool TryResolve([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out IReadOnlyDictionary<TopicPartition, long>? positions)
    {
        Dictionary<TopicPartition, long> resolved = [];
        positions = resolved;
        for (int i = 0; i < _sources.Length; i++)
        {
            TopicPartition source = _sources[i];
            long? marker = _marker?.Positions.TryGetValue(source, out long at) == true ? at : null;
            if (marker != _group[i] && _group[i] is not null)
            {
                // What changes between two looks is a newer owner at work: this instance has lost the shard, and has not heard of it.
                if (_differed != (source, _group[i], marker))
                {
                    Log.PositionsDiffer(_parts.Logger, _shard);
                    _differed = (source, _group[i], marker);
                    _phase = Phase.Positions;
                    positions = null;
                    return false;
                }

                throw new StreamException(
                    ExitCode.State,
                    _marker is null
                        ? $"Group '{_parts.App}' has position {_group[i]} for {source}, but the changelog {_changelog} has no commit marker: its records are gone, and the state with them. Bring them back, or begin anew (command reset)."
                        : $"Group '{_parts.App}' has position {_group[i]} for {source}, the last commit of shard {_shard} says {marker?.ToString() ?? "none"}: someone moved the group's positions. Set them back. Or: {_parts.Topics.WayOn}");
            }

            resolved[source] = marker ?? Start(source, _inputs[i]);
        }

        foreach ((TopicPartition gone, long position) in _marker?.Positions ?? new Dictionary<TopicPartition, long>())
        {
            resolved.TryAdd(gone, position);
        }

        return true;
    }

    private long Start(TopicPartition source, InputOptions? input) => input?.StartAt == StartAt.Latest
        ? _parts.Broker.EndOffset(source, committedOnly: true)
        : _parts.Broker.StartOffset(source);
}
