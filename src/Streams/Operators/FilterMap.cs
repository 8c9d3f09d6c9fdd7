namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>One item out for each item in, but for nulls, which are dropped; 0, false and empty text stay.</summary>
    /// <typeparam name="TOut">The type of the items out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="mapper">Makes the item, or null to drop it.</param>
    /// <exception cref="FlowException">The id cannot be used, or the mapper returns tasks.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;int&gt; numbers = lines.FilterMap("numbers", line =&gt; int.TryParse(line, out int number) ? number : (int?)null);
    /// </code>
    /// </example>
    public Stream<TOut> FilterMap<TOut>(string id, Func<T, TOut?> mapper)
        where TOut : class
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return Add<TOut>(id, "filter_map", (instance, step, next) => new FilterMapPort<T, TOut?, TOut>(instance, step.Id, mapper, static made => made is not null, static made => made!, next));
    }

    /// <inheritdoc cref="FilterMap{TOut}(string, Func{T, TOut})"/>
    public Stream<TOut> FilterMap<TOut>(string id, Func<T, TOut?> mapper)
        where TOut : struct
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return Add<TOut>(id, "filter_map", (instance, step, next) => new FilterMapPort<T, TOut?, TOut>(instance, step.Id, mapper, static made => made.HasValue, static made => made.GetValueOrDefault(), next));
    }
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>One item out for each key and value in, but for nulls, which are dropped; the stream has no key afterwards.</summary>
    /// <typeparam name="TOut">The type of the items out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="mapper">Makes the item, or null to drop it.</param>
    /// <exception cref="FlowException">The id cannot be used, or the mapper returns tasks.</exception>
    public Stream<TOut> FilterMap<TOut>(string id, Func<TKey, TValue, TOut?> mapper)
        where TOut : class
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return Add<TOut>(id, "filter_map", (instance, step, next) => new FilterMapPort<Keyed<TKey, TValue>, TOut?, TOut>(
            instance, step.Id, item => mapper(item.Key, item.Value), static made => made is not null, static made => made!, next));
    }

    /// <inheritdoc cref="FilterMap{TOut}(string, Func{TKey, TValue, TOut})"/>
    public Stream<TOut> FilterMap<TOut>(string id, Func<TKey, TValue, TOut?> mapper)
        where TOut : struct
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return Add<TOut>(id, "filter_map", (instance, step, next) => new FilterMapPort<Keyed<TKey, TValue>, TOut?, TOut>(
            instance, step.Id, item => mapper(item.Key, item.Value), static made => made.HasValue, static made => made.GetValueOrDefault(), next));
    }
}

/// <summary>What a mapper makes (a reference or a nullable) is tested, then unwrapped.</summary>
internal sealed class FilterMapPort<T, TMade, TOut>(
    FlowInstance instance, string id, Func<T, TMade> mapper, Func<TMade, bool> isThere, Func<TMade, TOut> unwrap, Port<TOut> next) : Port<T>
{
    public override void Push(T item, in Stamp stamp)
    {
        instance.CurrentStep = id;
        TMade made = mapper(item);
        if (isThere(made))
        {
            next.Push(unwrap(made), stamp);
        }
    }
}
