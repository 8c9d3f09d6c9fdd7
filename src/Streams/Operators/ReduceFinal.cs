using System.Buffers;

namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>
    /// Reduces the values of each key to one, in the order of their arrival, and emits it at the end of a finite run; the next
    /// run starts anew. The reducer is not called for a single value.
    /// </summary>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="reducer">Makes one value of the result so far and the next value. Let it be associative.</param>
    /// <param name="state">The serde of the values; null for the stream's own.</param>
    /// <exception cref="FlowException">The id cannot be used, or the serde cannot give the values back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, string&gt; longest = names.ReduceFinal("longest", (best, name) =&gt; name.Length &gt; best.Length ? name : best);
    /// </code>
    /// </example>
    public KeyedStream<TKey, TValue> ReduceFinal(string id, Func<TValue, TValue, TValue> reducer, Serde<TValue>? state = null)
    {
        ArgumentNullException.ThrowIfNull(reducer);
        return Reduce(id, "reduce_final", reducer, state);
    }

    internal KeyedStream<TKey, TValue> Reduce(string id, string name, Func<TValue, TValue, TValue> reducer, Serde<TValue>? state)
    {
        Serde<TValue> serde = Dataflow.CheckedState(id, state ?? ValueSerde);
        return AddStateful<TValue>(id, name, typeof(TValue), StateForm.By(serde), new(() => new ReduceLogic<TKey, TValue>(reducer, serde)) { Eof = true });
    }
}

internal sealed class ReduceLogic<TKey, TValue>(Func<TValue, TValue, TValue> reducer, Serde<TValue> serde) : KeyLogic<TKey, TValue, TValue>
{
    private TValue _result = default!;
    private bool _started;

    public override StateAction OnItem(TValue value, StatefulContext<TKey, TValue> context)
    {
        _result = _started ? reducer(_result, value) : value;
        _started = true;
        return StateAction.Retain;
    }

    public override StateAction OnEof(StatefulContext<TKey, TValue> context)
    {
        context.Emit(_result);
        return StateAction.Discard;
    }

    public override void Load(ReadOnlySpan<byte> payload, bool isNull, in SerdeContext context)
    {
        _started = true;
        _result = isNull ? default! : serde.Deserialize(payload, context);
    }

    public override bool Save(IBufferWriter<byte> output, in SerdeContext context)
    {
        if (_result is null)
        {
            return false;
        }

        serde.Serialize(_result, output, context);
        return true;
    }
}
