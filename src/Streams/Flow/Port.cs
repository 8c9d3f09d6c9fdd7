namespace KStreamSharp;

/// <summary>Where items enter a step inside a shard. Fused steps call each other directly.</summary>
internal abstract class Port<T>
{
    public abstract void Push(T item, in Stamp stamp);
}

/// <summary>What travels beside an item: the timestamp in milliseconds since 1970 and the headers.</summary>
internal readonly struct Stamp(long timestamp, Headers headers)
{
    public readonly long Timestamp = timestamp;
    public readonly Headers Headers = headers;

    /// <summary>The stamp of an item that was made from several: the headers of none of them.</summary>
    public Stamp WithoutHeaders() => new(Timestamp, Headers.Empty);
}

/// <summary>An item of a keyed stream.</summary>
internal readonly struct Keyed<TKey, TValue>(TKey key, TValue value)
{
    public readonly TKey Key = key;
    public readonly TValue Value = value;
}

/// <summary>The end of a branch that nobody uses.</summary>
internal sealed class NoPort<T> : Port<T>
{
    public static readonly NoPort<T> Instance = new();

    public override void Push(T item, in Stamp stamp)
    {
    }
}

/// <summary>A stream that is used several times: each user sees every item, in the order in which the users were added.</summary>
internal sealed class FanOutPort<T>(Port<T>[] ports) : Port<T>
{
    public override void Push(T item, in Stamp stamp)
    {
        foreach (Port<T> port in ports)
        {
            port.Push(item, stamp);
        }
    }
}
