namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>Gives each item a key. The next stateful step is then preceded by a repartition topic.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="key">Makes the key of an item.</param>
    /// <param name="keySerde">The serde of the keys; null for <see cref="Serde.For{T}"/>.</param>
    /// <param name="valueSerde">The serde of the items where they cross a repartition topic; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="FlowException">The id cannot be used, or the keys would be tasks.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;char, string&gt; byInitial = lines.KeyOn("initial", line =&gt; line[0]);
    /// </code>
    /// </example>
    public KeyedStream<TKey, T> KeyOn<TKey>(string id, Func<T, TKey> key, Serde<TKey>? keySerde = null, Serde<T>? valueSerde = null)
    {
        ArgumentNullException.ThrowIfNull(key);
        Dataflow.RefuseTasks(id, typeof(TKey));
        return new(
            Flow.Add<T, Keyed<TKey, T>>(id, "key_on", Outlet, (instance, step, next) => new KeyOnPort<T, TKey, T>(instance, step.Id, key, static item => item, next)),
            keySerde ?? Serde.For<TKey>(),
            valueSerde,
            keyChangedBy: id);
    }
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>Gives each value another key. The next stateful step is then preceded by a repartition topic.</summary>
    /// <typeparam name="TNewKey">The type of the new keys.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="key">Makes the new key of the old one and the value.</param>
    /// <param name="keySerde">The serde of the new keys; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="FlowException">The id cannot be used, or the keys would be tasks.</exception>
    public KeyedStream<TNewKey, TValue> KeyOn<TNewKey>(string id, Func<TKey, TValue, TNewKey> key, Serde<TNewKey>? keySerde = null)
    {
        ArgumentNullException.ThrowIfNull(key);
        Dataflow.RefuseTasks(id, typeof(TNewKey));
        return new(
            Flow.Add<Keyed<TKey, TValue>, Keyed<TNewKey, TValue>>(id, "key_on", Outlet, (instance, step, next) =>
                new KeyOnPort<Keyed<TKey, TValue>, TNewKey, TValue>(instance, step.Id, item => key(item.Key, item.Value), static item => item.Value, next)),
            keySerde ?? Serde.For<TNewKey>(),
            _valueSerde,
            keyChangedBy: id);
    }
}

internal sealed class KeyOnPort<T, TKey, TValue>(FlowInstance instance, string id, Func<T, TKey> key, Func<T, TValue> value, Port<Keyed<TKey, TValue>> next) : Port<T>
{
    public override void Push(T item, in Stamp stamp)
    {
        instance.CurrentStep = id;
        TKey made = key(item);
        if (made is null)
        {
            throw new InvalidOperationException($"step '{id}' made a null key; drop such items before it, or give them a key");
        }

        next.Push(new(made, value(item)), stamp);
    }
}
