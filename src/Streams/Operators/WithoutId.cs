namespace KStreamSharp;

// Steps that keep nothing need no id: they get the operator's name and their place in the flow, such as "map.3", which names no
// state and no topic. What does keep something (states, repartition topics, inputs, outputs) always has an id of its own.
public sealed partial class Stream<T>
{
    /// <inheritdoc cref="Map{TOut}(string, Func{T, TOut})"/>
    public Stream<TOut> Map<TOut>(Func<T, TOut> mapper) => Map(Flow.IdFor("map"), mapper);

    /// <inheritdoc cref="Filter(string, Func{T, bool})"/>
    public Stream<T> Filter(Func<T, bool> predicate) => Filter(Flow.IdFor("filter"), predicate);

    /// <inheritdoc cref="FilterMap{TOut}(string, Func{T, TOut})"/>
    public Stream<TOut> FilterMap<TOut>(Func<T, TOut?> mapper)
        where TOut : class => FilterMap(Flow.IdFor("filter_map"), mapper);

    /// <inheritdoc cref="FilterMap{TOut}(string, Func{T, TOut})"/>
    public Stream<TOut> FilterMap<TOut>(Func<T, TOut?> mapper)
        where TOut : struct => FilterMap(Flow.IdFor("filter_map"), mapper);

    /// <inheritdoc cref="FlatMap{TOut}(string, Func{T, IEnumerable{TOut}})"/>
    public Stream<TOut> FlatMap<TOut>(Func<T, IEnumerable<TOut>> mapper) => FlatMap(Flow.IdFor("flat_map"), mapper);

    /// <inheritdoc cref="FlatMapBatch{TOut}(string, Func{IReadOnlyList{T}, IEnumerable{TOut}})"/>
    public Stream<TOut> FlatMapBatch<TOut>(Func<IReadOnlyList<T>, IEnumerable<TOut>> mapper) => FlatMapBatch(Flow.IdFor("flat_map_batch"), mapper);

    /// <inheritdoc cref="Branch(string, Func{T, bool})"/>
    public (Stream<T> Trues, Stream<T> Falses) Branch(Func<T, bool> predicate) => Branch(Flow.IdFor("branch"), predicate);

    /// <inheritdoc cref="Merge(string, ReadOnlySpan{Stream{T}})"/>
    public Stream<T> Merge(params ReadOnlySpan<Stream<T>> others) => Merge(Flow.IdFor("merge"), others);

    /// <inheritdoc cref="KeyOn{TKey}(string, Func{T, TKey}, Serde{TKey}, Serde{T})"/>
    public KeyedStream<TKey, T> KeyOn<TKey>(Func<T, TKey> key, Serde<TKey>? keySerde = null, Serde<T>? valueSerde = null) =>
        KeyOn(Flow.IdFor("key_on"), key, keySerde, valueSerde);

    /// <inheritdoc cref="EnrichCached{TCacheKey, TCached, TOut}(string, Func{TCacheKey, TCached}, Func{LookupCache{TCacheKey, TCached}, T, TOut}, TimeSpan?)"/>
    public Stream<TOut> EnrichCached<TCacheKey, TCached, TOut>(
        Func<TCacheKey, TCached> getter, Func<LookupCache<TCacheKey, TCached>, T, TOut> mapper, TimeSpan? timeToLive = null)
        where TCacheKey : notnull => EnrichCached(Flow.IdFor("enrich_cached"), getter, mapper, timeToLive);
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <inheritdoc cref="Map{TOut}(string, Func{TKey, TValue, TOut})"/>
    public Stream<TOut> Map<TOut>(Func<TKey, TValue, TOut> mapper) => Map(Flow.IdFor("map"), mapper);

    /// <inheritdoc cref="MapValue{TOut}(string, Func{TValue, TOut})"/>
    public KeyedStream<TKey, TOut> MapValue<TOut>(Func<TValue, TOut> mapper) => MapValue(Flow.IdFor("map_value"), mapper);

    /// <inheritdoc cref="Filter(string, Func{TKey, TValue, bool})"/>
    public KeyedStream<TKey, TValue> Filter(Func<TKey, TValue, bool> predicate) => Filter(Flow.IdFor("filter"), predicate);

    /// <inheritdoc cref="FilterValue(string, Func{TValue, bool})"/>
    public KeyedStream<TKey, TValue> FilterValue(Func<TValue, bool> predicate) => FilterValue(Flow.IdFor("filter_value"), predicate);

    /// <inheritdoc cref="FilterMap{TOut}(string, Func{TKey, TValue, TOut})"/>
    public Stream<TOut> FilterMap<TOut>(Func<TKey, TValue, TOut?> mapper)
        where TOut : class => FilterMap(Flow.IdFor("filter_map"), mapper);

    /// <inheritdoc cref="FilterMap{TOut}(string, Func{TKey, TValue, TOut})"/>
    public Stream<TOut> FilterMap<TOut>(Func<TKey, TValue, TOut?> mapper)
        where TOut : struct => FilterMap(Flow.IdFor("filter_map"), mapper);

    /// <inheritdoc cref="FilterMapValue{TOut}(string, Func{TValue, TOut})"/>
    public KeyedStream<TKey, TOut> FilterMapValue<TOut>(Func<TValue, TOut?> mapper)
        where TOut : class => FilterMapValue(Flow.IdFor("filter_map_value"), mapper);

    /// <inheritdoc cref="FilterMapValue{TOut}(string, Func{TValue, TOut})"/>
    public KeyedStream<TKey, TOut> FilterMapValue<TOut>(Func<TValue, TOut?> mapper)
        where TOut : struct => FilterMapValue(Flow.IdFor("filter_map_value"), mapper);

    /// <inheritdoc cref="FlatMap{TOut}(string, Func{TKey, TValue, IEnumerable{TOut}})"/>
    public Stream<TOut> FlatMap<TOut>(Func<TKey, TValue, IEnumerable<TOut>> mapper) => FlatMap(Flow.IdFor("flat_map"), mapper);

    /// <inheritdoc cref="FlatMapValue{TOut}(string, Func{TValue, IEnumerable{TOut}})"/>
    public KeyedStream<TKey, TOut> FlatMapValue<TOut>(Func<TValue, IEnumerable<TOut>> mapper) => FlatMapValue(Flow.IdFor("flat_map_value"), mapper);

    /// <inheritdoc cref="Branch(string, Func{TKey, TValue, bool})"/>
    public (KeyedStream<TKey, TValue> Trues, KeyedStream<TKey, TValue> Falses) Branch(Func<TKey, TValue, bool> predicate) => Branch(Flow.IdFor("branch"), predicate);

    /// <inheritdoc cref="Merge(string, ReadOnlySpan{KeyedStream{TKey, TValue}})"/>
    public KeyedStream<TKey, TValue> Merge(params ReadOnlySpan<KeyedStream<TKey, TValue>> others) => Merge(Flow.IdFor("merge"), others);

    /// <inheritdoc cref="KeyOn{TNewKey}(string, Func{TKey, TValue, TNewKey}, Serde{TNewKey})"/>
    public KeyedStream<TNewKey, TValue> KeyOn<TNewKey>(Func<TKey, TValue, TNewKey> key, Serde<TNewKey>? keySerde = null) =>
        KeyOn(Flow.IdFor("key_on"), key, keySerde);

    /// <inheritdoc cref="KeyRemove(string)"/>
    public Stream<TValue> KeyRemove() => KeyRemove(Flow.IdFor("key_rm"));
}
