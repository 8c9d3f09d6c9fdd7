using System.Buffers;
using System.Buffers.Binary;

namespace KStreamSharp;

/// <summary>From when the time-out of a <c>Collect</c> step counts.</summary>
public enum CollectTimeout
{
    /// <summary>From the last item of the list: it is emitted when the key has been silent for the time-out.</summary>
    SinceLastItem,

    /// <summary>From the first item of the list: no item waits longer than the time-out.</summary>
    SinceFirstItem,
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>
    /// Collects the values of each key into lists. A list is emitted when it is full, when its time-out is over, and at the
    /// end of a finite run. Lists are never empty and carry the largest timestamp of their items.
    /// </summary>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="timeout">How long to wait for more items; processing time.</param>
    /// <param name="maxSize">The number of items that makes a list full; at least 1.</param>
    /// <param name="since">From when the time-out counts.</param>
    /// <exception cref="FlowException">The id cannot be used, or the values' serde cannot give them back.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The size is less than 1, or the time-out is negative.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, IReadOnlyList&lt;int&gt;&gt; batches = temps.Collect("batches", timeout: TimeSpan.FromSeconds(10), maxSize: 2);
    /// </code>
    /// </example>
    public KeyedStream<TKey, IReadOnlyList<TValue>> Collect(
        string id, TimeSpan timeout, int maxSize, CollectTimeout since = CollectTimeout.SinceLastItem)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.Zero);
        Serde<TValue> serde = Dataflow.CheckedState(id, ValueSerde);
        return AddStateful<IReadOnlyList<TValue>>(
            id, "collect", typeof(List<TValue>), Shown, new(() => new CollectLogic<TKey, TValue>(timeout, maxSize, since, serde)) { Timers = true, Eof = true });

        string Shown(ReadOnlySpan<byte> payload, in SerdeContext context)
        {
            payload = payload[CollectLogic<TKey, TValue>.DeadlineBytes..];
            return ListFormat.Show(ref payload, serde, context);
        }
    }
}

internal sealed class CollectLogic<TKey, TValue>(TimeSpan timeout, int maxSize, CollectTimeout since, Serde<TValue> serde) : KeyLogic<TKey, TValue, IReadOnlyList<TValue>>
{
    /// <summary>What precedes the list in a saved state.</summary>
    public const int DeadlineBytes = 8;

    private List<TValue> _items = [];
    private long _deadline = Envelope.Never;

    public override StateAction OnItem(TValue value, StatefulContext<TKey, IReadOnlyList<TValue>> context)
    {
        _items.Add(value);
        if (_items.Count >= maxSize)
        {
            return Flush(context);
        }

        if (since == CollectTimeout.SinceLastItem || _items.Count == 1)
        {
            _deadline = timeout.Ticks < DateTimeOffset.MaxValue.UtcTicks - context.Now.UtcTicks ? context.Now.UtcTicks + timeout.Ticks : Envelope.Never;
        }

        return StateAction.Retain;
    }

    public override StateAction OnNotify(StatefulContext<TKey, IReadOnlyList<TValue>> context) => Flush(context);

    public override StateAction OnEof(StatefulContext<TKey, IReadOnlyList<TValue>> context) => Flush(context);

    public override DateTimeOffset? NotifyAt() => _deadline == Envelope.Never ? null : new DateTimeOffset(_deadline, TimeSpan.Zero);

    public override void Load(ReadOnlySpan<byte> payload, bool isNull, in SerdeContext context)
    {
        _deadline = BinaryPrimitives.ReadInt64BigEndian(payload);
        payload = payload[DeadlineBytes..];
        _items = ListFormat.Read(ref payload, serde, context);
    }

    public override bool Save(IBufferWriter<byte> output, in SerdeContext context)
    {
        BinaryPrimitives.WriteInt64BigEndian(output.GetSpan(DeadlineBytes), _deadline);
        output.Advance(DeadlineBytes);
        ListFormat.Write(output, _items, serde, context);
        return true;
    }

    private StateAction Flush(StatefulContext<TKey, IReadOnlyList<TValue>> context)
    {
        context.EmitOfSeveral(_items);
        return StateAction.Discard;
    }
}
