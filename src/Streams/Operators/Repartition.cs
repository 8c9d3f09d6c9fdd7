using System.Buffers.Binary;

namespace KStreamSharp;

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>
    /// Sends the items through a topic of the engine, partitioned by its own hash of the key, so that one shard sees all
    /// values of a key whatever partitioner wrote the input. The engine does it by itself where the key has changed.
    /// </summary>
    /// <param name="id">The step's id, unique in the flow; the topic is named <c>application-id.repartition</c>.</param>
    /// <exception cref="FlowException">The id cannot be used, or the serdes cannot give keys and values back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, (int, string)&gt; rows = temps.Repartition("by-hash").Join("rows", names.Repartition("names-by-hash"));
    /// </code>
    /// </example>
    public KeyedStream<TKey, TValue> Repartition(string id)
    {
        Flow.Reserve(id);
        return RepartitionStep.Add(this, $"{id}.repartition", $"step '{id}' asks for it");
    }

    /// <summary>This stream where the partitions own the keys: itself, or behind a repartition topic named after a step.</summary>
    internal KeyedStream<TKey, TValue> Partitioned(string step, int? side = null) => KeyChangedBy is null
        ? this
        : RepartitionStep.Add(
            this,
            side is null ? $"{step}.repartition" : $"{step}.{side}-repartition",
            $"step '{KeyChangedBy}' changed the key, and step '{step}' needs all values of a key in one shard");
}

/// <summary>
/// Two halves of one step: items are appended to a topic of the engine by whichever shard made them, and enter the flow
/// again in the shard that owns their partition, once the transaction that wrote them is committed.
/// </summary>
internal static class RepartitionStep
{
    public static KeyedStream<TKey, TValue> Add<TKey, TValue>(KeyedStream<TKey, TValue> stream, string id, string reason)
    {
        Serde<TKey> key = Dataflow.CheckedTravel(id, "keys", stream.KeySerde);
        Serde<TValue> value = Dataflow.CheckedTravel(id, "values", stream.ValueSerde);
        Outlet<Keyed<TKey, TValue>> outlet = AddCore(
            stream.Outlet, id, reason, topic => new KeyedEncoder<TKey, TValue>(topic, key, value), topic => new KeyedDecoder<TKey, TValue>(topic, key, value));
        return new(outlet, key, value, keyChangedBy: null);
    }

    public static Outlet<T> AddCore<T>(Outlet<T> upstream, string id, string reason, Func<string, Encoder<T>> encoder, Func<string, Decoder<T>> decoder)
    {
        Outlet<T> outlet = new(upstream.Flow);
        upstream.Flow.AddStep(
            new Step
            {
                Id = id,
                Operator = "repartition",
                Upstreams = [upstream],
                RepartitionReason = reason,
                Build = (instance, step) =>
                {
                    string topic = step.RepartitionTopic(instance.Place.App);
                    OutputPort<T> sink = new(instance, step.Id, topic, encoder(topic), isInternal: true);
                    instance.Connect(upstream, sink);
                    instance.AddNode(new RepartitionNode(instance, step, topic));
                    instance.AddInlet(new Inlet<T>(instance, step, topic, decoder(topic), instance.Downstream(outlet)));
                },
            },
            outlet);
        return outlet;
    }
}

/// <summary>
/// Sends the end of the input across a repartition topic: one control record to every partition says that this shard has
/// nothing more for it in this run. Control records are the ones without a key; seeing one twice does no harm.
/// </summary>
internal sealed class RepartitionNode(FlowInstance instance, Step step, string topic) : Node(instance, step)
{
    public override void EndTurn()
    {
    }

    public void SendEnd(long run)
    {
        Span<byte> control = stackalloc byte[ControlRecord.Size];
        new ControlRecord(run, Instance.Place.Shard).Write(control);
        for (int partition = 0; partition < Instance.Place.ShardCount; partition++)
        {
            Instance.Place.Append(new(topic, partition), new(Instance.Watermark < 0 ? 0 : Instance.Watermark, default, false, control, true, Headers.Empty));
        }
    }
}

/// <summary>The value of a control record: format version, run, and the shard whose input has ended.</summary>
internal readonly record struct ControlRecord(long Run, int Shard)
{
    public const int Size = 13;

    public static ControlRecord Read(ReadOnlySpan<byte> data)
    {
        if (data.Length != Size || data[0] != 1)
        {
            throw new BadRecordException($"a control record of {data.Length} bytes, which this version does not know");
        }

        return new(BinaryPrimitives.ReadInt64BigEndian(data[1..]), BinaryPrimitives.ReadInt32BigEndian(data[9..]));
    }

    public void Write(Span<byte> data)
    {
        data[0] = 1;
        BinaryPrimitives.WriteInt64BigEndian(data[1..], Run);
        BinaryPrimitives.WriteInt32BigEndian(data[9..], Shard);
    }
}
