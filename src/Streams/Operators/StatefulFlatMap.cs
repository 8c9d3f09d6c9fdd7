namespace KStreamSharp;

/// <summary>Puts out values with the help of the key's state, which it may change.</summary>
/// <typeparam name="TState">The type of the state, null included.</typeparam>
/// <typeparam name="TValue">The type of the value in.</typeparam>
/// <typeparam name="TOut">The type of the values out.</typeparam>
/// <param name="state">The state: null for a new key; set it to null to forget the key.</param>
/// <param name="value">The value.</param>
/// <param name="emit">Puts out a value; only to be called before the mapper returns.</param>
public delegate void StateEmitter<TState, in TValue, out TOut>(ref TState state, TValue value, Action<TOut> emit);

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>
    /// Any number of values out for each value in, with a state per key that the mapper may change; null forgets the key. The
    /// sequence may be lazy: it is read to its end before the state is looked at. Headers end here.
    /// </summary>
    /// <typeparam name="TState">The type of the state.</typeparam>
    /// <typeparam name="TOut">The type of the values out.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="mapper">Changes the state and makes the values.</param>
    /// <param name="state">The serde of the state; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="FlowException">The id cannot be used, the values would be tasks, or the serde cannot give the state back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, string&gt; records = temps.StatefulFlatMap("records", (ref int? best, int celsius) =&gt;
    /// {
    ///     bool isRecord = best is null || celsius &gt; best;
    ///     best = Math.Max(best ?? celsius, celsius);
    ///     return isRecord ? [$"new record: {celsius}"] : Array.Empty&lt;string&gt;();
    /// });
    /// </code>
    /// </example>
    public KeyedStream<TKey, TOut> StatefulFlatMap<TState, TOut>(string id, StateMapper<TState?, TValue, IEnumerable<TOut>> mapper, Serde<TState>? state = null)
        where TState : class
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return StatefulFlatMap<TState?, TOut>(id, mapper, typeof(TState), Dataflow.CheckedState(id, state)!);
    }

    /// <inheritdoc cref="StatefulFlatMap{TState, TOut}(string, StateMapper{TState, TValue, IEnumerable{TOut}}, Serde{TState})"/>
    public KeyedStream<TKey, TOut> StatefulFlatMap<TState, TOut>(string id, StateMapper<TState?, TValue, IEnumerable<TOut>> mapper, Serde<TState>? state = null)
        where TState : struct
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return StatefulFlatMap(id, mapper, typeof(TState), new NullableSerde<TState>(Dataflow.CheckedState(id, state)));
    }

    /// <summary>As the other form, for a mapper that puts out its values one by one: the type of the emitter is that of the values.</summary>
    /// <typeparam name="TState">The type of the state.</typeparam>
    /// <typeparam name="TOut">The type of the values out.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="mapper">Changes the state and puts out the values.</param>
    /// <param name="state">The serde of the state; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="FlowException">The id cannot be used, the values would be tasks, or the serde cannot give the state back.</exception>
    public KeyedStream<TKey, TOut> StatefulFlatMap<TState, TOut>(string id, StateEmitter<TState?, TValue, TOut> mapper, Serde<TState>? state = null)
        where TState : class
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return StatefulFlatMap<TState?, TOut>(id, mapper, typeof(TState), Dataflow.CheckedState(id, state)!);
    }

    /// <inheritdoc cref="StatefulFlatMap{TState, TOut}(string, StateEmitter{TState, TValue, TOut}, Serde{TState})"/>
    public KeyedStream<TKey, TOut> StatefulFlatMap<TState, TOut>(string id, StateEmitter<TState?, TValue, TOut> mapper, Serde<TState>? state = null)
        where TState : struct
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return StatefulFlatMap(id, mapper, typeof(TState), new NullableSerde<TState>(Dataflow.CheckedState(id, state)));
    }

    private KeyedStream<TKey, TOut> StatefulFlatMap<TSlot, TOut>(string id, StateEmitter<TSlot, TValue, TOut> mapper, Type state, Serde<TSlot> serde) =>
        AddStateful<TOut>(id, "stateful_flat_map", state, StateForm.By(serde), new(() => new StatefulEmitLogic<TKey, TValue, TOut, TSlot>(mapper, serde)));

    private KeyedStream<TKey, TOut> StatefulFlatMap<TSlot, TOut>(string id, StateMapper<TSlot, TValue, IEnumerable<TOut>> mapper, Type state, Serde<TSlot> serde) =>
        AddStateful<TOut>(id, "stateful_flat_map", state, StateForm.By(serde), new(() => new StatefulFlatMapLogic<TKey, TValue, TOut, TSlot>(mapper, serde)));
}

internal sealed class StatefulFlatMapLogic<TKey, TIn, TOut, TSlot>(StateMapper<TSlot, TIn, IEnumerable<TOut>> mapper, Serde<TSlot> serde)
    : SlotLogic<TKey, TIn, TOut, TSlot>(serde)
{
    public override StateAction OnItem(TIn value, StatefulContext<TKey, TOut> context)
    {
        context.Owner = StateCopy<TSlot, TOut>.IsPossible ? this : null;
        foreach (TOut made in mapper(ref Slot, value))
        {
            context.Emit(made);
        }

        return Action;
    }
}

internal sealed class StatefulEmitLogic<TKey, TIn, TOut, TSlot> : SlotLogic<TKey, TIn, TOut, TSlot>
{
    private readonly StateEmitter<TSlot, TIn, TOut> _mapper;
    private readonly Action<TOut> _emit;

    /// <summary>The context of the call under way; null between calls.</summary>
    private StatefulContext<TKey, TOut>? _context;

    public StatefulEmitLogic(StateEmitter<TSlot, TIn, TOut> mapper, Serde<TSlot> serde)
        : base(serde)
    {
        _mapper = mapper;
        _emit = value => (_context ?? throw new InvalidOperationException("The emitter of a StatefulFlatMap was called after the mapper had returned.")).Emit(value);
    }

    public override StateAction OnItem(TIn value, StatefulContext<TKey, TOut> context)
    {
        context.Owner = StateCopy<TSlot, TOut>.IsPossible ? this : null;
        _context = context;
        _mapper(ref Slot, value, _emit);
        _context = null;
        return Action;
    }
}
