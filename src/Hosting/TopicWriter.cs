using System.Buffers;

namespace KStreamSharp.Hosting;

/// <summary>
/// Writes records to a topic beside the engine, to load data: in order, acknowledged by every in-sync replica, none twice by
/// this writer; without transactions, so readers see them at once. Not safe for several threads at once.
/// </summary>
/// <typeparam name="TKey">The type of the keys.</typeparam>
/// <typeparam name="TValue">The type of the values.</typeparam>
public sealed class TopicWriter<TKey, TValue> : IDisposable
{
    private readonly Broker _broker;
    private readonly KeyedTopic<TKey, TValue> _topic;
    private readonly OutputWriter _writer;
    private readonly TopicPartition[] _partitions;
    private readonly ArrayBufferWriter<byte> _key = new(64);
    private readonly ArrayBufferWriter<byte> _value = new(512);

    /// <summary>A writer that has written nothing.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="topic">The topic, which must exist.</param>
    /// <exception cref="StreamException">There is no such topic, or the broker does not answer.</exception>
    public TopicWriter(Broker broker, KeyedTopic<TKey, TValue> topic)
    {
        ArgumentNullException.ThrowIfNull(broker);
        ArgumentNullException.ThrowIfNull(topic);
        _broker = broker;
        _topic = topic;
        _partitions = BrokerCalls.Partitions(broker, topic.Name);
        _writer = broker.CreateOutputWriter();
    }

    /// <summary>The end offset of each partition: the records it was ever given, if none was written in a transaction.</summary>
    /// <exception cref="StreamException">The broker does not answer.</exception>
    public IReadOnlyList<long> EndOffsets() => BrokerCalls.Ask<long[]>(() => [.. _partitions.Select(partition => _broker.EndOffset(partition, committedOnly: false))]);

    /// <summary>The partition that a key goes to, chosen as Java's producer does it.</summary>
    /// <param name="key">The key.</param>
    public int PartitionOf(TKey key)
    {
        _key.ResetWrittenCount();
        _topic.Key.Serialize(key, _key, new(_topic.Name, RecordPart.Key));
        return Murmur2.Partition(_key.WrittenSpan, _partitions.Length);
    }

    /// <summary>Appends a record. It is written for certain when <see cref="Flush"/> has returned.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">The value.</param>
    /// <param name="timestamp">The timestamp; null for now.</param>
    /// <exception cref="StreamException">The broker refuses.</exception>
    public void Append(TKey key, TValue value, DateTimeOffset? timestamp = null)
    {
        int partition = PartitionOf(key);
        _value.ResetWrittenCount();
        _topic.Value.Serialize(value, _value, new(_topic.Name, RecordPart.Value));
        long milliseconds = (timestamp ?? TimeProvider.System.GetUtcNow()).ToUnixTimeMilliseconds();
        BrokerCalls.Ask(() => _writer.Append(_partitions[partition], new OutgoingRecord(milliseconds, _key.WrittenSpan, true, _value.WrittenSpan, true, Headers.Empty)));
    }

    /// <summary>Returns when everything appended has been written.</summary>
    /// <exception cref="StreamException">A record was not written; those after it may have been.</exception>
    public void Flush() => BrokerCalls.Ask(_writer.Flush);

    /// <summary>Closes the writer. What was not flushed may be lost.</summary>
    public void Dispose() => _writer.Dispose();
}
