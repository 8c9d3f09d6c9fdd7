namespace KStreamSharp;

/// <summary>The records of a topic as a person reads and writes them, by the serdes of the flow.</summary>
internal abstract class TopicForm
{
    /// <summary>Whether the records have keys.</summary>
    public abstract bool HasKeys { get; }

    /// <summary>The bytes of a key; null for none. A string as it is, anything else as JSON.</summary>
    /// <exception cref="FormatException">There is no such key.</exception>
    public abstract byte[]? ParseKey(string text);

    /// <summary>The bytes of a value, as <see cref="ParseKey"/>.</summary>
    /// <exception cref="FormatException">There is no such value.</exception>
    public abstract byte[]? ParseValue(string text);

    /// <summary>A key as JSON. What another serde wrote makes a serde throw whatever it likes.</summary>
    public abstract string ShowKey(ReadOnlySpan<byte> key);

    /// <summary>A value as JSON, as <see cref="ShowKey"/>.</summary>
    public abstract string ShowValue(ReadOnlySpan<byte> value);
}

/// <inheritdoc/>
/// <param name="topic">The topic's name.</param>
/// <param name="keys">The serde of the keys; null where they are of no interest.</param>
/// <param name="values">The serde of the values.</param>
internal sealed class TopicForm<TKey, TValue>(string topic, Serde<TKey>? keys, Serde<TValue> values) : TopicForm
{
    public override bool HasKeys => keys is not null;

    public override byte[]? ParseKey(string text) => keys is null ? null : Parse(keys, text, RecordPart.Key);

    public override byte[]? ParseValue(string text) => Parse(values, text, RecordPart.Value);

    public override string ShowKey(ReadOnlySpan<byte> key) => keys is null ? "null" : Show(keys, key, RecordPart.Key);

    public override string ShowValue(ReadOnlySpan<byte> value) => Show(values, value, RecordPart.Value);

    private byte[]? Parse<T>(Serde<T> serde, string text, RecordPart part)
    {
        if (serde.FromText(text) is not { } value)
        {
            return null;
        }

        ByteBuffer buffer = new(64);
        serde.Serialize(value, buffer, new(topic, part));
        return buffer.Written.ToArray();
    }

    private string Show<T>(Serde<T> serde, ReadOnlySpan<byte> data, RecordPart part) => serde.Deserialize(data, new(topic, part)) is { } value ? serde.ToJson(value) : "null";
}
