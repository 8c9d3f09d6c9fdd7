using System.Buffers;

namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>
    /// Folds the values of each key, in the order of their arrival, and emits the result at the end of a finite run; the next
    /// run starts anew. Without an end nothing is emitted. A null accumulator counts as none: the next value starts anew.
    /// </summary>
    /// <typeparam name="TState">The type of the accumulator.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="start">Makes the accumulator of a new key.</param>
    /// <param name="folder">Makes the next accumulator of the last one and a value; it may change the last one in place.</param>
    /// <param name="state">The serde of the accumulator; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="FlowException">The id cannot be used, the accumulator is a task, or the serde cannot give it back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, double&gt; mean = temps
    ///     .FoldFinal("mean", () =&gt; (Sum: 0, Count: 0), (all, celsius) =&gt; (all.Sum + celsius, all.Count + 1))
    ///     .MapValue("divide", all =&gt; (double)all.Sum / all.Count);
    /// </code>
    /// </example>
    public KeyedStream<TKey, TState> FoldFinal<TState>(string id, Func<TState> start, Func<TState, TValue, TState> folder, Serde<TState>? state = null)
    {
        ArgumentNullException.ThrowIfNull(start);
        ArgumentNullException.ThrowIfNull(folder);
        return Fold(id, "fold_final", start, folder, state);
    }

    internal KeyedStream<TKey, TState> Fold<TState>(string id, string name, Func<TState> start, Func<TState, TValue, TState> folder, Serde<TState>? state)
    {
        Serde<TState> serde = Dataflow.CheckedState(id, state);
        return AddStateful<TState>(id, name, typeof(TState), StateForm.By(serde), new(() => new FoldLogic<TKey, TValue, TState>(start, folder, serde)) { Eof = true });
    }
}

internal sealed class FoldLogic<TKey, TIn, TState>(Func<TState> start, Func<TState, TIn, TState> folder, Serde<TState> serde) : KeyLogic<TKey, TIn, TState>
{
    private TState _accumulator = default!;
    private bool _started;

    public override StateAction OnItem(TIn value, StatefulContext<TKey, TState> context)
    {
        _accumulator = folder(_started ? _accumulator : start(), value);
        _started = _accumulator is not null;
        return StateAction.Retain;
    }

    public override StateAction OnEof(StatefulContext<TKey, TState> context)
    {
        context.Emit(_started ? _accumulator : start());
        return StateAction.Discard;
    }

    public override void Load(ReadOnlySpan<byte> payload, bool isNull, in SerdeContext context)
    {
        _started = !isNull;
        _accumulator = isNull ? default! : serde.Deserialize(payload, context);
    }

    public override bool Save(IBufferWriter<byte> output, in SerdeContext context)
    {
        if (_accumulator is null)
        {
            return false;
        }

        serde.Serialize(_accumulator, output, context);
        return true;
    }
}
