using System.Diagnostics;

namespace KStreamSharp;

/// <summary>
/// One turn of a worker: adopt and let go of shards, read and process a batch of each, handle batches and due timers,
/// commit when it is due. Everything of a shard happens on the worker that runs it.
/// </summary>
internal sealed class ShardWorker : IDisposable
{
    private static readonly TimeSpan FlushEvery = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan TouchAllEvery = TimeSpan.FromHours(6);
    private static readonly TimeSpan PurgeAgainAfter = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan FencedWithin = TimeSpan.FromMinutes(2);

    private const int AbortsInARowMax = 20;
    private const int OutlivedMax = 3;
    private const int HealsMax = 3;
    private const int FencedMax = 3;

    private readonly EngineParts _parts;
    private readonly Membership _membership;
    private readonly RunLedger _ledger;
    private readonly Snapshotter? _snapshotter;
    private readonly FiniteRun _run;
    private readonly Transaction _transaction;
    private readonly Commit _commit;
    private readonly Pace _pace;
    private readonly TimeSpan _outOfTime;
    private readonly List<Shard> _shards = [];
    private readonly Dictionary<int, int> _healed = [];
    private Reader? _reader;
    private volatile bool _lookAround;
    private long _touchedSince;
    private long _recordsSince;
    private int _nextShard;
    private long _touchedAllAt;
    private long _pausedAt = -1;
    private int _abortsInARow;
    private long _failingSince;
    private int _outlived;
    private string _outlivedBy = "";
    private volatile string? _slowStep;
    private TimeSpan? _workedFor;
    private long _purgeFailedAt;
    private int _fenced;
    private long _fencedSince;
    private long _turnBegan;
    private long _turnEnded;
    private volatile Shard? _current;
    private RunLedger.State? _announced;
    private bool _announcedOpen;

    public ShardWorker(EngineParts parts, Membership membership, RunLedger ledger, Snapshotter? snapshotter, FiniteRun run, int slot)
    {
        _snapshotter = snapshotter;
        _parts = parts;
        _membership = membership;
        _ledger = ledger;
        _run = run;
        Slot = slot;
        _transaction = new Transaction(parts, slot);
        Mailbox = new ShardMailbox(() => _transaction.IsReady, LookAround);
        _commit = parts.Steps.NewCommit(parts, membership, _transaction);
        _touchedAllAt = parts.Time.GetTimestamp();
        _pace = new Pace(parts.Options.RecordsPerTurnMax);

        // The rest is for the commit.
        _outOfTime = parts.Options.TransactionTimeout * 0.9;
    }

    /// <summary>The one door for other threads.</summary>
    public ShardMailbox Mailbox { get; }

    /// <summary>When the current turn began, by the time provider's timestamp; 0 between turns. For the stall watch.</summary>
    public long TurnBegan => Volatile.Read(ref _turnBegan);

    /// <summary>When the last turn ended, by the time provider's timestamp; 0 before the first.</summary>
    public long TurnEnded => Volatile.Read(ref _turnEnded);

    public int Slot { get; }

    /// <summary>The step whose code runs now, read from another thread; for the stall watch.</summary>
    public string CurrentStep => _current?.Flow.CurrentStep ?? "";

    internal IReadOnlyList<Shard> Shards => _shards;

    /// <summary>From another thread, now and then: look at the clock between two records, so that slow code of a step does not outlive the transaction.</summary>
    public void Tick()
    {
        _lookAround = true;
        long since = Volatile.Read(ref _touchedSince);
        if (_slowStep is null && since != 0 && TurnBegan != 0 && _parts.Time.GetElapsedTime(since) >= _parts.Options.TransactionTimeout)
        {
            _slowStep = CurrentStep;
        }
    }

    /// <summary>Waits until there may be something to do.</summary>
    public void Wait(TimeSpan atMost) => Reader.Wait(atMost);

    /// <summary>One turn; true when it did something.</summary>
    public bool Step() => Guard(() =>
    {
        bool moved = AdoptAndLetGo();
        moved |= Turn();
        if (!_parts.CommitsByHand && CommitIsDue())
        {
            CommitNow();
            moved = true;
        }

        TakeSnapshot(shard => shard.Snapshots!.IsDue(_parts.NowMilliseconds));
        return moved;
    });

    /// <summary>The first phase of a turn alone: shards come (and are claimed by a first commit) or go.</summary>
    public bool StepShards() => Guard(AdoptAndLetGo);

    /// <summary>The middle phases of a turn alone: read, process, batches and timers; no commit.</summary>
    public bool StepTurn() => Guard(Turn);

    /// <summary>Commits, if there is anything to commit.</summary>
    public bool StepCommit() => Guard(() =>
    {
        bool any = _shards.Exists(shard => shard.Touched);
        CommitNow();
        return any;
    });

    /// <summary>
    /// A turn of the orderly end, before <see cref="Finish"/>: commits, and brings the snapshots up to date. True when there
    /// is nothing more to do or to wait for.
    /// </summary>
    public bool StepEnd()
    {
        if (_snapshotter is null || _parts.Options.Snapshots!.EndTimeout == TimeSpan.Zero)
        {
            return true;
        }

        bool settled = false;
        Guard(() =>
        {
            AdoptAndLetGo();
            CommitNow();
            if (TakeSnapshot(shard => !shard.IsSnapshotAtEnd && shard.Snapshots is { IsSettled: true, HasChanged: true, Rests: false }) is { } taken)
            {
                taken.IsSnapshotAtEnd = true;
            }

            settled = _shards.TrueForAll(shard => !shard.Claimed || (shard.Snapshots!.IsSettled && (shard.IsSnapshotAtEnd || !shard.Snapshots.HasChanged || shard.Snapshots.Rests)));
            return true;
        });
        return settled;
    }

    /// <summary>The orderly end: commits and closes every shard.</summary>
    public void Finish() => Guard(() =>
    {
        CommitNow();
        while (_shards.Count > 0)
        {
            Close(_shards[^1]);
        }

        while (Mailbox.TryTake(out ShardMessage? message))
        {
            (message as AdoptMessage)?.Restored.Store.Dispose();
            _parts.Table.Closed(message.Shard);
        }

        return true;
    });

    public void Dispose()
    {
        foreach (Shard shard in _shards)
        {
            shard.Dispose();
        }

        while (Mailbox.TryTake(out ShardMessage? message))
        {
            (message as AdoptMessage)?.Restored.Store.Dispose();
        }

        _shards.Clear();
        _transaction.Dispose();
        _reader?.Dispose();
    }

    /// <summary>The end after a failure elsewhere: what is open is aborted, so that nobody waits for its time-out.</summary>
    public void Quit()
    {
        try
        {
            _transaction.Abort();
        }
        catch (BrokerException)
        {
            // The broker ends the transaction by its time-out then.
        }

        Dispose();
    }

    /// <summary>Stops as a crash would: no commit, no abort, unflushed state thrown away.</summary>
    public void Abandon()
    {
        foreach (Shard shard in _shards)
        {
            shard.Abandon();
        }

        while (Mailbox.TryTake(out ShardMessage? message))
        {
            (message as AdoptMessage)?.Restored.Store.Abandon();
        }

        _shards.Clear();
        _transaction.Dispose();
        _reader?.Dispose();
    }

    private void LookAround()
    {
        _lookAround = true;
        _reader?.Wake();
    }

    private Reader Reader => _reader ??= _parts.Broker.CreateReader(readCommitted: true);

    private bool Guard(Func<bool> phase)
    {
        Volatile.Write(ref _turnBegan, _parts.Time.GetTimestamp());
        try
        {
            return phase();
        }
        catch (BrokerException error)
        {
            // This may wait for a broker that is away for long: that is no step that hangs.
            Volatile.Write(ref _turnBegan, 0);
            GoBack(error);
            return true;
        }
        catch (ShardDamagedException error) when (_shards.Exists(shard => shard.Store.Folder == error.Folder))
        {
            Heal(error);
            return true;
        }
        finally
        {
            Volatile.Write(ref _turnBegan, 0);
            Volatile.Write(ref _turnEnded, _parts.Time.GetTimestamp());
        }
    }

    /// <summary>A call that may wait for the broker, which is no step that hangs: the stall watch does not count it.</summary>
    private void AwaitBroker(Action call)
    {
        bool isCounted = _turnBegan != 0;
        Volatile.Write(ref _turnBegan, 0);
        call();
        Volatile.Write(ref _turnBegan, isCounted ? _parts.Time.GetTimestamp() : 0);
    }

    private bool AdoptAndLetGo()
    {
        bool moved = false;
        if (!_transaction.IsReady && _membership.HasBeenAssigned)
        {
            AwaitBroker(_transaction.Ready);
            moved = true;
        }

        while (Mailbox.TryTake(out ShardMessage? message))
        {
            moved = true;
            if (message is AdoptMessage { Restored: var restored })
            {
                Adopt(restored);
            }
            else if (_shards.Find(shard => shard.Id == message.Shard) is { } shard)
            {
                if (message is UploadedMessage uploaded)
                {
                    shard.Snapshots!.Uploaded(uploaded.Series, uploaded.Snapshot);
                }
                else
                {
                    LetGo(shard, commitsFirst: message is ReleaseMessage);
                }
            }
        }

        if (_shards.Exists(shard => !shard.Claimed && Owns(shard)) && !IsPaused)
        {
            CommitNow();
            moved = true;
        }

        return moved;
    }

    private void Adopt(RestoredShard restored)
    {
        ShardSnapshots? snapshots = _snapshotter is null
            ? null
            : new(_parts, _snapshotter, _ledger.Requests, restored, _parts.Steps.NewSnapshotSeries(_parts, restored.Shard, restored.OwnerEpoch));
        Shard shard = new(_parts, restored, _transaction, snapshots, _ledger, SliceOf, IsUrgentAfter, IsOutOfTime) { FlushedAt = _parts.Time.GetTimestamp() };
        _shards.Add(shard);
        shard.Assign(Reader);
    }

    private void LetGo(Shard shard, bool commitsFirst)
    {
        try
        {
            if (commitsFirst && Owns(shard))
            {
                CommitNow();
            }
            else if (shard.Touched)
            {
                AbortAndRewind($"shard {shard.Id} is lost");
            }
        }
        catch (BrokerException error)
        {
            GoBack(error);
        }
        catch (ShardDamagedException error) when (_shards.Exists(other => other.Store.Folder == error.Folder))
        {
            // Whosever it is: this shard is to go all the same.
            Heal(error);
        }

        if (_shards.Contains(shard))
        {
            Close(shard);
        }
    }

    private void Close(Shard shard)
    {
        Detach(shard);
        shard.Dispose();
        if (_shards.Count == 0)
        {
            // What failed is no longer here; what comes next begins its own count. A takeover again is no end of it.
            _abortsInARow = 0;
        }

        Log.Released(_parts.Logger, shard.Id);
        _parts.Table.Closed(shard.Id);
    }

    private void Detach(Shard shard)
    {
        _shards.Remove(shard);
        Mailbox.CountOut();
        shard.Unassign(Reader);
    }

    private bool Turn()
    {
        if (IsPaused)
        {
            return false;
        }

        bool moved = false;
        RunLedger.State ledger = Ledger;
        DateTimeOffset now = _parts.Time.GetUtcNow();
        for (int i = 0; i < _shards.Count; i++)
        {
            Shard shard = _shards[_nextShard % _shards.Count];
            _nextShard = (_nextShard + 1) % _shards.Count;
            if (!shard.Claimed || !Owns(shard))
            {
                continue;
            }

            _current = shard;
            shard.Flow.Now = now;
            bool isFirst = _touchedSince == 0;
            if (isFirst)
            {
                // Before the work: timers and batches look at the age, too.
                Volatile.Write(ref _touchedSince, _parts.Time.GetTimestamp());
            }

            try
            {
                moved |= Process(shard, ledger);
                moved |= shard.HasMoreDue;
                if (_run.IsWanted && !(_pace.IsCareful && IsOld && HasWorked(shard)))
                {
                    moved |= FollowRun(shard, ledger);
                }
            }
            catch (TurnTooLongException error)
            {
                shard.Touched = true;
                Outlived(error.Share);
                AbortAndRewind($"the transaction would outlive its limit of {_parts.Options.TransactionTimeout}: {error.Message}; turns are made smaller");
                return true;
            }
            catch (BrokerException)
            {
                // In the middle of a record or a notification: states have moved, so this shard too must go back.
                shard.Touched = true;
                throw;
            }
            catch (Exception error) when (error is not (StreamException or InstanceStoppedException))
            {
                throw new StreamException(
                    ExitCode.UserCode,
                    $"Step '{shard.Flow.CurrentStep}' failed in shard {shard.Id}, {shard.Flow.FailedIn ?? "in a batch"}: {error.GetType().Name}: {error.Message}. Nothing of it is committed; a restart resumes before it.",
                    error);
            }

            Interlocked.Add(ref _parts.Counters.RecordsOut, shard.Tell());
            shard.Touched |= shard.DirtyBytes > 0 || shard.Snapshots is { HasToPublish: true } || shard.HasToAnswer;
            if (isFirst && !shard.Touched)
            {
                _touchedSince = 0;
            }

            if (IsOld || (_pace.IsCareful && shard.Touched))
            {
                // Slow steps: the other shards get the next turns, or the transaction would grow older with each of them.
                break;
            }
        }

        _parts.Reached?.Invoke("turn");
        return moved;
    }

    /// <summary>
    /// Up to a batch of every source, in the order of the timestamps, then the batches and timers of the steps. Ends early when
    /// something else is urgent. True when there were records.
    /// </summary>
    private bool Process(Shard shard, RunLedger.State ledger)
    {
        if (_pace.IsCareful && shard.HasMoreDue)
        {
            // A record and a timer may be too much for one transaction: what was put off comes first, and alone.
            shard.EndTurn();
            return true;
        }

        IReadOnlyList<Source> sources = shard.Sources;
        for (int i = 0; i < sources.Count; i++)
        {
            if (shard.IsOpen(sources[i], ledger, _run.IsWanted))
            {
                Fill(sources[i]);
            }
            else if (_run.IsWanted && shard.IsPastEnd(sources[i], ledger))
            {
                // The batch that brought the last record of the run brought more: the next run's.
                sources[i].StopAt(sources[i].Position, Reader);
            }
        }

        using Activity? span = _parts.Telemetry.IsTraced && NextSource(shard, ledger) is { } first ? _parts.Telemetry.StartBatch(shard.Id, first.Inlet.Step.Id, first.Next.Headers) : null;
        long began = _parts.Time.GetTimestamp();
        int records = 0;
        int fromInputs = 0;
        while (NextSource(shard, ledger) is { } source)
        {
            if (_run.IsWanted && !source.Inlet.Step.IsRepartition && source.Next.Offset >= ledger.Ends.GetValueOrDefault(source.Partition))
            {
                source.StopAt(ledger.Ends.GetValueOrDefault(source.Partition), Reader);
                continue;
            }

            Process(shard, source);
            source.Advance(Reader);
            records++;
            fromInputs += source.Inlet.Step.IsRepartition ? 0 : 1;
            if ((_lookAround && IsUrgent()) || (_pace.IsCareful && records >= _pace.Records))
            {
                break;
            }
        }

        if (records > 0)
        {
            shard.Touched = true;
            _recordsSince += records;
            Interlocked.Add(ref _parts.Counters.RecordsIn, records);
            Interlocked.Add(ref _parts.Counters.RecordsFromInputs, fromInputs);
            if (_parts.Counters.FirstRecordAt == 0)
            {
                Interlocked.CompareExchange(ref _parts.Counters.FirstRecordAt, _parts.Time.GetTimestamp(), 0);
            }
        }

        shard.EndTurn();
        if (records > 0)
        {
            _parts.Telemetry.Processed(_parts.Time.GetElapsedTime(began));
            span?.SetTag("records", records);
        }

        return records > 0;
    }

    private Source? NextSource(Shard shard, RunLedger.State ledger)
    {
        Source? next = null;
        foreach (Source source in (Source[])shard.Sources)
        {
            if (source.HasRecord && (next is null || source.NextTimestamp < next.NextTimestamp) && shard.IsOpen(source, ledger, _run.IsWanted))
            {
                next = source;
            }
        }

        return next;
    }

    private void Fill(Source source)
    {
        try
        {
            source.Fill(Reader, _pace.Records);
        }
        catch (OffsetOutOfRangeException error) when (IsPurgedByAnother(source, error))
        {
            throw new BrokerException(Consequence.LostMembership, $"{error.Message} The group's position is further: another instance has the shard, and has deleted what it has processed", error);
        }
        catch (OffsetOutOfRangeException error)
        {
            // A topic that was made anew is another reason than one that keeps its records for too short.
            _parts.Topics.CheckSame(_parts.Broker, source.Partition.Topic);
            string retention = source.Inlet.Step.IsRepartition ? "" : " Give the topic a longer retention.";
            throw new StreamException(
                ExitCode.Broker, $"{error.Message} Step '{source.Inlet.Step.Id}' would miss records; nothing of them was processed.{retention} {_parts.Topics.WayOn}", error);
        }
    }

    /// <summary>Whether a newer owner is at work, of whom this instance has not heard: only what is committed is deleted.</summary>
    private bool IsPurgedByAnother(Source source, OffsetOutOfRangeException error) =>
        source.Inlet.Step.IsRepartition
        && error.Offset < error.Start
        && (!_parts.Broker.TryGetCommittedOffsets(_parts.App, [source.Partition], out long?[] group) || group[0] > source.Committed);

    private void Process(Shard shard, Source source)
    {
        RecordView record = source.Next;
        FlowInstance flow = shard.Flow;
        try
        {
            if (!record.HasKey && source.Inlet.Step.IsRepartition)
            {
                shard.SeeEnd(source.Inlet.Step, ControlRecord.Read(record.Value));
                return;
            }

            source.Inlet.Push(record);
        }
        catch (BadRecordException error)
        {
            Step step = source.Inlet.Step;
            if (step.Input?.BadRecords == BadRecords.Skip)
            {
                source.Skip();
                Interlocked.Increment(ref _parts.Counters.RecordsSkipped);
                Log.Skipped(_parts.Logger, source.Partition, record.Offset, step.Id, error.Message);
                return;
            }

            throw new StreamException(
                ExitCode.BadRecord,
                $"Step '{step.Id}' cannot read offset {record.Offset} of {source.Partition}: {error.Message}{(error.Message.EndsWith('?') ? "" : ".")} Nothing of it is committed. {(step.IsRepartition ? "Another version of the flow wrote it with another serde: run that version to the end of this topic first." : "Mend the serde or what writes the topic, or let the input skip bad records (InputOptions.BadRecords).")}",
                error);
        }
        catch (Exception error) when (error is not (StreamException or BrokerException or InstanceStoppedException))
        {
            throw new StreamException(
                ExitCode.UserCode,
                $"Step '{flow.CurrentStep}' failed on offset {record.Offset} of {source.Partition}: {error.GetType().Name}: {error.Message}. Nothing of it is committed; a restart resumes before this record.",
                error);
        }
    }

    private bool FollowRun(Shard shard, RunLedger.State ledger)
    {
        if (shard.Id == 0 && _run.Run == 0 && ledger is { IsLoaded: true, InProgress: false } && shard.Run.Run <= ledger.Run)
        {
            AwaitBroker(() => _announced = RunLedger.AppendRun(_parts, _transaction.Append, ledger.Run + 1));
            ledger = _announced!;
            _announcedOpen = true;
            shard.Join(ledger.Run);
            _run.Join(ledger.Run);
            _parts.Reached?.Invoke("run.1");
        }

        if (ledger.InProgress)
        {
            shard.Join(ledger.Run);
        }

        bool wasDone = shard.Run.Done;
        bool moved = shard.EndInputs(ledger);
        if (shard.Run.Done && !wasDone)
        {
            Log.ShardDone(_parts.Logger, shard.Run.Run, shard.Id);
        }

        return moved;
    }

    private bool IsUrgent()
    {
        _lookAround = false;
        return !Mailbox.IsEmpty || IsOld;
    }

    /// <summary>
    /// Whether work that may carry over a commit is to pause. At least one call is made each turn, so that all gets further; but
    /// where turns are kept small, none behind other work.
    /// </summary>
    private bool IsUrgentAfter(int calls) => (calls > 0 || (_pace.IsCareful && HasWorked(_current!))) && _lookAround && IsUrgent();

    /// <summary>What a slice emits goes through the batches behind it in the same turn, so small turns have small slices.</summary>
    private int SliceOf(int most) => _pace.IsCareful ? Math.Min(most, _pace.Records) : most;

    private static bool HasWorked(Shard shard) => shard.Touched || shard.DirtyBytes > 0;

    /// <summary>Whether work that cannot be left half done is to be broken off.</summary>
    private bool IsOutOfTime()
    {
        if (!_lookAround)
        {
            return false;
        }

        _lookAround = false;
        return !_parts.CommitsByHand && _touchedSince != 0 && _parts.Time.GetElapsedTime(_touchedSince) >= _outOfTime;
    }

    /// <summary>The open transaction is to be committed by its age.</summary>
    private bool IsOld => !_parts.CommitsByHand && _touchedSince != 0 && _parts.Time.GetElapsedTime(_touchedSince) >= _parts.Options.CommitInterval;

    private bool CommitIsDue()
    {
        if (_touchedSince == 0 && !_shards.Exists(shard => shard.Touched))
        {
            return _parts.Time.GetElapsedTime(_touchedAllAt) >= TouchAllEvery && _shards.Count > 0;
        }

        return _pace.IsCareful
            || _recordsSince >= _parts.Options.Slices.RecordsPerCommit
            || IsOld
            || _shards.Exists(shard => shard.Touched && shard.Run.Done)
            || _shards.Sum(shard => shard.DirtyBytes) >= _parts.Options.CacheBytesMax / 2;
    }

    private void CommitNow()
    {
        if (IsPaused)
        {
            return;
        }

        if (_parts.Time.GetElapsedTime(_touchedAllAt) >= TouchAllEvery)
        {
            // Committed offsets of topics that the group does not subscribe to would expire (KIP-211).
            _shards.ForEach(shard => shard.Touched = true);
            _touchedAllAt = _parts.Time.GetTimestamp();
        }

        _shards.ForEach(shard => shard.Touched |= shard.Snapshots is { HasToPublish: true });
        Shard[] touched = [.. _shards.Where(shard => shard.Touched)];
        if (touched.Length == 0)
        {
            return;
        }

        bool isMoreThanClaims = Array.Exists(touched, shard => shard.Claimed);
        bool isYoung = _touchedSince == 0 || _parts.Time.GetElapsedTime(_touchedSince) < _parts.Options.TransactionTimeout / 4;
        Complete(touched);
        if (isMoreThanClaims && isYoung && _pace.IsCareful)
        {
            _pace.Quicken();
        }

        if (isMoreThanClaims)
        {
            // Not by a claim: what fails after each takeover would never be said.
            _abortsInARow = 0;
            _outlived = 0;
        }

        _announcedOpen = false;
        Begin();
        foreach (Shard shard in touched.Where(_shards.Contains))
        {
            Purge(shard);
            if (_parts.Time.GetElapsedTime(shard.FlushedAt) >= FlushEvery)
            {
                shard.Store.Flush();
                shard.FlushedAt = _parts.Time.GetTimestamp();
            }
        }
    }

    private void Complete(Shard[] touched)
    {
        long began = _parts.Time.GetTimestamp();
        _workedFor = _touchedSince == 0 ? TimeSpan.Zero : _parts.Time.GetElapsedTime(_touchedSince, began);
        using Activity? span = _parts.Telemetry.Start(Telemetry.CommitSpan);
        try
        {
            AwaitBroker(_commit.Deliver);
            _commit.Write(touched);

            // As in Guard: what follows waits for the broker.
            Volatile.Write(ref _turnBegan, 0);
            _commit.Complete(touched, TakeOverAgain);
        }
        catch (Exception error)
        {
            Volatile.Write(ref _turnBegan, _parts.Time.GetTimestamp());
            span?.SetStatus(ActivityStatusCode.Error, error.Message);
            throw;
        }

        long ended = _parts.Time.GetTimestamp();
        Volatile.Write(ref _turnBegan, ended);
        long records = touched.Sum(shard => shard.TakeAppended());
        _parts.Telemetry.Committed(_parts.Time.GetElapsedTime(began, ended), records);
        span?.SetTag("shards", touched.Length).SetTag("records", records);
    }

    /// <summary>Snapshot, step 1, of one shard at the most: their copies take room, and the store takes one at a time.</summary>
    private Shard? TakeSnapshot(Func<Shard, bool> isWanted) =>
        _snapshotter is not null && !IsPaused
        && _shards.Find(shard => shard.Claimed && Owns(shard) && isWanted(shard)) is { } wanted
        && wanted.Snapshots!.TryTake(wanted.Store, Mailbox)
            ? wanted
            : null;

    /// <summary>Housekeeping: what is committed stays committed, and what is not deleted now is deleted later.</summary>
    private void Purge(Shard shard)
    {
        if (_purgeFailedAt != 0 && _parts.Time.GetElapsedTime(_purgeFailedAt) < PurgeAgainAfter)
        {
            return;
        }

        foreach (Source source in shard.Sources)
        {
            if (source.Inlet.Step.IsRepartition && source.Committed - source.Purged >= _parts.Options.Slices.Purge)
            {
                try
                {
                    AwaitBroker(() => _parts.Broker.DeleteRecords(source.Partition, source.Committed));
                }
                catch (BrokerException error)
                {
                    _parts.Steps.PurgeFailed(error);
                    _purgeFailedAt = _parts.Time.GetTimestamp();
                    Log.NotPurged(_parts.Logger, source.Partition, source.Committed, PurgeAgainAfter.TotalMinutes, error.Message);
                    return;
                }

                source.Purged = source.Committed;
            }
        }
    }

    private void GoBack(BrokerException error)
    {
        Interlocked.Increment(ref _parts.Counters.TransactionFailures[(int)error.Consequence]);
        // Not the time that a commit waits for its broker: that is no step's fault.
        if (error.Consequence != Consequence.Stop && _touchedSince != 0 && (_workedFor ?? _parts.Time.GetElapsedTime(_touchedSince)) >= _parts.Options.TransactionTimeout)
        {
            Outlived(share: 0.5);
        }

        switch (error.Consequence)
        {
            case Consequence.Stop:
                throw new StreamException(ExitCode.Broker, error.Message, error);

            case Consequence.NewWriter:
                CheckAlone(error);
                Shard[] touched = [.. _shards.Where(shard => shard.Touched)];
                Log.NewWriter(_parts.Logger, touched.Length, error.Message);
                _transaction.Replace();
                foreach (Shard shard in touched)
                {
                    TakeOverAgain(shard);
                }

                Forget();
                break;

            default:
                AbortAndRewind(error.Message);

                // Also after a mere abort: the token may be older than the group, which only membership can mend.
                _pausedAt = _membership.Turns;
                break;
        }

        if (_abortsInARow++ == 0)
        {
            _failingSince = _parts.Time.GetTimestamp();
        }

        // Many in a short time are no proof: a rebalance refuses every transaction until it is over.
        if (_abortsInARow > AbortsInARowMax && _parts.Time.GetElapsedTime(_failingSince) >= _parts.Options.SessionTimeout)
        {
            throw new StreamException(ExitCode.Broker, $"{_abortsInARow} transactions in a row failed; the last: {error.Message}", error);
        }
    }

    /// <summary>
    /// Nobody but this worker has its transactional id, and a transaction that is younger than its limit has not timed out: who
    /// fences it is another live process of the same instance id. The classic protocol tells, <c>consumer</c> takes both as members.
    /// </summary>
    /// <exception cref="StreamException">That has happened several times within a short time.</exception>
    private void CheckAlone(BrokerException error)
    {
        if (!error.IsFenced || (_touchedSince != 0 && _parts.Time.GetElapsedTime(_touchedSince) >= _parts.Options.TransactionTimeout / 2))
        {
            return;
        }

        long now = _parts.Time.GetTimestamp();
        if (_fenced == 0 || _parts.Time.GetElapsedTime(_fencedSince, now) > FencedWithin)
        {
            _fenced = 0;
            _fencedSince = now;
        }

        if (++_fenced == FencedMax)
        {
            throw new StreamException(
                ExitCode.Broker,
                $"Another live process of application '{_parts.App}' uses instance id '{_parts.InstanceId}': it fenced this one {_fenced} times. Give each instance an id of its own (InstanceId, --instance-id). {error.Message}",
                error);
        }
    }

    /// <summary>
    /// A shard's folder turned out to be damaged: nothing wrong was read, since RocksDB looks at checksums, but it cannot be
    /// used any more. The shard is taken over again from the next best source.
    /// </summary>
    private void Heal(ShardDamagedException damage)
    {
        Shard shard = _shards.First(shard => shard.Store.Folder == damage.Folder);
        if (_healed.TryGetValue(shard.Id, out int times) && times == HealsMax)
        {
            throw damage;
        }

        _healed[shard.Id] = times + 1;
        Log.LocalDamaged(_parts.Logger, shard.Id, damage.Reason);
        AbortAndRewind($"the local state of shard {shard.Id} is damaged");
        TakeOverAgain(shard);
    }

    private void AbortAndRewind(string reason)
    {
        Log.Aborted(_parts.Logger, reason);
        AwaitBroker(_transaction.Abort);
        foreach (Shard shard in _shards)
        {
            if (shard.Touched)
            {
                shard.Rewind(Reader);
            }
        }

        Forget();
    }

    /// <summary>
    /// The open transaction is too old to be committed, by a slow step or because the process stood still: the next ones are
    /// smaller. The same call of a step again and again, when nothing smaller can be tried, is a step that can never be committed.
    /// </summary>
    /// <exception cref="StreamException">That is so.</exception>
    private void Outlived(double share)
    {
        bool isSlowest = _pace.IsSlowest;
        _pace.Slow(_recordsSince, share);
        Shard? shard = _current;
        if (!isSlowest || shard is null)
        {
            return;
        }

        string step = _slowStep is { Length: > 0 } slow ? slow : shard.Flow.CurrentStep;
        string? key = shard.StatefulNodes.FirstOrDefault(node => node.Step.Id == step)?.LastKey;
        string call = $"Step '{step}'{(key is null ? "" : $" with key '{key}'")} in shard {shard.Id}{string.Concat(shard.Sources.Where(source => source.Position != source.Committed).Select(source => $", offset {source.Committed} of {source.Partition}"))}";
        _outlived = call == _outlivedBy ? _outlived + 1 : 1;
        _outlivedBy = call;
        if (_outlived >= OutlivedMax)
        {
            throw new StreamException(
                ExitCode.UserCode,
                $"{call}, takes longer than a transaction may be open (TransactionTimeout, {_parts.Options.TransactionTimeout}): tried {_outlived} times by itself, and nothing of it is committed. Let the step return sooner, or raise TransactionTimeout.");
        }
    }

    private void Forget()
    {
        if (_announcedOpen)
        {
            _announcedOpen = false;
            _announced = null;
            _run.Join(0);
        }

        Begin();
    }

    /// <summary>The next transaction begins with its first record.</summary>
    private void Begin()
    {
        _touchedSince = 0;
        _recordsSince = 0;
        _slowStep = null;
        _workedFor = null;
    }

    /// <summary>The shard's state in memory and in the store can no longer be told from the broker's: from the start again.</summary>
    private void TakeOverAgain(Shard shard)
    {
        Detach(shard);
        shard.Dispose();
        _parts.Table.TakeOverAgain(shard.Id, shard.Number);
    }

    /// <summary>The newest run: of the ledger, or announced in the open transaction.</summary>
    private RunLedger.State Ledger
    {
        get
        {
            RunLedger.State committed = _ledger.Current;
            return _announced is { } announced && announced.Run > committed.Run ? announced : committed;
        }
    }

    private bool Owns(Shard shard) => _parts.Ownership.IsValid(shard.Id, shard.Number);

    /// <summary>After an abort: until membership has had two turns, so that it has learnt what happened.</summary>
    private bool IsPaused
    {
        get
        {
            if (_pausedAt >= 0 && _membership.Turns >= _pausedAt + 2)
            {
                _pausedAt = -1;
            }

            return _pausedAt >= 0;
        }
    }
}
