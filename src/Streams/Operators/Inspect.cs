namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>
    /// Shows each item to a function and passes it on. An item may be shown again after a failure: exactly once holds for
    /// states and outputs.
    /// </summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="inspector">Gets the full step id (<c>flow.step</c>) and the item; null prints them to standard output.</param>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;string&gt; same = lines.Inspect("seen", (step, line) =&gt; seen.Add($"{step}: {line}"));
    /// </code>
    /// </example>
    public Stream<T> Inspect(string id, Action<string, T>? inspector = null)
    {
        Action<string, T> show = inspector ?? (static (step, item) => Console.WriteLine($"{step}: {item}"));
        return Add<T>(id, "inspect", (instance, step, next) => new InspectPort<T>(instance, step, show, next));
    }
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <inheritdoc cref="Stream{T}.Inspect"/>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="inspector">Gets the full step id (<c>flow.step</c>), the key and the value; null prints them to standard output.</param>
    public KeyedStream<TKey, TValue> Inspect(string id, Action<string, TKey, TValue>? inspector = null)
    {
        Action<string, TKey, TValue> show = inspector ?? (static (step, key, value) => Console.WriteLine($"{step}: {key} {value}"));
        return AddValue(
            id, "inspect", (instance, step, next) => new InspectPort<Keyed<TKey, TValue>>(instance, step, (name, item) => show(name, item.Key, item.Value), next), _valueSerde);
    }
}

internal sealed class InspectPort<T>(FlowInstance instance, Step step, Action<string, T> inspector, Port<T> next) : Port<T>
{
    private readonly string _name = instance.FullName(step);

    public override void Push(T item, in Stamp stamp)
    {
        instance.CurrentStep = step.Id;
        inspector(_name, item);
        next.Push(item, stamp);
    }
}
