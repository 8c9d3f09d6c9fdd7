namespace KStreamSharp;

/// <summary>Describes topics: their names and how their records become items of a stream.</summary>
public static class Topic
{
    /// <summary>A topic whose records have keys: an input of it is a keyed stream, its partitions own its keys.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values; a null value is an absent one (a tombstone).</typeparam>
    /// <param name="name">The topic's name.</param>
    /// <param name="key">The serde of the keys; null for <see cref="Serde.For{T}"/>.</param>
    /// <param name="value">The serde of the values; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="ArgumentException">The name is empty or not one that Kafka takes.</exception>
    public static KeyedTopic<TKey, TValue> Keyed<TKey, TValue>(string name, Serde<TKey>? key = null, Serde<TValue>? value = null) =>
        new(name, key ?? Serde.For<TKey>(), value ?? Serde.For<TValue>());

    /// <summary>
    /// A topic of which only the values count: keys are ignored when read and absent when written. A record without a value is a
    /// bad record, unless the type is a nullable value type; <see cref="ValuesOrNull{T}"/> is for the others.
    /// </summary>
    /// <typeparam name="T">The type of the values. A nullable reference type does not count here: at run time it is the type itself.</typeparam>
    /// <param name="name">The topic's name.</param>
    /// <param name="value">The serde of the values; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="ArgumentException">The name is empty or not one that Kafka takes.</exception>
    public static ValueTopic<T> Values<T>(string name, Serde<T>? value = null) => new(name, value ?? Serde.For<T>(), default(T) is null && typeof(T).IsValueType);

    /// <summary>As <see cref="Values{T}"/>, where a record may have no value (a tombstone): that is a null item.</summary>
    /// <typeparam name="T">The type of the values that are there; for value types take <c>Values&lt;T?&gt;</c>.</typeparam>
    /// <param name="name">The topic's name.</param>
    /// <param name="value">The serde of the values; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="ArgumentException">The name is empty or not one that Kafka takes.</exception>
    public static ValueTopic<T?> ValuesOrNull<T>(string name, Serde<T>? value = null)
        where T : class => new(name, (value ?? Serde.For<T>())!, takesNull: true);

    /// <summary>A topic whose records are the items, with key, value, timestamp and headers; keys may be absent.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="name">The topic's name.</param>
    /// <param name="key">The serde of the keys; null for <see cref="Serde.For{T}"/>.</param>
    /// <param name="value">The serde of the values; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="ArgumentException">The name is empty or not one that Kafka takes.</exception>
    public static RecordTopic<TKey, TValue> Records<TKey, TValue>(string name, Serde<TKey>? key = null, Serde<TValue>? value = null) =>
        new(name, key ?? Serde.For<TKey>(), value ?? Serde.For<TValue>());
}

/// <summary>A topic with keys; made by <see cref="Topic.Keyed{TKey, TValue}"/>.</summary>
/// <typeparam name="TKey">The type of the keys.</typeparam>
/// <typeparam name="TValue">The type of the values.</typeparam>
public sealed class KeyedTopic<TKey, TValue>
{
    internal KeyedTopic(string name, Serde<TKey> key, Serde<TValue> value)
    {
        Name = TopicName.Checked(name);
        Key = key;
        Value = value;
    }

    /// <summary>The topic's name.</summary>
    public string Name { get; }

    /// <summary>The serde of the keys.</summary>
    public Serde<TKey> Key { get; }

    /// <summary>The serde of the values.</summary>
    public Serde<TValue> Value { get; }

    /// <summary>How a person reads and writes its records.</summary>
    internal TopicForm Form => new TopicForm<TKey, TValue>(Name, Key, Value);
}

/// <summary>A topic of values; made by <see cref="Topic.Values{T}"/> or <see cref="Topic.ValuesOrNull{T}"/>.</summary>
/// <typeparam name="T">The type of the values.</typeparam>
public sealed class ValueTopic<T>
{
    internal ValueTopic(string name, Serde<T> value, bool takesNull)
    {
        Name = TopicName.Checked(name);
        Value = value;
        TakesNull = takesNull;
    }

    /// <summary>The topic's name.</summary>
    public string Name { get; }

    /// <summary>The serde of the values.</summary>
    public Serde<T> Value { get; }

    /// <summary>Whether a record without a value is an item.</summary>
    internal bool TakesNull { get; }

    /// <summary>How a person reads and writes its records.</summary>
    internal TopicForm Form => new TopicForm<string, T>(Name, null, Value);
}

/// <summary>A topic of whole records; made by <see cref="Topic.Records{TKey, TValue}"/>.</summary>
/// <typeparam name="TKey">The type of the keys.</typeparam>
/// <typeparam name="TValue">The type of the values.</typeparam>
public sealed class RecordTopic<TKey, TValue>
{
    internal RecordTopic(string name, Serde<TKey> key, Serde<TValue> value)
    {
        Name = TopicName.Checked(name);
        Key = key;
        Value = value;
    }

    /// <summary>The topic's name.</summary>
    public string Name { get; }

    /// <summary>The serde of the keys.</summary>
    public Serde<TKey> Key { get; }

    /// <summary>The serde of the values.</summary>
    public Serde<TValue> Value { get; }

    /// <summary>How a person reads and writes its records.</summary>
    internal TopicForm Form => new TopicForm<TKey, TValue>(Name, Key, Value);
}

/// <summary>A record as a topic has it.</summary>
/// <typeparam name="TKey">The type of the key.</typeparam>
/// <typeparam name="TValue">The type of the value.</typeparam>
/// <param name="Key">The key; null (for value types: the default) when the record has none.</param>
/// <param name="Value">The value; null (for value types: the default) when the record has none.</param>
/// <param name="Timestamp">The record's timestamp, in whole milliseconds.</param>
/// <param name="Headers">The record's headers.</param>
public readonly record struct Record<TKey, TValue>(TKey Key, TValue Value, DateTimeOffset Timestamp, Headers Headers);

/// <summary>How an input treats its topic.</summary>
public sealed record InputOptions
{
    /// <summary>What to do with a record that cannot be decoded or has no key where one is needed; stop is the default.</summary>
    public BadRecords BadRecords { get; init; } = BadRecords.Stop;

    /// <summary>Where to begin in a topic that the application has never read; the earliest record is the default.</summary>
    public StartAt StartAt { get; init; } = StartAt.Earliest;

    /// <summary>
    /// How the topic's producers spread keys over partitions. It matters where values of several topics meet by key, as in a
    /// join: there all must be spread alike, and records are looked at. The default is Java's.
    /// </summary>
    public TopicPartitioner Partitioner { get; init; } = TopicPartitioner.Murmur2;
}

/// <summary>How producers spread keys over the partitions of a topic.</summary>
public enum TopicPartitioner
{
    /// <summary>Java's default, and what this engine does: <c>partitioner=murmur2_random</c> in librdkafka.</summary>
    Murmur2,

    /// <summary>librdkafka's default (<c>consistent_random</c>), so that of most producers in .NET, Python and Go.</summary>
    Crc32,

    /// <summary>Another way, the same for all topics that meet; records are not looked at.</summary>
    Other,
}

/// <summary>What an input does with a record that cannot be decoded or lacks the key that it needs.</summary>
public enum BadRecords
{
    /// <summary>Stop the application with an error that names topic, partition, offset and step; nothing is lost.</summary>
    Stop,

    /// <summary>Pass over the record, log it and count it.</summary>
    Skip,
}

/// <summary>Where an application begins in a topic that it has never read.</summary>
public enum StartAt
{
    /// <summary>At the oldest record that the topic keeps.</summary>
    Earliest,

    /// <summary>After the newest record that the topic has when the shard is first taken over.</summary>
    Latest,
}
