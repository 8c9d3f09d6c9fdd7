namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>One value out for each value in; the key stays.</summary>
    /// <typeparam name="TOut">The type of the values out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="mapper">Makes the value.</param>
    /// <exception cref="FlowException">The id cannot be used, or the mapper returns tasks.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, double&gt; fahrenheit = temps.MapValue("fahrenheit", celsius =&gt; (celsius * 1.8) + 32);
    /// </code>
    /// </example>
    public KeyedStream<TKey, TOut> MapValue<TOut>(string id, Func<TValue, TOut> mapper)
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return AddValue<TOut>(id, "map_value", (instance, step, next) => new MapValuePort<TKey, TValue, TOut>(instance, step.Id, mapper, next));
    }
}

internal sealed class MapValuePort<TKey, TValue, TOut>(FlowInstance instance, string id, Func<TValue, TOut> mapper, Port<Keyed<TKey, TOut>> next)
    : Port<Keyed<TKey, TValue>>
{
    public override void Push(Keyed<TKey, TValue> item, in Stamp stamp)
    {
        instance.CurrentStep = id;
        next.Push(new(item.Key, mapper(item.Value)), stamp);
    }
}
