namespace KStreamSharp;

/// <summary>What becomes of a key's logic after a call.</summary>
public enum StateAction
{
    /// <summary>Keep it: its state is saved with the next commit.</summary>
    Retain,

    /// <summary>Drop it with its state and its notification: the next value of the key meets a new logic.</summary>
    Discard,
}

/// <summary>
/// The logic of one key in a <c>Stateful</c> step: called per value. One object per live key, used by one thread at a time;
/// it may be dropped from memory between turns and comes back by <see cref="StatefulLogicBase{TKey, TOut, TState}.Resume"/>.
/// </summary>
/// <typeparam name="TKey">The type of the keys.</typeparam>
/// <typeparam name="TValue">The type of the values in.</typeparam>
/// <typeparam name="TOut">The type of the values out.</typeparam>
/// <typeparam name="TState">The type of the saved state.</typeparam>
public abstract class StatefulLogic<TKey, TValue, TOut, TState> : StatefulLogicBase<TKey, TOut, TState>
{
    /// <summary>A value of the key has come.</summary>
    /// <param name="value">The value.</param>
    /// <param name="context">Key, timestamp and headers of the record, the time of the turn, and where to emit.</param>
    public abstract StateAction OnItem(TValue value, StatefulContext<TKey, TOut> context);
}

/// <summary>
/// The logic of one key in a <c>StatefulBatch</c> step: called once per turn with all values of the key in it. Where one
/// batch ends and the next begins is no part of the contract.
/// </summary>
/// <typeparam name="TKey">The type of the keys.</typeparam>
/// <typeparam name="TValue">The type of the values in.</typeparam>
/// <typeparam name="TOut">The type of the values out.</typeparam>
/// <typeparam name="TState">The type of the saved state.</typeparam>
public abstract class StatefulBatchLogic<TKey, TValue, TOut, TState> : StatefulLogicBase<TKey, TOut, TState>
{
    /// <summary>Values of the key have come.</summary>
    /// <param name="values">The values in order, at least one; valid during the call only.</param>
    /// <param name="context">Key, largest timestamp of the values, the time of the turn, and where to emit.</param>
    public abstract StateAction OnBatch(IReadOnlyList<TValue> values, StatefulContext<TKey, TOut> context);
}

/// <summary>What <see cref="StatefulLogic{TKey, TValue, TOut, TState}"/> and <see cref="StatefulBatchLogic{TKey, TValue, TOut, TState}"/> share.</summary>
/// <typeparam name="TKey">The type of the keys.</typeparam>
/// <typeparam name="TOut">The type of the values out.</typeparam>
/// <typeparam name="TState">The type of the saved state.</typeparam>
public abstract class StatefulLogicBase<TKey, TOut, TState>
{
    private protected StatefulLogicBase()
    {
    }

    /// <summary>A saved state of the key comes back. Not called for a new key.</summary>
    /// <param name="state">What <see cref="Snapshot"/> answered last.</param>
    public virtual void Resume(TState state)
    {
    }

    /// <summary>The time that <see cref="NotifyAt"/> asked for has come. The time is forgotten before the call. Retains by default.</summary>
    /// <param name="context">Its timestamp is the time asked for.</param>
    public virtual StateAction OnNotify(StatefulContext<TKey, TOut> context) => StateAction.Retain;

    /// <summary>
    /// The input of a finite run has ended; called for every live key, also those without values in this run. A state that
    /// is retained is the resume state of the next run. Retains by default.
    /// </summary>
    /// <param name="context">Its timestamp is the largest that the key has seen.</param>
    public virtual StateAction OnEof(StatefulContext<TKey, TOut> context) => StateAction.Retain;

    /// <summary>
    /// When to call <see cref="OnNotify"/>; asked after the other calls of a turn. Replaces the time asked for before; null
    /// (the default) cancels it. A time in the past means the next turn.
    /// </summary>
    public virtual DateTimeOffset? NotifyAt() => null;

    /// <summary>
    /// The state to save; asked at a commit, when the key was called since the last one. It is serialized at once. Asked also when
    /// a value is emitted that may be the state itself: an object of its type that can be changed.
    /// </summary>
    public abstract TState Snapshot();
}

/// <summary>What a stateful logic learns of its call, and where it emits. Valid during the call only.</summary>
/// <typeparam name="TKey">The type of the keys.</typeparam>
/// <typeparam name="TOut">The type of the values out.</typeparam>
public sealed class StatefulContext<TKey, TOut>
{
    private readonly FlowInstance _instance;
    private readonly Port<Keyed<TKey, TOut>> _next;
    private readonly string _step;
    private readonly SerdeContext _stateContext;
    private Stamp _out;
    private long _largest;

    internal StatefulContext(FlowInstance instance, string step, Port<Keyed<TKey, TOut>> next)
    {
        _instance = instance;
        _step = step;
        _next = next;
        _stateContext = new(instance.Place.ChangelogTopic, RecordPart.State);
        Headers = Headers.Empty;
        Key = default!;
    }

    /// <summary>The key.</summary>
    public TKey Key { get; private set; }

    /// <summary>The timestamp of the call, in whole milliseconds: of the record, or the time of the notification. Values are emitted with it.</summary>
    public DateTimeOffset Timestamp => DateTimeOffset.FromUnixTimeMilliseconds(_out.Timestamp);

    /// <summary>The headers of the record; empty where a call has no single record.</summary>
    public Headers Headers { get; private set; }

    /// <summary>The time of this turn; the same for all calls in it.</summary>
    public DateTimeOffset Now => _instance.Now;

    /// <summary>The logic that is called, where it may put out its state; null where it cannot.</summary>
    internal IStateOwner<TOut>? Owner { get; set; }

    /// <summary>Emits a value under the key, without headers. Do not change it afterwards; of the state itself a copy is emitted.</summary>
    /// <param name="value">The value.</param>
    public void Emit(TOut value) => Emit(value, Headers.Empty);

    /// <summary>Emits a value under the key, with headers. Do not change it afterwards; of the state itself a copy is emitted.</summary>
    /// <param name="value">The value.</param>
    /// <param name="headers">The headers.</param>
    public void Emit(TOut value, Headers headers)
    {
        ArgumentNullException.ThrowIfNull(headers);
        TOut apart = Owner is { } owner ? owner.Apart(value, _stateContext) : value;
        _next.Push(new(Key, apart), new(_out.Timestamp, headers));
        _instance.CurrentStep = _step;
    }

    /// <summary>Emits with the largest timestamp that the key has seen, for items made from several records.</summary>
    internal void EmitOfSeveral(TOut value)
    {
        _next.Push(new(Key, value), new(_largest, Headers.Empty));
        _instance.CurrentStep = _step;
    }

    internal void Enter(TKey key, in Stamp stamp, long largest)
    {
        _largest = largest;
        Key = key;
        Headers = stamp.Headers;
        _out = stamp;
        _instance.CurrentStep = _step;
    }
}
