namespace KStreamSharp;

/// <summary>A running shard: its sources, its instance of the flow, its store, and how far a finite run has come.</summary>
/// <remarks>
/// Always true between turns: positions, states in the cache and records in the open transaction belong together; a
/// commit makes all three last, an abort takes all three back.
/// </remarks>
internal sealed class Shard : IDisposable
{
    private readonly EngineParts _parts;
    private readonly FlowPlace _place;
    private readonly Source[] _sources;
    private readonly ShardChanges _changes;
    private readonly Dictionary<TopicPartition, long> _positions;
    private readonly IReadOnlyDictionary<string, Guid> _topicIds;
    private readonly HashSet<Step> _ended = [];
    private RunProgress _committedRun;
    private long _committedWatermark;
    private readonly long _committedElsewhereAt;
    private readonly ShardFigures _figures;
    private readonly (Source Source, StepFigures Figures)[] _reads;
    private readonly (Tally Tally, StepFigures Figures)[] _writes;
    private readonly (StatefulNode Node, StepFigures Figures)[] _states;
    private readonly RunLedger _ledger;
    private readonly Transaction _transaction;
    private byte[] _marker = [];
    private long _appended;
    private long _answering = -1;
    private long _answered = -1;

    public Shard(EngineParts parts, RestoredShard restored, Transaction transaction, ShardSnapshots? snapshots, RunLedger ledger, Func<int, int> sliceOf, Func<int, bool> isUrgent, Func<bool> isOutOfTime)
    {
        _ledger = ledger;
        Snapshots = snapshots;
        StoredMarker? stored = restored.Store.ReadMarker();
        Position = stored?.ChangelogPosition ?? 0;
        _committedElsewhereAt = stored?.BrokerTime ?? 0;
        _parts = parts;
        _transaction = transaction;
        Number = restored.Number;
        Id = restored.Shard;
        OwnerEpoch = restored.OwnerEpoch;
        Store = restored.Store;
        Run = _committedRun = restored.Run;
        _place = new FlowPlace
        {
            App = parts.App,
            Shard = Id,
            ShardCount = parts.ShardCount,
            Append = transaction.Append,
            AppendOutput = parts.Options.Guarantee == Guarantee.AtLeastOnce ? AppendOwned : transaction.AppendOutput,
            PartitionCount = parts.Topics.PartitionCount,
            Store = Store,
            Limits = parts.Limits,
            Slices = parts.Options.Slices,
            SliceOf = sliceOf,
            IsUrgent = isUrgent,
            IsOutOfTime = isOutOfTime,
        };
        Flow = new FlowInstance(parts.Flow, _place) { Watermark = restored.Watermark };
        _committedWatermark = restored.Watermark;
        _changes = new ShardChanges(_place, Store);
        _sources = [.. Flow.Inlets
            .Select(inlet => (Inlet: inlet, Partition: new TopicPartition(inlet.Topic, Id)))
            .Where(source => restored.Positions.ContainsKey(source.Partition))
            .Select(source => new Source(source.Inlet, source.Partition, restored.Positions[source.Partition]))];
        _positions = new(restored.Positions);
        _topicIds = restored.TopicIds;
        TransactionalId = transaction.Id;
        _figures = parts.Figures[Id];
        _reads = [.. _sources.Select(source => (source, _figures.Of(source.Inlet.Step.Id)))];
        _writes = [.. Flow.Tallies.Select(tally => (tally.Value, _figures.Of(tally.Key)))];
        StatefulNodes = StatefulNode.Of(Flow);
        _states = [.. StatefulNodes.Select(node => (node, _figures.Of(node.Step.Id)))];
        Volatile.Write(ref _figures.LastCommitAt, _committedElsewhereAt);
        _figures.Snapshot = snapshots?.Newest;
        foreach ((Source source, StepFigures figures) in _reads)
        {
            figures.Begin(source.Partition, source.Position);
        }

        _figures.IsHere = true;
    }

    /// <summary>An output that no transaction fences: of a shard that another owns by now, nothing is written any more.</summary>
    private void AppendOwned(TopicPartition partition, in OutgoingRecord record)
    {
        if (!_parts.Ownership.IsValid(Id, Number))
        {
            throw new BrokerException(Consequence.LostMembership, $"shard {Id} is no longer this instance's");
        }

        _transaction.AppendOutput(partition, record);
    }

    public int Id { get; }

    /// <summary>The ownership number under which the shard was taken over.</summary>
    public long Number { get; }

    public long OwnerEpoch { get; }

    public string TransactionalId { get; }

    public ShardStore Store { get; }

    public FlowInstance Flow { get; }

    public IReadOnlyList<StatefulNode> StatefulNodes { get; }

    public IReadOnlyList<Source> Sources => _sources;

    /// <summary>Where the changelog goes on after what the store holds.</summary>
    public long Position { get; private set; }

    /// <summary>Null when no snapshots are taken.</summary>
    public ShardSnapshots? Snapshots { get; }

    /// <summary>Its last snapshot of an orderly end has been taken.</summary>
    public bool IsSnapshotAtEnd { get; set; }

    public RunProgress Run { get; private set; }

    /// <summary>An instance that is to end has asked whether this one is endless, and it is.</summary>
    public bool HasToAnswer => _ledger.AskedAt(Id) > _answered;

    /// <summary>Something happened since the last commit; at first the claim.</summary>
    public bool Touched { get; set; } = true;

    /// <summary>The takeover's last step: false until the first commit of the shard.</summary>
    public bool Claimed { get; private set; }

    public long FlushedAt { get; set; }

    public long DirtyBytes
    {
        get
        {
            long bytes = 0;
            foreach (StatefulNode node in StatefulNodes)
            {
                bytes += node.DirtyBytes;
            }

            return bytes;
        }
    }

    public TopicPartition Changelog => new(_place.ChangelogTopic, Id);

    public void Assign(Reader reader)
    {
        foreach (Source source in _sources)
        {
            reader.Assign(source.Partition, source.Position);
        }
    }

    public void Unassign(Reader reader)
    {
        foreach (Source source in _sources)
        {
            reader.Unassign(source.Partition);
        }
    }

    /// <summary>Whether a source may be read on: in a finite run, not past the run's end.</summary>
    public bool IsOpen(Source source, RunLedger.State ledger, bool untilEnd)
    {
        if (!untilEnd)
        {
            return true;
        }

        if (Run.Done)
        {
            return false;
        }

        if (source.Inlet.Step.IsRepartition)
        {
            return true;
        }

        return ledger.Run == Run.Run && Run.Run > 0 && source.Position < ledger.Ends.GetValueOrDefault(source.Partition);
    }

    /// <summary>Whether all that a source still holds came after the end of the run that the shard is in.</summary>
    public bool IsPastEnd(Source source, RunLedger.State ledger) =>
        source.HasRecord
        && !source.Inlet.Step.IsRepartition
        && ledger.Run == Run.Run
        && Run.Run > 0
        && source.Position >= ledger.Ends.GetValueOrDefault(source.Partition);

    /// <summary>Adopts the run of the ledger, unless the shard is in it already.</summary>
    public void Join(long run)
    {
        if (run > Run.Run)
        {
            Run = new RunProgress { Run = run };
            _ended.Clear();
            Touched = true;
        }
    }

    /// <summary>An upstream shard has sent all that it had for a repartition step in a run.</summary>
    public void SeeEnd(Step step, ControlRecord control)
    {
        Join(control.Run);
        if (control.Run == Run.Run)
        {
            Dictionary<string, IReadOnlySet<int>> seen = new(Run.EndsSeen);
            seen[step.Id] = new HashSet<int>(seen.GetValueOrDefault(step.Id) ?? new HashSet<int>()) { control.Shard };
            Run = Run with { EndsSeen = seen };
        }

        Touched = true;
    }

    /// <summary>The turn's items have been pushed: batches and due timers, step by step in topological order.</summary>
    public void EndTurn()
    {
        foreach (Node node in Flow.Nodes)
        {
            if (!HasEnded(node.Step) || node.IsInTurn)
            {
                node.EndTurn();
            }
        }
    }

    /// <summary>Tells what has happened since the last call, once per turn.</summary>
    /// <returns>The records appended to outputs and repartition topics.</returns>
    public long Tell()
    {
        foreach ((Source source, StepFigures figures) in _reads)
        {
            Volatile.Write(ref figures.In, figures.In + source.TakeRecords());
            Volatile.Write(ref figures.Skipped, figures.Skipped + source.TakeSkipped());
            Volatile.Write(ref figures.Position, source.Position);
        }

        long written = TellWritten();
        foreach ((StatefulNode node, StepFigures figures) in _states)
        {
            Volatile.Write(ref figures.CacheBytes, node.CacheBytes);
            Volatile.Write(ref figures.CacheKeys, node.CacheKeys);
            Volatile.Write(ref figures.CacheMisses, figures.CacheMisses + node.TakeCacheMisses());
        }

        _appended += written;
        _figures.LookIfAsked(Store);
        return written;
    }

    private long TellWritten()
    {
        long written = 0;
        foreach ((Tally tally, StepFigures figures) in _writes)
        {
            long records = tally.Take();
            written += records;
            Volatile.Write(ref figures.Out, figures.Out + records);
        }

        return written;
    }

    /// <summary>The records of the shard in the transaction that was committed.</summary>
    public long TakeAppended()
    {
        long appended = _appended;
        _appended = 0;
        return appended;
    }

    /// <summary>Whether more timers are due than one turn handles.</summary>
    public bool HasMoreDue
    {
        get
        {
            foreach (StatefulNode node in StatefulNodes)
            {
                if (node.HasMoreDue && !HasEnded(node.Step))
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>
    /// The end of a finite run, a slice of it: steps whose upstreams have ended do their work at the end in topological
    /// order. True when something got further.
    /// </summary>
    public bool EndInputs(RunLedger.State ledger)
    {
        if (Run.Run == 0 || Run.Done || ledger.Run != Run.Run)
        {
            return false;
        }

        bool moved = false;
        foreach (Step step in Flow.Flow.Steps)
        {
            if (_ended.Contains(step))
            {
                continue;
            }

            if (step.Input is not null)
            {
                if (_sources.FirstOrDefault(source => source.Inlet.Step == step) is { } source
                    && (source.HasRecord || source.Position < ledger.Ends.GetValueOrDefault(source.Partition)))
                {
                    continue;
                }

                CheckEnd(step, ledger);
                _ended.Add(step);
                _parts.Reached?.Invoke("run.2");
                moved = true;
                continue;
            }

            bool upstreamsEnded = step.Upstreams.All(upstream => _ended.Contains(upstream.Step));
            if (step.IsRepartition)
            {
                moved |= EndRepartition(step, upstreamsEnded);
            }
            else if (upstreamsEnded)
            {
                moved = true;
                if (!EndStep(step))
                {
                    break;
                }
            }
        }

        if (moved && _parts.Steps.EndsTurns)
        {
            // What a slice emitted may wait in a batch further down, in a step that has not ended: the commit may come next.
            EndTurn();
        }

        if (_ended.Count == Flow.Flow.Steps.Count)
        {
            Run = Run with { Done = true };
            Touched = true;
        }

        return moved;
    }

    /// <summary>Commit, steps 1 and 2: states, then the marker as the shard's last record.</summary>
    public void Write(long now)
    {
        foreach (Node node in Flow.Nodes)
        {
            if (node.IsInTurn && _parts.Steps.EndsTurns)
            {
                throw new InvalidOperationException($"Step '{node.Step.Id}' of shard {Id} is in the midst of a turn: a commit now would lose what it holds. This is a defect of the engine; please report it.");
            }
        }

        _changes.Begin(now);
        foreach (StatefulNode node in StatefulNodes)
        {
            node.WriteChanges(_changes);
        }

        _parts.Reached?.Invoke("commit.1");
        if (Run.Done && (_committedRun.Run != Run.Run || !_committedRun.Done))
        {
            RunLedger.AppendDone(_place, Run.Run, now);
            _parts.Reached?.Invoke("run.5");
        }

        _answering = _ledger.AskedAt(Id);
        if (_answering > _answered)
        {
            RunLedger.AppendEndless(_place, _parts.InstanceId, now);
        }

        Snapshots?.Write(_place, now);
        foreach (Source source in _sources)
        {
            _positions[source.Partition] = source.Position;
        }

        _marker = new CommitMarker
        {
            OwnerEpoch = OwnerEpoch,
            TransactionalId = TransactionalId,
            Positions = _positions,
            TopicIds = _topicIds,
            Watermark = Flow.Watermark,
            Run = Run,
        }.Write();
        _changes.PutMarker(_marker);
        _appended += _changes.Count + 1;
    }

    /// <summary>Commit, step 5: what the transaction made visible is applied to the store, in one batch.</summary>
    public void Apply(long changelogPosition, long now)
    {
        _changes.Batch.PutMarker(changelogPosition, now, _marker);
        Store.Write(_changes.Batch);
        Position = changelogPosition;
        TellCommit(now);
        Snapshots?.Count(_changes.Bytes, hasChanged: _changes.Count > 0 || Array.Exists(_sources, source => source.Position != source.Committed));
        foreach (StatefulNode node in StatefulNodes)
        {
            node.Applied();
        }

        foreach (Source source in _sources)
        {
            source.MarkCommitted();
        }

        Snapshots?.Applied();
        _figures.Snapshot = Snapshots?.Newest;
        if (!Claimed && _committedElsewhereAt > 0)
        {
            Log.Claimed(_parts.Logger, Id, now - _committedElsewhereAt);
        }

        _answered = Math.Max(_answered, _answering);
        _committedRun = Run;
        _committedWatermark = Flow.Watermark;
        Touched = false;
        Claimed = true;
    }

    /// <summary>Back to the last commit: memory is forgotten, sources are read again from the committed positions.</summary>
    public void Rewind(Reader reader)
    {
        foreach (Node node in Flow.Nodes)
        {
            node.Reset();
        }

        foreach (Source source in _sources)
        {
            source.Rewind(reader);
        }

        // Of a turn that was broken off; the next commit has nothing of it.
        TellWritten();
        Run = _committedRun;
        Flow.Watermark = _committedWatermark;
        _ended.Clear();
        _appended = 0;
        Touched = !Claimed;
    }

    public void Abandon()
    {
        _figures.IsHere = false;
        _changes.Dispose();
        Store.Abandon();
    }

    public void Dispose()
    {
        _figures.IsHere = false;
        _changes.Dispose();
        Store.Dispose();
    }

    private void TellCommit(long now)
    {
        Volatile.Write(ref _figures.LastCommitAt, now);
        Volatile.Write(ref _figures.ChangelogRecords, _figures.ChangelogRecords + _changes.Count);
        Volatile.Write(ref _figures.ChangelogBytes, _figures.ChangelogBytes + _changes.Bytes);
        long done = _parts.NowMilliseconds;
        foreach (Source source in _sources)
        {
            if (source.Oldest is { } oldest)
            {
                _parts.Telemetry.Delivered(source.Inlet.Step.Id, TimeSpan.FromMilliseconds(Math.Max(0, done - oldest)));
            }
        }
    }

    /// <summary>A position after the end of the input: there is nothing to read, but the run would say that all is well.</summary>
    private void CheckEnd(Step step, RunLedger.State ledger)
    {
        if (_sources.FirstOrDefault(source => source.Inlet.Step == step) is not { } source
            || source.Position <= ledger.Ends.GetValueOrDefault(source.Partition))
        {
            return;
        }

        long end = _parts.Broker.EndOffset(source.Partition, committedOnly: false);
        if (source.Position > end)
        {
            throw new StreamException(
                ExitCode.Broker,
                $"Step '{step.Id}' is to go on at offset {source.Position} of {source.Partition}, which ends at {end}: records were lost, or the topic was made anew. {_parts.Topics.WayOn}");
        }
    }

    private bool EndRepartition(Step step, bool upstreamsEnded)
    {
        bool moved = false;
        if (upstreamsEnded && !Run.EndedSteps.Contains(SinkOf(step)))
        {
            ((RepartitionNode)Flow.NodeOf(step)!).SendEnd(Run.Run);
            Run = Run with { EndedSteps = new HashSet<string>(Run.EndedSteps) { SinkOf(step) } };
            Touched = true;
            _parts.Reached?.Invoke("run.4");
            moved = true;
        }

        Source source = _sources.First(source => source.Inlet.Step == step);
        if (!source.HasRecord && Run.EndsSeen.GetValueOrDefault(step.Id)?.Count == _parts.ShardCount)
        {
            _ended.Add(step);
            moved = true;
        }

        return moved;
    }

    /// <summary>False: more slices are to come.</summary>
    private bool EndStep(Step step)
    {
        if (Flow.NodeOf(step) is { } node && !Run.EndedSteps.Contains(step.Id))
        {
            byte[]? cursor = Run.CursorStep == step.Id ? Run.CursorKey : null;
            bool complete = node.EndInput(ref cursor);
            Touched = true;
            Run = complete
                ? Run with { EndedSteps = new HashSet<string>(Run.EndedSteps) { step.Id }, CursorStep = null, CursorKey = null }
                : Run with { CursorStep = step.Id, CursorKey = cursor };
            _parts.Reached?.Invoke("run.3");
            if (!complete)
            {
                return false;
            }
        }

        _ended.Add(step);
        return true;
    }

    /// <summary>
    /// Whether a step has done its work at the end of the run. What is committed counts, too: after an abort or a restart the
    /// steps end anew one by one, and until its turn comes a step must not fire timers that it had done with.
    /// </summary>
    private bool HasEnded(Step step) => _ended.Contains(step) || (_ledger.IsForFiniteRun && Run.EndedSteps.Contains(step.Id));

    private static string SinkOf(Step step) => step.Id + "/sink";
}
