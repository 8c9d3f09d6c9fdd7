namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>A logic object of your own per key, called once per turn with all values of the key, keys ascending.</summary>
    /// <typeparam name="TOut">The type of the values out.</typeparam>
    /// <typeparam name="TState">The type of the saved state.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="logic">Makes the logic of a key that has none in memory.</param>
    /// <param name="state">The serde of the state; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="FlowException">The id cannot be used, the values out would be tasks, or the serde cannot give the state back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, int&gt; totals = temps.StatefulBatch("totals", () =&gt; new Total());
    ///
    /// private sealed class Total : StatefulBatchLogic&lt;string, int, int, int&gt;
    /// {
    ///     private int _sum;
    ///
    ///     public override void Resume(int state) =&gt; _sum = state;
    ///
    ///     public override int Snapshot() =&gt; _sum;
    ///
    ///     public override StateAction OnBatch(IReadOnlyList&lt;int&gt; values, StatefulContext&lt;string, int&gt; context)
    ///     {
    ///         _sum += values.Sum();
    ///         context.Emit(_sum);
    ///         return StateAction.Retain;
    ///     }
    /// }
    /// </code>
    /// </example>
    public KeyedStream<TKey, TOut> StatefulBatch<TOut, TState>(
        string id, Func<StatefulBatchLogic<TKey, TValue, TOut, TState>> logic, Serde<TState>? state = null)
    {
        ArgumentNullException.ThrowIfNull(logic);
        Serde<TState> serde = Dataflow.CheckedState(id, state);
        return AddStateful<TOut>(id, "stateful_batch", typeof(TState), StateForm.By(serde), new(() => new BatchLogic<TKey, TValue, TOut, TState>(logic(), serde)) { Batches = true, Timers = true, Eof = true });
    }
}

internal sealed class BatchLogic<TKey, TIn, TOut, TState>(StatefulBatchLogic<TKey, TIn, TOut, TState> logic, Serde<TState> serde) : UserLogic<TKey, TIn, TOut, TState>(logic, serde)
{
    public override StateAction OnBatch(IReadOnlyList<TIn> values, StatefulContext<TKey, TOut> context) => logic.OnBatch(values, Own(context));
}
