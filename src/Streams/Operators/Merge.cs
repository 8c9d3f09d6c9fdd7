namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>One stream of this one's items and those of others; the order inside each is kept, between them it is free.</summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="others">The other streams, of the same flow.</param>
    /// <exception cref="FlowException">The id cannot be used, or a stream belongs to another flow.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;string&gt; all = lines.Merge("all", more);
    /// </code>
    /// </example>
    public Stream<T> Merge(string id, params ReadOnlySpan<Stream<T>> others)
    {
        List<Outlet<T>> upstreams = [Outlet];
        foreach (Stream<T> other in others)
        {
            ArgumentNullException.ThrowIfNull(other, nameof(others));
            upstreams.Add(other.Outlet);
        }

        return new(MergeStep.Add(id, upstreams));
    }
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>
    /// One stream of this one's items and those of others; the order inside each is kept, between them it is free. If the
    /// key of one has changed since its last topic, so has that of the merged stream.
    /// </summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="others">The other streams, of the same flow.</param>
    /// <exception cref="FlowException">The id cannot be used, or a stream belongs to another flow or has another serde for its keys.</exception>
    public KeyedStream<TKey, TValue> Merge(string id, params ReadOnlySpan<KeyedStream<TKey, TValue>> others)
    {
        List<Outlet<Keyed<TKey, TValue>>> upstreams = [Outlet];
        string? changedBy = KeyChangedBy;
        foreach (KeyedStream<TKey, TValue> other in others)
        {
            ArgumentNullException.ThrowIfNull(other, nameof(others));
            Flow.CheckOwn(id, other.Outlet);
            Dataflow.CheckSameKeys(id, KeySerde, other.KeySerde);
            upstreams.Add(other.Outlet);
            changedBy ??= other.KeyChangedBy;
        }

        return new(MergeStep.Add(id, upstreams), KeySerde, _valueSerde, changedBy);
    }
}

internal static class MergeStep
{
    public static Outlet<T> Add<T>(string id, IReadOnlyList<Outlet<T>> upstreams)
    {
        Dataflow flow = upstreams[0].Flow;
        Outlet<T> outlet = new(flow);
        flow.AddStep(
            new Step
            {
                Id = id,
                Operator = "merge",
                Upstreams = upstreams,
                Build = (instance, _) =>
                {
                    Port<T> next = instance.Downstream(outlet);
                    foreach (Outlet<T> upstream in upstreams)
                    {
                        instance.Connect(upstream, next);
                    }
                },
            },
            outlet);
        return outlet;
    }
}
