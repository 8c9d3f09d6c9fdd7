namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>Each element of the returned sequence out under the same key; the sequence may be lazy or empty. Headers end here.</summary>
    /// <typeparam name="TOut">The type of the values out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="mapper">Makes the sequence.</param>
    /// <exception cref="FlowException">The id cannot be used, or the values would be tasks.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, string&gt; words = names.FlatMapValue("words", name =&gt; name.Split(' '));
    /// </code>
    /// </example>
    public KeyedStream<TKey, TOut> FlatMapValue<TOut>(string id, Func<TValue, IEnumerable<TOut>> mapper)
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return AddValue<TOut>(id, "flat_map_value", (instance, step, next) => new FlatMapValuePort<TKey, TValue, TOut>(instance, step.Id, mapper, next));
    }
}

internal sealed class FlatMapValuePort<TKey, TValue, TOut>(FlowInstance instance, string id, Func<TValue, IEnumerable<TOut>> mapper, Port<Keyed<TKey, TOut>> next)
    : Port<Keyed<TKey, TValue>>
{
    public override void Push(Keyed<TKey, TValue> item, in Stamp stamp)
    {
        Stamp plain = stamp.WithoutHeaders();
        instance.CurrentStep = id;
        foreach (TOut element in mapper(item.Value))
        {
            next.Push(new(item.Key, element), plain);
            instance.CurrentStep = id;
        }
    }
}
