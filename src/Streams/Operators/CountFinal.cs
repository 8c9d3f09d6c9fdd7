namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>Counts the items of each key and emits the counts at the end of a finite run; the next run starts anew.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="key">Makes the key of an item.</param>
    /// <param name="keySerde">The serde of the keys; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="FlowException">The id cannot be used, or the keys would be tasks.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, long&gt; counts = lines.FlatMap("words", line =&gt; line.Split(' ')).CountFinal("count", word =&gt; word);
    /// </code>
    /// </example>
    public KeyedStream<TKey, long> CountFinal<TKey>(string id, Func<T, TKey> key, Serde<TKey>? keySerde = null)
    {
        ArgumentNullException.ThrowIfNull(key);
        Dataflow.RefuseTasks(id, typeof(TKey));
        Flow.CheckNew(id);
        Outlet<Keyed<TKey, bool>> keyed = new(Flow);
        Outlet<T> upstream = Outlet;
        Flow.AddStep(
            new Step
            {
                Id = $"{id}.key",
                Operator = "key_on",
                IsPart = true,
                Upstreams = [upstream],
                Build = (instance, _) => instance.Connect(
                    upstream, new KeyOnPort<T, TKey, bool>(instance, id, key, static _ => true, instance.Downstream(keyed))),
            },
            keyed);
        return new KeyedStream<TKey, bool>(keyed, keySerde ?? Serde.For<TKey>(), Serde.Boolean, keyChangedBy: id)
            .Fold(id, "count_final", static () => 0L, static (count, _) => count + 1, Serde.Int64);
    }
}
