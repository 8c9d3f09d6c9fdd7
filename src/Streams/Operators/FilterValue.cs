namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>Keeps the values for which the predicate is true; the key stays.</summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="predicate">True to keep.</param>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, int&gt; frost = temps.FilterValue("frost", celsius =&gt; celsius &lt; 0);
    /// </code>
    /// </example>
    public KeyedStream<TKey, TValue> FilterValue(string id, Func<TValue, bool> predicate)
    {
        ArgumentNullException.ThrowIfNull(predicate);
        return AddValue(
            id, "filter_value", (instance, step, next) => new FilterPort<Keyed<TKey, TValue>>(instance, step.Id, item => predicate(item.Value), next), _valueSerde);
    }
}
