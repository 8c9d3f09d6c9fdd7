namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>
    /// The items of one turn of the shard together, each element of the returned sequence out on its own. Where one batch
    /// ends and the next begins is no part of the contract. The items out carry the batch's largest timestamp.
    /// </summary>
    /// <typeparam name="TOut">The type of the items out.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="mapper">Makes the sequence of the batch, which is never empty.</param>
    /// <exception cref="FlowException">The id cannot be used, or the items would be tasks.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;string&gt; prices = lines.FlatMapBatch("prices", batch =&gt; batch.Distinct().Select(item =&gt; $"{item}: 1.00")); // one look-up for many
    /// </code>
    /// </example>
    public Stream<TOut> FlatMapBatch<TOut>(string id, Func<IReadOnlyList<T>, IEnumerable<TOut>> mapper)
    {
        ArgumentNullException.ThrowIfNull(mapper);
        return Add<TOut>(id, "flat_map_batch", (instance, step, next) => instance.AddNode(new FlatMapBatchNode<T, TOut>(instance, step, mapper, next)).Port);
    }
}

internal sealed class FlatMapBatchNode<T, TOut> : Node
{
    private readonly Func<IReadOnlyList<T>, IEnumerable<TOut>> _mapper;
    private readonly Port<TOut> _next;
    private List<T> _batch = [];
    private long _timestamp = long.MinValue;

    public FlatMapBatchNode(FlowInstance instance, Step step, Func<IReadOnlyList<T>, IEnumerable<TOut>> mapper, Port<TOut> next)
        : base(instance, step)
    {
        _mapper = mapper;
        _next = next;
        Port = new Gather(this);
    }

    public Port<T> Port { get; }

    public override bool IsInTurn => _batch.Count > 0;

    public override void EndTurn()
    {
        if (_batch.Count == 0)
        {
            return;
        }

        List<T> batch = _batch;
        Stamp stamp = new(_timestamp, Headers.Empty);
        _batch = [];
        _timestamp = long.MinValue;
        Instance.CurrentStep = Step.Id;
        int elements = 0;
        foreach (TOut element in _mapper(batch))
        {
            if (elements > 0 && Instance.Place.IsOutOfTime())
            {
                throw new TurnTooLongException(Step.Id, Math.Min(elements, batch.Count), batch.Count);
            }

            elements++;
            _next.Push(element, stamp);
            Instance.CurrentStep = Step.Id;
        }
    }

    public override void Reset()
    {
        _batch = [];
        _timestamp = long.MinValue;
    }

    private sealed class Gather(FlatMapBatchNode<T, TOut> node) : Port<T>
    {
        public override void Push(T item, in Stamp stamp)
        {
            node._batch.Add(item);
            node._timestamp = Math.Max(node._timestamp, stamp.Timestamp);
        }
    }
}
