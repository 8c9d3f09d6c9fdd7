using RocksDbSharp;

namespace KStreamSharp;

/// <summary>
/// A stateful step in one shard: a write-back cache of live logics over the shard's store, and its timers.
/// </summary>
/// <remarks>
/// Always true: a key that was called since the last commit is in the cache and dirty; a clean one can be dropped
/// without anyone noticing, for the store has it. A pending notification of a dirty key is in <c>_fresh</c>, that of a
/// clean key has a hint in the store. Hints up to <c>_examined</c> have been looked at since the last commit, which
/// deletes them; hints that are still true are written anew then.
/// </remarks>
internal sealed class KeyedNode<TKey, TIn, TOut> : StatefulNode
{
    private const int CellOverhead = 200;
    private const long Unknown = long.MinValue;

    private readonly StatefulKind<TKey, TIn, TOut> _kind;
    private readonly Serde<TKey> _keySerde;
    private readonly StatefulContext<TKey, TOut> _context;
    private readonly ShardStore _store;
    private readonly StateLimits _limits;
    private readonly TurnSlices _slices;
    private readonly SerdeContext _keyContext;
    private readonly SerdeContext _stateContext;
    private readonly byte[] _timerPrefix;

    private readonly Dictionary<byte[], Cell> _cells = new(KeyComparer.Instance);
    private readonly Dictionary<byte[], Cell>.AlternateLookup<ReadOnlySpan<byte>> _bySpan;
    private readonly List<Cell> _ring = [];
    private readonly List<Cell> _dirty = [];
    private readonly List<Cell> _called = [];
    private readonly List<Cell> _batches = [];
    private readonly List<Cell> _due = [];
    private readonly PriorityQueue<Cell, long> _fresh = new();
    private readonly ByteBuffer _key = new(64);
    private readonly ByteBuffer _envelope = new();
    private int _hand;
    private long _bytes;
    private long _dirtyBytes;
    private long _misses;
    private byte[]? _examined;
    private long _nextHint = Unknown;
    private bool _moreDue;
    private byte[]? _resumeAt;
    private Cell? _last;

    public KeyedNode(FlowInstance instance, Step step, StatefulKind<TKey, TIn, TOut> kind, Serde<TKey> keySerde, Port<Keyed<TKey, TOut>> next)
        : base(instance, step)
    {
        _kind = kind;
        _keySerde = keySerde;
        _store = instance.Place.Store;
        _limits = instance.Place.Limits;
        _slices = instance.Place.Slices;
        _keyContext = new(instance.Place.ChangelogTopic, RecordPart.Key);
        _stateContext = new(instance.Place.ChangelogTopic, RecordPart.State);
        _timerPrefix = TimerKey.Prefix(step.Id);
        _bySpan = _cells.GetAlternateLookup<ReadOnlySpan<byte>>();
        _context = new(instance, step.Id, next);
        Port = kind.Batches ? new GatherPort(this) : new ItemPort(this);
    }

    public Port<Keyed<TKey, TIn>> Port { get; }

    public override long DirtyBytes => _dirtyBytes;

    public override long CacheBytes => _bytes;

    public override int CacheKeys => _cells.Count;

    public override bool HasMoreDue => _moreDue && _nextHint <= Instance.Now.UtcTicks;

    public override string LastKey => $"{(_last is { } last ? last.Key : default)}";

    public override bool IsInTurn => _batches.Count > 0 || _called.Count > 0;

    public override long TakeCacheMisses()
    {
        long taken = _misses;
        _misses = 0;
        return taken;
    }

    public override void EndTurn()
    {
        HandleBatches();
        if (_kind.Timers)
        {
            FireDue();
            AskCalled();
        }

        Evict();
    }

    public override bool EndInput(ref byte[]? cursor)
    {
        HandleBatches();
        bool complete = true;
        if (_kind.Eof)
        {
            int slice = Instance.Place.SliceOf(_slices.EndOfInput);
            List<byte[]> keys = NextLiveKeys(cursor, slice);
            complete = keys.Count < slice;
            for (int done = 0; done < keys.Count; done++)
            {
                if (Instance.Place.IsUrgent(done))
                {
                    complete = false;
                    break;
                }

                byte[] key = keys[done];
                Cell cell = Find(key);
                if (cell.IsAlive)
                {
                    try
                    {
                        KeyLogic<TKey, TIn, TOut> logic = Wake(cell);
                        _context.Enter(cell.Key, new(TimestampOf(cell), Headers.Empty), TimestampOf(cell));
                        Touch(cell, logic.OnEof(_context));
                    }
                    catch (Exception error) when (Blames(error, "at the end of the input for", cell))
                    {
                        throw;
                    }
                }

                cursor = key;
            }
        }

        if (_kind.Timers)
        {
            AskCalled();
        }

        return complete;
    }

    public override void WriteChanges(ShardChanges changes)
    {
        _dirty.Sort(Cell.ByKey);
        if (_examined is not null)
        {
            changes.DeleteTimersTo(Step.Id, _examined);
        }

        foreach (Cell cell in _dirty)
        {
            if (!cell.IsAlive)
            {
                if (cell.InStore)
                {
                    changes.Delete(Step.Id, cell.KeyBytes);
                }

                continue;
            }

            ReadOnlySpan<byte> envelope = cell.Frozen is { } frozen ? frozen : Seal(cell);
            changes.Put(Step.Id, cell.KeyBytes, envelope);
            if (cell.NotifyAt != Envelope.Never)
            {
                changes.PutTimer(Step.Id, cell.NotifyAt, cell.KeyBytes);
            }

            Weigh(cell, envelope.Length);
        }
    }

    public override void Applied()
    {
        foreach (Cell cell in _dirty)
        {
            cell.IsDirty = false;
            cell.InStore = cell.IsAlive;
            if (!cell.IsAlive)
            {
                cell.Referenced = false;
            }
        }

        if (_dirty.Count > 0 || _examined is not null)
        {
            _nextHint = Unknown;
        }

        _dirty.Clear();
        _dirtyBytes = 0;
        _fresh.Clear();
        _examined = null;
        Evict();
    }

    /// <summary>Everything in memory is forgotten; the store has the last committed states.</summary>
    public override void Reset()
    {
        _cells.Clear();
        _ring.Clear();
        _dirty.Clear();
        _called.Clear();
        _batches.Clear();
        _due.Clear();
        _fresh.Clear();
        _hand = 0;
        _bytes = 0;
        _dirtyBytes = 0;
        _examined = null;
        _nextHint = Unknown;
        _moreDue = false;
        _resumeAt = null;
    }

    public override byte[]? Peek(ReadOnlySpan<byte> key) => _bySpan.TryGetValue(key, out Cell? cell)
        ? cell.IsAlive ? cell.Frozen ?? Seal(cell).ToArray() : null
        : _store.Get(Step.Id, key);

    public override IReadOnlyDictionary<byte[], long> PeekTimers()
    {
        Dictionary<byte[], long> timers = new(KeyComparer.Instance);
        using Iterator hints = _store.IterateTimers();
        for (hints.Seek(_timerPrefix); hints.Valid() && TimerKey.IsOf(hints.GetKeySpan(), _timerPrefix); hints.Next())
        {
            byte[] key = TimerKey.Key(hints.GetKeySpan(), _timerPrefix.Length).ToArray();
            long time = TimerKey.Time(hints.GetKeySpan(), _timerPrefix.Length);
            if (!_cells.ContainsKey(key) && _store.Get(Step.Id, key) is { } saved && Envelope.Read(saved, Step.Id).NotifyAt == time)
            {
                timers[key] = time;
            }
        }

        foreach (Cell cell in _cells.Values.Where(cell => cell.IsAlive && cell.NotifyAt != Envelope.Never))
        {
            timers[cell.KeyBytes] = cell.NotifyAt;
        }

        return timers;
    }

    private void OnItem(in Keyed<TKey, TIn> item, in Stamp stamp)
    {
        Cell cell = Find(item.Key);
        KeyLogic<TKey, TIn, TOut> logic = Wake(cell);
        cell.Timestamp = Math.Max(cell.Timestamp, stamp.Timestamp);
        _context.Enter(item.Key, stamp, cell.Timestamp);
        Touch(cell, logic.OnItem(item.Value, _context));
    }

    private void Gather(in Keyed<TKey, TIn> item, in Stamp stamp)
    {
        Cell cell = Find(item.Key);
        if (!cell.HasBatch)
        {
            _batches.Add(cell);
            cell.BatchTimestamp = stamp.Timestamp;
        }

        cell.Batch.Add(item.Value);
        cell.BatchTimestamp = Math.Max(cell.BatchTimestamp, stamp.Timestamp);
    }

    private void HandleBatches()
    {
        if (_batches.Count == 0)
        {
            return;
        }

        _batches.Sort(Cell.ByKey);
        for (int done = 0; done < _batches.Count; done++)
        {
            if (done > 0 && Instance.Place.IsOutOfTime())
            {
                throw new TurnTooLongException(Step.Id, done, _batches.Count);
            }

            Cell cell = _batches[done];
            KeyLogic<TKey, TIn, TOut> logic = Wake(cell);
            cell.Timestamp = Math.Max(cell.Timestamp, cell.BatchTimestamp);
            _context.Enter(cell.Key, new(cell.BatchTimestamp, Headers.Empty), cell.Timestamp);
            StateAction action;
            try
            {
                action = logic.OnBatch(cell.Batch, _context);
            }
            catch (Exception error) when (Blames(error, "in a batch of", cell))
            {
                throw;
            }

            cell.Batch.Clear();
            Touch(cell, action);
        }

        _batches.Clear();
    }

    /// <summary>
    /// A key is due when it was so before this turn's items and still is after them: a time that was pushed back or
    /// cancelled does not fire, and one that is new in this turn waits for the next.
    /// </summary>
    private void FireDue()
    {
        long now = Instance.Now.UtcTicks;
        long next = Math.Min(_nextHint, _fresh.TryPeek(out _, out long first) ? first : long.MaxValue);
        if (next > now)
        {
            return;
        }

        byte[]? examined = _examined;
        CollectDue(now);
        _due.Sort(Cell.ByKey);
        GoOnWhereItWasCut();
        for (int done = 0; done < _due.Count; done++)
        {
            if (Instance.Place.IsUrgent(done))
            {
                PutBack(done, examined);
                break;
            }

            Cell cell = _due[done];
            cell.IsDue = false;
            long time = cell.NotifyAt;
            KeyLogic<TKey, TIn, TOut> logic = Wake(cell);
            if (cell.IsCalled)
            {
                Ask(cell, logic);
                if (cell.NotifyAt > now)
                {
                    continue;
                }

                time = cell.NotifyAt;
            }

            cell.NotifyAt = Envelope.Never;
            long timestamp = Math.Max(0, new DateTimeOffset(time, TimeSpan.Zero).ToUnixTimeMilliseconds());
            _context.Enter(cell.Key, new(timestamp, Headers.Empty), TimestampOf(cell));
            try
            {
                Touch(cell, logic.OnNotify(_context));
            }
            catch (Exception error) when (Blames(error, "in a notification of", cell))
            {
                throw;
            }
        }

        _due.Clear();
    }

    /// <summary>Keys that are always due must not keep those behind them from their notification, where a turn has no time for all.</summary>
    private void GoOnWhereItWasCut()
    {
        if (_resumeAt is { } resumeAt)
        {
            _resumeAt = null;
            int first = _due.FindIndex(cell => Cell.Compare(cell.KeyBytes, resumeAt) >= 0);
            if (first > 0)
            {
                Cell[] before = [.. _due.Take(first)];
                _due.RemoveRange(0, first);
                _due.AddRange(before);
            }
        }
    }

    /// <summary>
    /// The due keys from one on wait for the next turn, perhaps past a commit. Their hints must outlive it: so none of this slice
    /// counts as examined. Those of keys that have been notified are no longer true, and are passed over next time.
    /// </summary>
    private void PutBack(int first, byte[]? examined)
    {
        for (int i = first; i < _due.Count; i++)
        {
            Cell cell = _due[i];
            cell.IsDue = false;
            if (cell.IsDirty)
            {
                // Perhaps not in the store yet. A clean key's hint is; to name its cell here would keep it past its eviction.
                _fresh.Enqueue(cell, cell.NotifyAt);
            }
        }

        _examined = examined;
        _nextHint = Instance.Now.UtcTicks;
        _moreDue = true;
        _resumeAt = _due[first].KeyBytes;
    }

    private void CollectDue(long now)
    {
        while (_fresh.TryPeek(out Cell? cell, out long time) && time <= now)
        {
            _fresh.Dequeue();
            MarkDue(cell, time);
        }

        if (_nextHint > now)
        {
            return;
        }

        using Iterator hints = _store.IterateTimers();
        hints.Seek(_examined ?? _timerPrefix);
        if (_examined is not null && hints.Valid() && hints.GetKeySpan().SequenceEqual(_examined))
        {
            hints.Next();
        }

        int looked = 0;
        int slice = Instance.Place.SliceOf(_slices.Timers);
        _moreDue = false;
        _nextHint = long.MaxValue;
        for (; hints.Valid() && TimerKey.IsOf(hints.GetKeySpan(), _timerPrefix); hints.Next())
        {
            ReadOnlySpan<byte> hint = hints.GetKeySpan();
            long time = TimerKey.Time(hint, _timerPrefix.Length);
            if (time > now || looked++ == slice)
            {
                _nextHint = time;
                _moreDue = time <= now;
                break;
            }

            _examined = hint.ToArray();
            MarkDue(Find(TimerKey.Key(hint, _timerPrefix.Length)), time);
        }

        _store.Check(hints);
    }

    private void MarkDue(Cell cell, long time)
    {
        if (!cell.IsDue && cell.IsAlive && cell.NotifyAt == time)
        {
            cell.IsDue = true;
            _due.Add(cell);
        }
    }

    private void AskCalled()
    {
        if (_called.Count == 0)
        {
            return;
        }

        _called.Sort(Cell.ByKey);
        foreach (Cell cell in _called)
        {
            cell.IsCalled = false;
            if (cell.Logic is { } logic)
            {
                Ask(cell, logic);
            }
        }

        _called.Clear();
    }

    private void Ask(Cell cell, KeyLogic<TKey, TIn, TOut> logic)
    {
        Instance.CurrentStep = Step.Id;
        long time;
        try
        {
            time = logic.NotifyAt()?.UtcTicks ?? Envelope.Never;
        }
        catch (Exception error) when (Blames(error, "when asked (NotifyAt) for the next notification of", cell))
        {
            throw;
        }

        if (time != cell.NotifyAt)
        {
            cell.NotifyAt = time;
            if (time != Envelope.Never)
            {
                _fresh.Enqueue(cell, time);
            }
        }
    }

    /// <summary>Says for which key code of the user's fails, also that of steps behind this one; never catches.</summary>
    private bool Blames(Exception error, string call, Cell cell)
    {
        if (error is not (StreamException or BrokerException or TurnTooLongException or InstanceStoppedException))
        {
            Instance.FailedIn ??= $"{call} key '{cell.Key}'{(Instance.CurrentStep == Step.Id ? "" : $" of step '{Step.Id}'")}";
        }

        return false;
    }

    private void Touch(Cell cell, StateAction action)
    {
        if (!cell.IsDirty)
        {
            cell.IsDirty = true;
            _dirty.Add(cell);
            _dirtyBytes += cell.Bytes;
        }

        if (_kind.Timers && !cell.IsCalled)
        {
            cell.IsCalled = true;
            _called.Add(cell);
        }

        if (action == StateAction.Discard)
        {
            cell.Logic = null;
            cell.NotifyAt = Envelope.Never;
            cell.Timestamp = long.MinValue;
        }
    }

    private KeyLogic<TKey, TIn, TOut> Wake(Cell cell)
    {
        _last = cell;
        if (cell.Logic is not null)
        {
            return cell.Logic;
        }

        Instance.CurrentStep = Step.Id;
        KeyLogic<TKey, TIn, TOut> logic = _kind.Build();
        if (cell.Frozen is not null)
        {
            Envelope saved = Envelope.Read(cell.Frozen, Step.Id);
            try
            {
                logic.Load(saved.Payload, saved.StateIsNull, _stateContext);
            }
            catch (Exception error) when (error is not StreamException)
            {
                throw new StreamException(
                    ExitCode.State,
                    $"The saved state of key '{cell.Key}' in step '{Step.Id}' cannot be read: {error.Message} Give the step a serde that reads it, or run the version that wrote it.",
                    error);
            }

            cell.Frozen = null;
        }

        return cell.Logic = logic;
    }

    private Cell Find(TKey key)
    {
        _key.Clear();
        Instance.CurrentStep = Step.Id;
        _keySerde.Serialize(key, _key, _keyContext);
        if (_bySpan.TryGetValue(_key.Written, out Cell? cell))
        {
            cell.Referenced = true;
            return cell;
        }

        return Load(_key.Written.ToArray(), key);
    }

    private Cell Find(ReadOnlySpan<byte> key) =>
        _bySpan.TryGetValue(key, out Cell? cell) ? cell : Load(key.ToArray(), _keySerde.Deserialize(key, _keyContext));

    private Cell Load(byte[] keyBytes, TKey key)
    {
        _misses++;
        byte[]? saved = _store.Get(Step.Id, keyBytes);
        Cell cell = new(keyBytes, key) { Frozen = saved, InStore = saved is not null };
        if (saved is not null)
        {
            Envelope envelope = Envelope.Read(saved, Step.Id);
            cell.NotifyAt = envelope.NotifyAt;
            cell.Timestamp = envelope.Timestamp;
        }

        _cells.Add(keyBytes, cell);
        _ring.Add(cell);
        Weigh(cell, saved?.Length ?? 0);
        return cell;
    }

    private Span<byte> Seal(Cell cell)
    {
        Instance.CurrentStep = Step.Id;
        _envelope.Clear();
        Envelope.WriteHead(_envelope, cell.Timestamp, cell.NotifyAt, stateIsNull: false);
        bool hasState;
        try
        {
            hasState = cell.Logic!.Save(_envelope, _stateContext);
        }
        catch (Exception error) when (error is not StreamException)
        {
            throw new StreamException(
                ExitCode.UserCode,
                $"Step '{Step.Id}' failed to save the state of key '{cell.Key}' in shard {Instance.Place.Shard}: {error.GetType().Name}: {error.Message}. Nothing of it is committed; a restart resumes before it.",
                error);
        }

        if (!hasState)
        {
            _envelope.Clear();
            Envelope.WriteHead(_envelope, cell.Timestamp, cell.NotifyAt, stateIsNull: true);
        }

        return _envelope.Written;
    }

    private void Weigh(Cell cell, int envelope)
    {
        int bytes = CellOverhead + (2 * (cell.KeyBytes.Length + envelope));
        _bytes += bytes - cell.Bytes;
        cell.Bytes = bytes;
    }

    /// <summary>Second chance: the hand passes over the cells and drops clean ones that were not used since it last came by.</summary>
    private void Evict()
    {
        if (_limits.EvictAlways)
        {
            Freeze();
        }

        long bound = _limits.EvictAlways ? 0 : _limits.CacheBytes;
        for (int looked = 2 * _ring.Count; _bytes > bound && looked > 0 && _ring.Count > 0; looked--)
        {
            _hand = _hand < _ring.Count ? _hand : 0;
            Cell cell = _ring[_hand];
            if (cell.IsDirty || cell.IsCalled || cell.IsDue || cell.HasBatch)
            {
                _hand++;
            }
            else if (cell.Referenced)
            {
                cell.Referenced = false;
                _hand++;
            }
            else
            {
                _cells.Remove(cell.KeyBytes);
                _bytes -= cell.Bytes;
                _ring[_hand] = _ring[^1];
                _ring.RemoveAt(_ring.Count - 1);
            }
        }
    }

    private void Freeze()
    {
        foreach (Cell cell in _dirty)
        {
            if (cell.Logic is not null)
            {
                cell.Frozen = Seal(cell).ToArray();
                cell.Logic = null;
            }
        }
    }

    /// <summary>The next keys after a cursor that are alive in the store or in the cache, in ascending order.</summary>
    private List<byte[]> NextLiveKeys(byte[]? after, int atMost)
    {
        List<byte[]> keys = [];
        byte[][] unsaved = [.. _dirty.Where(cell => cell.IsAlive && !cell.InStore && (after is null || Cell.Compare(cell.KeyBytes, after) > 0)).Select(cell => cell.KeyBytes).Order(Cell.KeyOrder)];
        int next = 0;
        using Iterator saved = _store.Iterate(Step.Id);
        if (after is null)
        {
            saved.SeekToFirst();
        }
        else
        {
            saved.Seek(after);
            if (saved.Valid() && saved.GetKeySpan().SequenceEqual(after))
            {
                saved.Next();
            }
        }

        while (keys.Count < atMost && (next < unsaved.Length || saved.Valid()))
        {
            if (saved.Valid() && (next == unsaved.Length || saved.GetKeySpan().SequenceCompareTo(unsaved[next]) < 0))
            {
                keys.Add(saved.Key());
                saved.Next();
            }
            else
            {
                keys.Add(unsaved[next++]);
            }
        }

        _store.Check(saved);
        return keys;
    }

    private long TimestampOf(Cell cell) => cell.Timestamp != long.MinValue ? cell.Timestamp : Math.Max(0, Instance.Watermark);

    /// <summary>A key in the cache. Alive: it has a live logic, or a frozen one as its envelope.</summary>
    private sealed class Cell(byte[] keyBytes, TKey key)
    {
        public static readonly Comparison<Cell> ByKey = static (x, y) => Compare(x.KeyBytes, y.KeyBytes);
        public static readonly Comparer<byte[]> KeyOrder = Comparer<byte[]>.Create(Compare);

        private List<TIn>? _batch;

        public readonly byte[] KeyBytes = keyBytes;
        public readonly TKey Key = key;
        public KeyLogic<TKey, TIn, TOut>? Logic;
        public byte[]? Frozen;
        public long NotifyAt = Envelope.Never;
        public long Timestamp = long.MinValue;
        public long BatchTimestamp;
        public int Bytes;
        public bool InStore;
        public bool IsDirty;
        public bool IsCalled;
        public bool IsDue;
        public bool Referenced;

        public bool IsAlive => Logic is not null || Frozen is not null;

        public bool HasBatch => _batch is { Count: > 0 };

        public List<TIn> Batch => _batch ??= [];

        public static int Compare(byte[] x, byte[] y) => x.AsSpan().SequenceCompareTo(y);
    }

    private sealed class ItemPort(KeyedNode<TKey, TIn, TOut> node) : Port<Keyed<TKey, TIn>>
    {
        public override void Push(Keyed<TKey, TIn> item, in Stamp stamp) => node.OnItem(item, stamp);
    }

    private sealed class GatherPort(KeyedNode<TKey, TIn, TOut> node) : Port<Keyed<TKey, TIn>>
    {
        public override void Push(Keyed<TKey, TIn> item, in Stamp stamp) => node.Gather(item, stamp);
    }
}
