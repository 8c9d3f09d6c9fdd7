namespace KStreamSharp;

/// <summary>
/// The takeover of one shard, in numbered steps:
/// <list type="number">
/// <item>Committed positions of the shard's sources, with require stable: waits while a transaction is pending.</item>
/// <item>End of the changelog partition, read uncommitted: the last stable offset may lie before committed data, because a
/// commit is answered before its markers have reached every partition.</item>
/// <item>Restore, read committed, until the position reaches that end. An end of what can be read below it means wait.</item>
/// <item>The last marker's positions must equal the group's. If not: again from 1, once; then by cause.</item>
/// <item>Claim: the worker's first commit for the shard is a marker with the new owner epoch.</item>
/// </list>
/// </summary>
/// <remarks>
/// True before: the group gave the shard to this member under <c>number</c>; an older owner may still write. True after 3:
/// the store holds every transaction whose positions step 1 saw. True after 4: nothing was committed between 1 and 3. An
/// older owner that commits later is refused by the broker (its generation is old) or, if it is this process, by its void
/// ownership number; so nothing comes in between 4 and the claim.
/// </remarks>
internal class Takeover : IDisposable
{
    private readonly EngineParts _parts;
    private readonly int _shard;
    private readonly long _number;
    private readonly TopicPartition _changelog;
    private readonly TopicPartition[] _sources;
    private readonly InputOptions?[] _inputs;
    private readonly long _startedAt;
    private Phase _phase = Phase.Positions;
    private long?[] _group = [];
    private long _end;
    private ShardStore? _store;
    private Reader? _reader;
    private CommitMarker? _marker;
    private long _restored;
    private bool _again;
    private long _waitingSince;

    public Takeover(EngineParts parts, int shard, long number)
    {
        _parts = parts;
        _shard = shard;
        _number = number;
        _changelog = new(InternalTopics.Changelog(parts.App), shard);
        (Step Step, TopicPartition Partition)[] sources = [.. parts.Topics.Sources(parts.Flow, parts.App, shard)];
        _sources = [.. sources.Select(source => source.Partition)];
        _inputs = [.. sources.Select(source => source.Step.Input)];
        _startedAt = parts.Time.GetTimestamp();
    }

    private enum Phase
    {
        Positions,
        End,
        Replay,
        Compare,
        Done,
    }

    public int Shard => _shard;

    /// <summary>One bounded step; true when it got further. The shard is restored when <paramref name="restored"/> is not null.</summary>
    /// <exception cref="StreamException">State would be lost, or was moved by someone else.</exception>
    public bool Step(out RestoredShard? restored)
    {
        restored = null;
        switch (_phase)
        {
            case Phase.Positions:
                if (!_parts.Broker.TryGetCommittedOffsets(_parts.App, _sources, out _group))
                {
                    return false;
                }

                Next(Phase.End, "takeover.1");
                return true;

            case Phase.End:
                _end = ChangelogEnd();
                Begin();
                Next(Phase.Replay, "takeover.2");
                return true;

            case Phase.Replay:
                return Replay();

            case Phase.Compare:
                if (!TryResolve(out IReadOnlyDictionary<TopicPartition, long>? positions))
                {
                    return true;
                }

                _phase = Phase.Done;
                _parts.Reached?.Invoke("takeover.4");
                TimeSpan took = _parts.Time.GetElapsedTime(_startedAt);
                Interlocked.Add(ref _parts.Counters.RecordsRestored, _restored);
                Interlocked.Add(ref _parts.Counters.RestoreTicks, took.Ticks);
                Log.Restored(_parts.Logger, _shard, _restored, _end, took.TotalSeconds);
                restored = new(_shard, _number, _store!, (_marker?.OwnerEpoch ?? 0) + 1, positions, _marker?.Watermark ?? -1, Progress(_marker));
                _store = null;
                return true;

            default:
                return false;
        }
    }

    /// <summary>Step 2.</summary>
    protected virtual long ChangelogEnd() => _parts.Broker.EndOffset(_changelog, committedOnly: false);

    protected virtual RestorePlan Plan(LocalState? local, ChangelogState changelog) =>
        RestorePlan.Decide(local, changelog, Array.Exists(_group, position => position is not null), _parts.NowMilliseconds, Broker.TombstoneRetention);

    /// <summary>How far the shard has come in its finite run: as the last marker says.</summary>
    protected virtual RunProgress Progress(CommitMarker? marker) => marker?.Run ?? new RunProgress();

    /// <summary>Stops; what was restored so far is kept for the next time.</summary>
    public void Dispose()
    {
        _reader?.Dispose();
        _store?.Dispose();
        _store = null;
    }

    /// <summary>Stops as a crash would.</summary>
    public void Abandon()
    {
        _reader?.Dispose();
        _store?.Abandon();
        _store = null;
    }

    private void Next(Phase phase, string reached)
    {
        _phase = phase;
        _parts.Reached?.Invoke(reached);
    }

    private void Begin()
    {
        long from;
        if (_store is null)
        {
            from = OpenByPlan();
        }
        else
        {
            from = _store.ReadMarker()?.ChangelogPosition ?? 0;
        }

        _reader ??= _parts.Broker.CreateReader(readCommitted: true);
        _reader.Assign(_changelog, from);
        _waitingSince = 0;
    }

    private long OpenByPlan()
    {
        string folder = _parts.Folder.ShardPath(_shard);
        ChangelogState changelog = new(_parts.Topics.ChangelogId, _parts.Broker.StartOffset(_changelog), _end);
        _store = ShardStore.Open(folder, _parts.Limits);
        string? identity = _store.ReadIdentity();
        if (identity is not null && _parts.Folder.WhyForeign(identity, _shard) is { } foreign)
        {
            throw new StreamException(ExitCode.State, $"The state folder {folder} cannot be used: {foreign}. Give this application another folder by StateDir (--state-dir).");
        }

        StoredMarker? stored = _store.ReadMarker();
        LocalState? local = identity is null || stored is null ? null : new(Guid.Parse(identity.Split('|')[3]), stored.ChangelogPosition, stored.BrokerTime);
        RestorePlan plan = Plan(local, changelog);
        Log.RestorePlanned(_parts.Logger, _shard, plan.Reason);
        switch (plan.Kind)
        {
            case RestoreKind.Refuse:
                throw new StreamException(
                    ExitCode.State, $"Shard {_shard} of application '{_parts.App}' is not taken over: {plan.Reason}. Bring the changelog '{_changelog.Topic}' back, or start another application id.");

            case RestoreKind.Everything:
                if (local is not null)
                {
                    Log.Wiped(_parts.Logger, _shard, folder, plan.Reason);
                }

                if (identity is not null)
                {
                    _store.Abandon();
                    Directory.Delete(folder, recursive: true);
                    _store = ShardStore.Open(folder, _parts.Limits);
                }

                break;

            default:
                _marker = stored!.Marker;
                break;
        }

        _store.WriteIdentity(_parts.Folder.Identity(_shard, changelog.Id));
        return plan.From;
    }

    private bool Replay()
    {
        RecordBatch? batch;
        try
        {
            batch = _reader!.Read(_changelog, 10_000);
        }
        catch (OffsetOutOfRangeException error)
        {
            throw new StreamException(
                ExitCode.State, $"Shard {_shard} of application '{_parts.App}' is not taken over: {error.Message} The changelog was cut during the restore; start again.", error);
        }

        if (batch is not null)
        {
            Apply(batch);
        }

        if (_reader.Position(_changelog) >= _end)
        {
            _reader.Unassign(_changelog);
            Next(Phase.Compare, "takeover.3");
            return true;
        }

        if (batch is null && _reader.AtEnd(_changelog))
        {
            WarnOfWait();
        }

        return batch is not null;
    }

    private void Apply(RecordBatch batch)
    {
        using StoreBatch changes = _store!.NewBatch();
        byte[]? newest = null;
        long time = 0;
        for (int i = 0; i < batch.Count; i++)
        {
            RecordView record = batch[i];
            time = record.Timestamp;
            string? step = ShardChanges.ReadKey(record.Key, out ReadOnlySpan<byte> key);
            if (step is null)
            {
                newest = record.Value.ToArray();
            }
            else if (record.HasValue)
            {
                changes.Put(step, key, record.Value);
                if (Envelope.Read(record.Value, step).NotifyAt is not Envelope.Never and long notifyAt)
                {
                    changes.PutTimer(step, notifyAt, key);
                }
            }
            else
            {
                changes.Delete(step, key);
            }
        }

        _restored += batch.Count;
        StoredMarker? last = _store.ReadMarker();
        if (newest is not null)
        {
            _marker = CommitMarker.Read(newest);
        }

        changes.PutMarker(_reader!.Position(_changelog), time, newest ?? last?.Marker?.Write() ?? default);
        _store.Write(changes);
    }

    private void WarnOfWait()
    {
        if (_waitingSince == 0)
        {
            _waitingSince = _parts.Time.GetTimestamp();
        }
        else if (_parts.Time.GetElapsedTime(_waitingSince) > _parts.Options.TransactionTimeout)
        {
            Log.RestoreWaits(_parts.Logger, _shard, _reader!.Position(_changelog), _changelog, _end, _parts.Time.GetElapsedTime(_waitingSince).TotalSeconds);
            _waitingSince = _parts.Time.GetTimestamp();
        }
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
                if (!_again)
                {
                    Log.PositionsDiffer(_parts.Logger, _shard);
                    _again = true;
                    _phase = Phase.Positions;
                    positions = null;
                    return false;
                }

                throw new StreamException(
                    ExitCode.State,
                    _marker is null
                        ? $"Group '{_parts.App}' has position {_group[i]} for {source}, but the changelog {_changelog} has no commit marker: the changelog is gone, and its state with it. Bring it back, or start another application id."
                        : $"Group '{_parts.App}' has position {_group[i]} for {source}, the last commit of shard {_shard} says {marker?.ToString() ?? "none"}: someone moved the group's positions. Set them back, or start another application id.");
            }

            resolved[source] = marker ?? Start(source, _inputs[i]);
        }

        // Steps that the flow has no longer keep their place, as their states do: they may come back.
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
