using System.Buffers;

namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>A logic object of your own per key, called for each value.</summary>
    /// <typeparam name="TOut">The type of the values out.</typeparam>
    /// <typeparam name="TState">The type of the saved state.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="logic">Makes the logic of a key that has none in memory.</param>
    /// <param name="state">The serde of the state; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="FlowException">The id cannot be used, the values out would be tasks, or the serde cannot give the state back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, string&gt; silent = temps.Stateful("silent", () =&gt; new Silence());
    ///
    /// private sealed class Silence : StatefulLogic&lt;string, int, string, DateTimeOffset&gt;
    /// {
    ///     private DateTimeOffset _last;
    ///
    ///     public override void Resume(DateTimeOffset state) =&gt; _last = state;
    ///
    ///     public override DateTimeOffset Snapshot() =&gt; _last;
    ///
    ///     public override DateTimeOffset? NotifyAt() =&gt; _last.AddHours(1);
    ///
    ///     public override StateAction OnItem(int value, StatefulContext&lt;string, string&gt; context)
    ///     {
    ///         _last = context.Now;
    ///         return StateAction.Retain;
    ///     }
    ///
    ///     public override StateAction OnNotify(StatefulContext&lt;string, string&gt; context)
    ///     {
    ///         context.Emit($"silent since {_last:HH:mm}");
    ///         return StateAction.Discard;
    ///     }
    /// }
    /// </code>
    /// </example>
    public KeyedStream<TKey, TOut> Stateful<TOut, TState>(
        string id, Func<StatefulLogic<TKey, TValue, TOut, TState>> logic, Serde<TState>? state = null)
    {
        ArgumentNullException.ThrowIfNull(logic);
        Serde<TState> serde = Dataflow.CheckedState(id, state);
        return AddStateful<TOut>(id, "stateful", typeof(TState), StateForm.By(serde), new(() => new ItemLogic<TKey, TValue, TOut, TState>(logic(), serde)) { Timers = true, Eof = true });
    }

    internal KeyedStream<TKey, TOut> AddStateful<TOut>(string id, string name, Type state, StateAsJson shown, StatefulKind<TKey, TValue, TOut> kind)
    {
        Dataflow.RefuseTasks(id, typeof(TOut));
        Flow.CheckNew(id);
        KeyedStream<TKey, TValue> upstream = Partitioned(id);
        Serde<TKey> keySerde = Dataflow.CheckedTravel(id, "keys", KeySerde);
        return new(
            Flow.Add<Keyed<TKey, TValue>, Keyed<TKey, TOut>>(
                id,
                name,
                upstream.Outlet,
                (instance, step, next) => instance.AddNode(new KeyedNode<TKey, TValue, TOut>(instance, step, kind, keySerde, next)).Port,
                TypeName.Of(state),
                new StateForm<TKey>(keySerde, shown)),
            keySerde,
            valueSerde: null,
            keyChangedBy: null);
    }
}

/// <summary>A user's logic in the engine's form.</summary>
internal sealed class ItemLogic<TKey, TIn, TOut, TState>(StatefulLogic<TKey, TIn, TOut, TState> logic, Serde<TState> serde) : UserLogic<TKey, TIn, TOut, TState>(logic, serde)
{
    public override StateAction OnItem(TIn value, StatefulContext<TKey, TOut> context) => logic.OnItem(value, Own(context));
}

internal abstract class UserLogic<TKey, TIn, TOut, TState>(StatefulLogicBase<TKey, TOut, TState> logic, Serde<TState> serde) : KeyLogic<TKey, TIn, TOut>, IStateOwner<TOut>
{
    public override StateAction OnNotify(StatefulContext<TKey, TOut> context) => logic.OnNotify(Own(context));

    public override StateAction OnEof(StatefulContext<TKey, TOut> context) => logic.OnEof(Own(context));

    public TOut Apart(TOut value, in SerdeContext context)
    {
        if (value is not TState || !StateCopy.CanChange(value.GetType()))
        {
            return value;
        }

        TState state;
        try
        {
            state = logic.Snapshot();
        }
        catch (Exception error) when (error is not StreamException)
        {
            // In the midst of a call there may be no state yet; the commit asks again, and tells.
            return value;
        }

        return StateCopy.Apart(value, state, serde, context);
    }

    public override DateTimeOffset? NotifyAt() => logic.NotifyAt();

    public override void Load(ReadOnlySpan<byte> payload, bool isNull, in SerdeContext context) =>
        logic.Resume(isNull ? default! : serde.Deserialize(payload, context));

    public override bool Save(IBufferWriter<byte> output, in SerdeContext context)
    {
        TState state = logic.Snapshot();
        if (state is null)
        {
            return false;
        }

        serde.Serialize(state, output, context);
        return true;
    }

    protected StatefulContext<TKey, TOut> Own(StatefulContext<TKey, TOut> context)
    {
        context.Owner = StateCopy<TState, TOut>.IsPossible ? this : null;
        return context;
    }
}
