using System.Buffers;

namespace KStreamSharp;

/// <summary>Maps a value with the help of the key's state, which it may change.</summary>
/// <typeparam name="TState">The type of the state, null included.</typeparam>
/// <typeparam name="TValue">The type of the value in.</typeparam>
/// <typeparam name="TOut">The type of the result.</typeparam>
/// <param name="state">The state: null for a new key; set it to null to forget the key.</param>
/// <param name="value">The value.</param>
public delegate TOut StateMapper<TState, in TValue, out TOut>(ref TState state, TValue value);

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>One value out for each value in, with a state per key that the mapper may change; null forgets the key.</summary>
    /// <typeparam name="TState">The type of the state.</typeparam>
    /// <typeparam name="TOut">The type of the values out.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="mapper">Changes the state and makes the value.</param>
    /// <param name="state">The serde of the state; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="FlowException">The id cannot be used, the mapper returns tasks, or the serde cannot give the state back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, int&gt; change = temps.StatefulMap("change", (ref int? last, int celsius) =&gt;
    /// {
    ///     int difference = celsius - (last ?? celsius);
    ///     last = celsius; // null would forget the key
    ///     return difference;
    /// });
    /// </code>
    /// </example>
    public KeyedStream<TKey, TOut> StatefulMap<TState, TOut>(string id, StateMapper<TState?, TValue, TOut> mapper, Serde<TState>? state = null)
        where TState : class
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return StatefulMap<TState?, TOut>(id, mapper, typeof(TState), Dataflow.CheckedState(id, state)!);
    }

    /// <inheritdoc cref="StatefulMap{TState, TOut}(string, StateMapper{TState, TValue, TOut}, Serde{TState})"/>
    public KeyedStream<TKey, TOut> StatefulMap<TState, TOut>(string id, StateMapper<TState?, TValue, TOut> mapper, Serde<TState>? state = null)
        where TState : struct
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return StatefulMap(id, mapper, typeof(TState), new NullableSerde<TState>(Dataflow.CheckedState(id, state)));
    }

    private KeyedStream<TKey, TOut> StatefulMap<TSlot, TOut>(string id, StateMapper<TSlot, TValue, TOut> mapper, Type state, Serde<TSlot> serde) =>
        AddStateful<TOut>(id, "stateful_map", state, StateForm.By(serde), new(() => new StatefulMapLogic<TKey, TValue, TOut, TSlot>(mapper, serde)));
}

/// <summary>A logic whose state is one value that can be null: a reference, or a nullable.</summary>
internal abstract class SlotLogic<TKey, TIn, TOut, TSlot>(Serde<TSlot> serde) : KeyLogic<TKey, TIn, TOut>, IStateOwner<TOut>
{
    protected TSlot Slot = default!;

    protected StateAction Action => Slot is null ? StateAction.Discard : StateAction.Retain;

    public TOut Apart(TOut value, in SerdeContext context) => StateCopy.Apart(value, Slot, serde, context);

    public override void Load(ReadOnlySpan<byte> payload, bool isNull, in SerdeContext context) =>
        Slot = isNull ? default! : serde.Deserialize(payload, context);

    public override bool Save(IBufferWriter<byte> output, in SerdeContext context)
    {
        if (Slot is null)
        {
            return false;
        }

        serde.Serialize(Slot, output, context);
        return true;
    }
}

internal sealed class StatefulMapLogic<TKey, TIn, TOut, TSlot>(StateMapper<TSlot, TIn, TOut> mapper, Serde<TSlot> serde) : SlotLogic<TKey, TIn, TOut, TSlot>(serde)
{
    public override StateAction OnItem(TIn value, StatefulContext<TKey, TOut> context)
    {
        TOut made = mapper(ref Slot, value);
        context.Owner = StateCopy<TSlot, TOut>.IsPossible ? this : null;
        context.Emit(made, context.Headers);
        return Action;
    }
}
