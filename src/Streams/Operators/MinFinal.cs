namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>Emits the smallest value of each key at the end of a finite run; of equal ones the first. The next run starts anew.</summary>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="comparer">Compares values; null for their default order.</param>
    /// <param name="state">The serde of the values; null for the stream's own.</param>
    /// <exception cref="FlowException">The id cannot be used, or the serde cannot give the values back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, int&gt; coldest = temps.MinFinal("coldest");
    /// </code>
    /// </example>
    public KeyedStream<TKey, TValue> MinFinal(string id, IComparer<TValue>? comparer = null, Serde<TValue>? state = null)
    {
        IComparer<TValue> order = comparer ?? Comparer<TValue>.Default;
        return Reduce(id, "min_final", (best, value) => order.Compare(value, best) < 0 ? value : best, state);
    }

    /// <summary>Emits the value of each key whose property is smallest at the end of a finite run; of equal ones the first. The next run starts anew.</summary>
    /// <typeparam name="TBy">The type of the property.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="by">The property to compare by its default order.</param>
    /// <param name="state">The serde of the values; null for the stream's own.</param>
    /// <exception cref="FlowException">The id cannot be used, or the serde cannot give the values back.</exception>
    public KeyedStream<TKey, TValue> MinFinal<TBy>(string id, Func<TValue, TBy> by, Serde<TValue>? state = null)
    {
        ArgumentNullException.ThrowIfNull(by);
        Comparer<TBy> order = Comparer<TBy>.Default;
        return Reduce(id, "min_final", (best, value) => order.Compare(by(value), by(best)) < 0 ? value : best, state);
    }
}
