namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>Keeps the items for which the predicate is true.</summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="predicate">True to keep.</param>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;string&gt; comments = lines.Filter("comments", line =&gt; line.StartsWith('#'));
    /// </code>
    /// </example>
    public Stream<T> Filter(string id, Func<T, bool> predicate)
    {
        ArgumentNullException.ThrowIfNull(predicate);
        return Add<T>(id, "filter", (instance, step, next) => new FilterPort<T>(instance, step.Id, predicate, next));
    }
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>Keeps the keys and values for which the predicate is true.</summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="predicate">True to keep.</param>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    public KeyedStream<TKey, TValue> Filter(string id, Func<TKey, TValue, bool> predicate)
    {
        ArgumentNullException.ThrowIfNull(predicate);
        return AddValue(
            id, "filter", (instance, step, next) => new FilterPort<Keyed<TKey, TValue>>(instance, step.Id, item => predicate(item.Key, item.Value), next), _valueSerde);
    }
}

internal sealed class FilterPort<T>(FlowInstance instance, string id, Func<T, bool> predicate, Port<T> next) : Port<T>
{
    public override void Push(T item, in Stamp stamp)
    {
        instance.CurrentStep = id;
        if (predicate(item))
        {
            next.Push(item, stamp);
        }
    }
}
