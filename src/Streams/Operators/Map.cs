namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>One item out for each item in, null included.</summary>
    /// <typeparam name="TOut">The type of the items out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="mapper">Makes the item.</param>
    /// <exception cref="FlowException">The id cannot be used, or the mapper returns tasks.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;int&gt; lengths = lines.Map("length", line =&gt; line.Length);
    /// </code>
    /// </example>
    public Stream<TOut> Map<TOut>(string id, Func<T, TOut> mapper)
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return Add<TOut>(id, "map", (instance, step, next) => new MapPort<T, TOut>(instance, step.Id, mapper, next));
    }
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>One item out for each key and value in; the stream has no key afterwards (see <see cref="MapValue{TOut}(string, Func{TValue, TOut})"/>).</summary>
    /// <typeparam name="TOut">The type of the items out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="mapper">Makes the item of key and value.</param>
    /// <exception cref="FlowException">The id cannot be used, or the mapper returns tasks.</exception>
    public Stream<TOut> Map<TOut>(string id, Func<TKey, TValue, TOut> mapper)
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return Add<TOut>(id, "map", (instance, step, next) =>
            new MapPort<Keyed<TKey, TValue>, TOut>(instance, step.Id, item => mapper(item.Key, item.Value), next));
    }
}

internal sealed class MapPort<T, TOut>(FlowInstance instance, string id, Func<T, TOut> mapper, Port<TOut> next) : Port<T>
{
    public override void Push(T item, in Stamp stamp)
    {
        instance.CurrentStep = id;
        next.Push(mapper(item), stamp);
    }
}
