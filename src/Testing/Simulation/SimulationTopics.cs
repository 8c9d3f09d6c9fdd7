using System.Buffers;

namespace KStreamSharp.Testing;

/// <summary>The topics of a <see cref="Simulation"/>: records go into the inputs, and a check reads inputs and outputs.</summary>
public sealed class SimulationTopics
{
    private readonly EmbeddedBroker _broker;

    internal SimulationTopics(EmbeddedBroker broker, Guarantee guarantee, Func<string, IEnumerable<(byte[] Key, byte[]? Envelope)>> states)
    {
        States = states;
        _broker = broker;
        Guarantee = guarantee;
    }

    /// <summary>The guarantee of the run. With <see cref="Guarantee.AtLeastOnce"/> outputs may repeat.</summary>
    public Guarantee Guarantee { get; }

    /// <summary>What the changelog says of the keys of a step: the key, and its envelope or null when it was deleted.</summary>
    internal Func<string, IEnumerable<(byte[] Key, byte[]? Envelope)>> States { get; }

    /// <summary>The broker's time.</summary>
    internal DateTimeOffset Now => DateTimeOffset.FromUnixTimeMilliseconds(_broker.Now);

    /// <summary>The number of records pushed so far.</summary>
    public int Pushed { get; private set; }

    /// <summary>Appends a record to an input topic.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="topic">The topic.</param>
    /// <param name="key">The key.</param>
    /// <param name="value">The value.</param>
    public void Push<TKey, TValue>(KeyedTopic<TKey, TValue> topic, TKey key, TValue value) => Push(topic, key, value, timestamp: null, headers: null);

    internal void Push<TKey, TValue>(KeyedTopic<TKey, TValue> topic, TKey key, TValue value, DateTimeOffset? timestamp, Headers? headers)
    {
        ArgumentNullException.ThrowIfNull(topic);
        _broker.Produce(topic.Name, Bytes(topic.Name, RecordPart.Key, topic.Key, key), Bytes(topic.Name, RecordPart.Value, topic.Value, value), timestamp, headers);
        Pushed++;
    }

    /// <summary>All committed records of a topic, partition by partition, in the order of each partition.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="topic">The topic: an input or an output of the flow.</param>
    public IReadOnlyList<KeyValuePair<TKey, TValue>> Records<TKey, TValue>(KeyedTopic<TKey, TValue> topic)
    {
        ArgumentNullException.ThrowIfNull(topic);
        return
        [
            .. _broker.ReadAll(topic.Name).Select(record => KeyValuePair.Create(
                topic.Key.Deserialize(record.Key, new(topic.Name, RecordPart.Key)),
                record.Value is null ? default! : topic.Value.Deserialize(record.Value, new(topic.Name, RecordPart.Value)))),
        ];
    }

    /// <summary>As <see cref="Records"/>, with timestamps and headers.</summary>
    internal IReadOnlyList<Record<TKey, TValue>> Whole<TKey, TValue>(KeyedTopic<TKey, TValue> topic) =>
    [
        .. _broker.ReadAll(topic.Name).Select(record => new Record<TKey, TValue>(
            topic.Key.Deserialize(record.Key, new(topic.Name, RecordPart.Key)),
            record.Value is null ? default! : topic.Value.Deserialize(record.Value, new(topic.Name, RecordPart.Value)),
            record.Timestamp,
            record.Headers)),
    ];

    private static byte[]? Bytes<T>(string topic, RecordPart part, Serde<T> serde, T value)
    {
        if (value is null)
        {
            return null;
        }

        ArrayBufferWriter<byte> buffer = new();
        serde.Serialize(value, buffer, new(topic, part));
        return buffer.WrittenSpan.ToArray();
    }
}
