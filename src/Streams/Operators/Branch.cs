namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>Splits a stream in two; the order of the items is kept on each side.</summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="predicate">Which side an item goes to.</param>
    /// <returns>The items for which the predicate was true, and those for which it was false.</returns>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    /// <example>
    /// <code>
    /// (Stream&lt;string&gt; errors, Stream&lt;string&gt; rest) = lines.Branch("errors", line =&gt; line.StartsWith("error", StringComparison.Ordinal));
    /// </code>
    /// </example>
    public (Stream<T> Trues, Stream<T> Falses) Branch(string id, Func<T, bool> predicate)
    {
        ArgumentNullException.ThrowIfNull(predicate);
        (Outlet<T> trues, Outlet<T> falses) = BranchStep.Add(Outlet, id, predicate);
        return (new(trues), new(falses));
    }
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>Splits a stream in two; the order of the items is kept on each side.</summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="predicate">Which side a key and value go to.</param>
    /// <returns>The items for which the predicate was true, and those for which it was false.</returns>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    public (KeyedStream<TKey, TValue> Trues, KeyedStream<TKey, TValue> Falses) Branch(string id, Func<TKey, TValue, bool> predicate)
    {
        ArgumentNullException.ThrowIfNull(predicate);
        (Outlet<Keyed<TKey, TValue>> trues, Outlet<Keyed<TKey, TValue>> falses) = BranchStep.Add(Outlet, id, item => predicate(item.Key, item.Value));
        return (new(trues, KeySerde, _valueSerde, KeyChangedBy), new(falses, KeySerde, _valueSerde, KeyChangedBy));
    }
}

internal static class BranchStep
{
    public static (Outlet<T> Trues, Outlet<T> Falses) Add<T>(Outlet<T> upstream, string id, Func<T, bool> predicate)
    {
        Outlet<T> trues = new(upstream.Flow) { Side = "trues" };
        Outlet<T> falses = new(upstream.Flow) { Side = "falses" };
        upstream.Flow.AddStep(
            new Step
            {
                Id = id,
                Operator = "branch",
                Upstreams = [upstream],
                Build = (instance, step) => instance.Connect(
                    upstream, new BranchPort<T>(instance, step.Id, predicate, instance.Downstream(trues), instance.Downstream(falses))),
            },
            trues,
            falses);
        return (trues, falses);
    }

    private sealed class BranchPort<T>(FlowInstance instance, string id, Func<T, bool> predicate, Port<T> trues, Port<T> falses) : Port<T>
    {
        public override void Push(T item, in Stamp stamp)
        {
            instance.CurrentStep = id;
            (predicate(item) ? trues : falses).Push(item, stamp);
        }
    }
}
