namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>
    /// One item out for each item in, with the help of a cache of look-ups. The cache lives in memory, one per shard; it is
    /// no state: it begins empty after a start or a handover.
    /// </summary>
    /// <typeparam name="TCacheKey">The type of the cache's keys.</typeparam>
    /// <typeparam name="TCached">The type of the looked-up values.</typeparam>
    /// <typeparam name="TOut">The type of the items out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="getter">Looks a key up; called when the cache lacks it or its entry is too old. A null result is cached too.</param>
    /// <param name="mapper">Makes the item of the cache and the item.</param>
    /// <param name="timeToLive">How old an entry may become, counted from its look-up; null for any age.</param>
    /// <exception cref="FlowException">The id cannot be used, or the getter or the mapper returns tasks.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeToLive"/> is negative.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;string&gt; enriched = lines.EnrichCached&lt;string, string, string&gt;(
    ///     "country", code =&gt; lookUp(code), (cache, code) =&gt; $"{code} {cache.Get(code)}", TimeSpan.FromHours(1));
    /// </code>
    /// </example>
    public Stream<TOut> EnrichCached<TCacheKey, TCached, TOut>(
        string id, Func<TCacheKey, TCached> getter, Func<LookupCache<TCacheKey, TCached>, T, TOut> mapper, TimeSpan? timeToLive = null)
        where TCacheKey : notnull
    {
        ArgumentNullException.ThrowIfNull(getter);
        ArgumentNullException.ThrowIfNull(mapper);
        ArgumentOutOfRangeException.ThrowIfLessThan(timeToLive ?? TimeSpan.Zero, TimeSpan.Zero, nameof(timeToLive));
        Dataflow.RefuseTasks(id, typeof(TCached));
        return Add<TOut>(id, "enrich_cached", (instance, step, next) =>
        {
            LookupCache<TCacheKey, TCached> cache = new(instance, getter, timeToLive ?? TimeSpan.MaxValue);
            return new MapPort<T, TOut>(instance, step.Id, item => mapper(cache, item), next);
        });
    }
}

/// <summary>The cache of an <c>EnrichCached</c> step; not shared between shards.</summary>
/// <typeparam name="TKey">The type of the keys.</typeparam>
/// <typeparam name="TValue">The type of the looked-up values.</typeparam>
public sealed class LookupCache<TKey, TValue>
    where TKey : notnull
{
    private readonly Dictionary<TKey, (DateTimeOffset At, TValue Value)> _entries = [];
    private readonly FlowInstance _instance;
    private readonly Func<TKey, TValue> _getter;
    private readonly TimeSpan _timeToLive;

    internal LookupCache(FlowInstance instance, Func<TKey, TValue> getter, TimeSpan timeToLive)
    {
        _instance = instance;
        _getter = getter;
        _timeToLive = timeToLive;
    }

    /// <summary>The value of a key: from the cache while its entry is not older than the time to live, else looked up.</summary>
    /// <param name="key">The key.</param>
    public TValue Get(TKey key)
    {
        if (_entries.TryGetValue(key, out (DateTimeOffset At, TValue Value) entry) && _instance.Now - entry.At <= _timeToLive)
        {
            return entry.Value;
        }

        TValue value = _getter(key);
        _entries[key] = (_instance.Now, value);
        return value;
    }

    /// <summary>Forgets a key.</summary>
    /// <param name="key">The key.</param>
    /// <exception cref="KeyNotFoundException">The cache has no entry for the key.</exception>
    public void Remove(TKey key)
    {
        if (!_entries.Remove(key))
        {
            throw new KeyNotFoundException($"The cache has no entry for '{key}'.");
        }
    }
}
