namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>One value out for each value in, but for nulls, which are dropped; the key stays.</summary>
    /// <typeparam name="TOut">The type of the values out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="mapper">Makes the value, or null to drop it.</param>
    /// <exception cref="FlowException">The id cannot be used, or the mapper returns tasks.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, string&gt; initials = names.FilterMapValue("initial", name =&gt; name.Length == 0 ? null : name[..1]);
    /// </code>
    /// </example>
    public KeyedStream<TKey, TOut> FilterMapValue<TOut>(string id, Func<TValue, TOut?> mapper)
        where TOut : class
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return AddValue<TOut>(id, "filter_map_value", (instance, step, next) => new FilterMapPort<Keyed<TKey, TValue>, Keyed<TKey, TOut?>, Keyed<TKey, TOut>>(
            instance, step.Id, item => new(item.Key, mapper(item.Value)), static made => made.Value is not null, static made => new(made.Key, made.Value!), next));
    }

    /// <inheritdoc cref="FilterMapValue{TOut}(string, Func{TValue, TOut})"/>
    public KeyedStream<TKey, TOut> FilterMapValue<TOut>(string id, Func<TValue, TOut?> mapper)
        where TOut : struct
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return AddValue<TOut>(id, "filter_map_value", (instance, step, next) => new FilterMapPort<Keyed<TKey, TValue>, Keyed<TKey, TOut?>, Keyed<TKey, TOut>>(
            instance, step.Id, item => new(item.Key, mapper(item.Value)), static made => made.Value.HasValue, static made => new(made.Key, made.Value.GetValueOrDefault()), next));
    }
}
