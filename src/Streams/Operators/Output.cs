using System.Buffers;

namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>
    /// Writes the items as values without keys, each to the partition with the shard's number (modulo the topic's
    /// partitions), so that the order inside a shard is kept.
    /// </summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="topic">The topic, which must exist.</param>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    public void Output(string id, ValueTopic<T> topic)
    {
        ArgumentNullException.ThrowIfNull(topic);
        Flow.AddEnd(
            id,
            "output",
            Outlet,
            topic.Name,
            (instance, step) => new OutputPort<T>(instance, step.Id, topic.Name, new ValueEncoder<T>(topic.Name, topic.Value)),
            topic.Form);
    }
}

/// <summary>Operators for streams of whole records.</summary>
public static class RecordStreams
{
    /// <summary>
    /// Writes whole records: key, value, timestamp and headers as they are. A key decides the partition (murmur2, as Java's
    /// producer does it); without one it is the shard's number (modulo the topic's partitions).
    /// </summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="stream">The stream of records.</param>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="topic">The topic, which must exist.</param>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    public static void Output<TKey, TValue>(this Stream<Record<TKey, TValue>> stream, string id, RecordTopic<TKey, TValue> topic)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(topic);
        stream.Outlet.Flow.AddEnd(
            id,
            "output",
            stream.Outlet,
            topic.Name,
            (instance, step) => new OutputPort<Record<TKey, TValue>>(instance, step.Id, topic.Name, new RecordEncoder<TKey, TValue>(topic.Name, topic.Key, topic.Value)),
            topic.Form);
    }
}

public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>
    /// Writes keys and values. The key decides the partition by murmur2, as Java's producer does it; a null value is written
    /// as an absent one (a tombstone).
    /// </summary>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="topic">The topic, which must exist.</param>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    /// <example>
    /// <code>
    /// temps.Output("totals", Topic.Keyed&lt;string, int&gt;("totals"));
    /// </code>
    /// </example>
    public void Output(string id, KeyedTopic<TKey, TValue> topic)
    {
        ArgumentNullException.ThrowIfNull(topic);
        Flow.AddEnd(
            id,
            "output",
            Outlet,
            topic.Name,
            (instance, step) => new OutputPort<Keyed<TKey, TValue>>(instance, step.Id, topic.Name, new KeyedEncoder<TKey, TValue>(topic.Name, topic.Key, topic.Value)),
            topic.Form);
    }
}

/// <summary>Encodes items and appends them to a topic, inside the worker's transaction.</summary>
internal sealed class OutputPort<T>(FlowInstance instance, string id, string topic, Encoder<T> encoder, bool isInternal = false) : Port<T>
{
    private readonly TopicPartition[] _partitions =
        [.. Enumerable.Range(0, instance.Place.PartitionCount(topic)).Select(partition => new TopicPartition(topic, partition))];

    private readonly Tally _tally = instance.TallyOf(id);
    private readonly Append _append = isInternal ? instance.Place.Append : instance.Place.AppendOutput;

    public override void Push(T item, in Stamp stamp)
    {
        instance.CurrentStep = id;
        OutgoingRecord record = encoder.Encode(item, stamp);
        int partition = record.HasKey
            ? Murmur2.Partition(record.Key, _partitions.Length)
            : instance.Place.Shard % _partitions.Length;
        _append(_partitions[partition], record);
        _tally.Records++;
    }
}

/// <summary>Makes records of items. The answer's memory is good until the next call.</summary>
internal abstract class Encoder<T>
{
    private readonly ArrayBufferWriter<byte> _key = new(64);
    private readonly ArrayBufferWriter<byte> _value = new(256);

    public abstract OutgoingRecord Encode(T item, in Stamp stamp);

    protected OutgoingRecord Record<TKey, TValue>(
        TKey key, Serde<TKey>? keySerde, TValue value, Serde<TValue> valueSerde, string topic, long timestamp, Headers headers)
    {
        _key.ResetWrittenCount();
        _value.ResetWrittenCount();
        bool hasKey = keySerde is not null && key is not null;
        if (hasKey)
        {
            keySerde!.Serialize(key, _key, new(topic, RecordPart.Key));
        }

        bool hasValue = value is not null;
        if (hasValue)
        {
            valueSerde.Serialize(value, _value, new(topic, RecordPart.Value));
        }

        return new(timestamp, _key.WrittenSpan, hasKey, _value.WrittenSpan, hasValue, headers);
    }
}

internal sealed class KeyedEncoder<TKey, TValue>(string topic, Serde<TKey> key, Serde<TValue> value) : Encoder<Keyed<TKey, TValue>>
{
    public override OutgoingRecord Encode(Keyed<TKey, TValue> item, in Stamp stamp) =>
        Record(item.Key, key, item.Value, value, topic, stamp.Timestamp, stamp.Headers);
}

internal sealed class ValueEncoder<T>(string topic, Serde<T> value) : Encoder<T>
{
    public override OutgoingRecord Encode(T item, in Stamp stamp) =>
        Record<byte[], T>(null!, null, item, value, topic, stamp.Timestamp, stamp.Headers);
}

internal sealed class RecordEncoder<TKey, TValue>(string topic, Serde<TKey> key, Serde<TValue> value) : Encoder<Record<TKey, TValue>>
{
    public override OutgoingRecord Encode(Record<TKey, TValue> item, in Stamp stamp) =>
        Record(item.Key, key, item.Value, value, topic, item.Timestamp.ToUnixTimeMilliseconds(), item.Headers);
}
