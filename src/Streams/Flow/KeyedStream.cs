namespace KStreamSharp;

/// <summary>
/// A stream of values with keys. Stateful operators keep state per key; where the key has changed since the last topic,
/// the engine puts a repartition topic before the next stateful step, so that one shard sees all values of a key.
/// </summary>
/// <typeparam name="TKey">The type of the keys; its bytes, as its serde writes them, are what is compared.</typeparam>
/// <typeparam name="TValue">The type of the values.</typeparam>
public sealed partial class KeyedStream<TKey, TValue>
{
    private readonly Serde<TValue>? _valueSerde;

    internal KeyedStream(Outlet<Keyed<TKey, TValue>> outlet, Serde<TKey> keySerde, Serde<TValue>? valueSerde, string? keyChangedBy)
    {
        Outlet = outlet;
        KeySerde = keySerde;
        _valueSerde = valueSerde;
        KeyChangedBy = keyChangedBy;
    }

    internal Outlet<Keyed<TKey, TValue>> Outlet { get; }

    internal Serde<TKey> KeySerde { get; }

    internal Serde<TValue> ValueSerde => _valueSerde ?? Serde.For<TValue>();

    /// <summary>The step that changed the key since the last topic, or null when the partitions own the keys.</summary>
    internal string? KeyChangedBy { get; }

    private Dataflow Flow => Outlet.Flow;

    private Stream<TOut> Add<TOut>(string id, string name, Func<FlowInstance, Step, Port<TOut>, Port<Keyed<TKey, TValue>>> port) =>
        new(Flow.Add(id, name, Outlet, port));

    private KeyedStream<TKey, TOut> AddValue<TOut>(
        string id, string name, Func<FlowInstance, Step, Port<Keyed<TKey, TOut>>, Port<Keyed<TKey, TValue>>> port, Serde<TOut>? valueSerde = null)
    {
        Dataflow.RefuseTasks(id, typeof(TOut));
        return new(Flow.Add(id, name, Outlet, port), KeySerde, valueSerde, KeyChangedBy);
    }
}
