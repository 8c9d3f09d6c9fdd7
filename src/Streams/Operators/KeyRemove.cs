namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>Drops the key and keeps the value.</summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;int&gt; values = temps.KeyRemove("values");
    /// </code>
    /// </example>
    public Stream<TValue> KeyRemove(string id) =>
        Add<TValue>(id, "key_rm", (instance, step, next) => new MapPort<Keyed<TKey, TValue>, TValue>(instance, step.Id, static item => item.Value, next));
}
