namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>Stops the application at the first item: for branches that must stay empty.</summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    /// <example>
    /// <code>
    /// lines.Filter("empty", line =&gt; line.Length == 0).Raises("no-empty-lines");
    /// </code>
    /// </example>
    public void Raises(string id) => Flow.AddEnd(id, "raises", Outlet, topic: null, (instance, step) => new RaisesPort<T>(instance, step.Id));
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <inheritdoc cref="Stream{T}.Raises"/>
    public void Raises(string id) => Flow.AddEnd(id, "raises", Outlet, topic: null, (instance, step) => new RaisesPort<Keyed<TKey, TValue>>(instance, step.Id));
}

internal sealed class RaisesPort<T>(FlowInstance instance, string id) : Port<T>
{
    public override void Push(T item, in Stamp stamp)
    {
        instance.CurrentStep = id;
        throw new InvalidOperationException($"an item reached step '{id}', which raises on any");
    }
}
