namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>Each element of the returned sequence out on its own; the sequence may be lazy or empty. Headers end here.</summary>
    /// <typeparam name="TOut">The type of the items out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="mapper">Makes the sequence.</param>
    /// <exception cref="FlowException">The id cannot be used, or the items would be tasks.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;string&gt; words = lines.FlatMap("words", line =&gt; line.Split(' '));
    /// </code>
    /// </example>
    public Stream<TOut> FlatMap<TOut>(string id, Func<T, IEnumerable<TOut>> mapper)
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return Add<TOut>(id, "flat_map", (instance, step, next) => new FlatMapPort<T, TOut>(instance, step.Id, mapper, next));
    }
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>Each element of the sequence made of key and value out on its own, without a key (see <see cref="FlatMapValue{TOut}(string, Func{TValue, IEnumerable{TOut}})"/>).</summary>
    /// <typeparam name="TOut">The type of the items out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="mapper">Makes the sequence of key and value.</param>
    /// <exception cref="FlowException">The id cannot be used, or the items would be tasks.</exception>
    public Stream<TOut> FlatMap<TOut>(string id, Func<TKey, TValue, IEnumerable<TOut>> mapper)
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return Add<TOut>(id, "flat_map", (instance, step, next) =>
            new FlatMapPort<Keyed<TKey, TValue>, TOut>(instance, step.Id, item => mapper(item.Key, item.Value), next));
    }
}

internal sealed class FlatMapPort<T, TOut>(FlowInstance instance, string id, Func<T, IEnumerable<TOut>> mapper, Port<TOut> next) : Port<T>
{
    public override void Push(T item, in Stamp stamp)
    {
        Stamp plain = stamp.WithoutHeaders();
        instance.CurrentStep = id;
        foreach (TOut element in mapper(item))
        {
            next.Push(element, plain);
            instance.CurrentStep = id;
        }
    }
}
