namespace KStreamSharp;

/// <summary>Where records of one topic partition enter a shard: decodes them and pushes them into the flow.</summary>
internal abstract class Inlet(Step step, string topic)
{
    public Step Step { get; } = step;

    public string Topic { get; } = topic;

    /// <exception cref="BadRecordException">The record cannot be decoded, or its timestamp is no time.</exception>
    public abstract void Push(in RecordView record);
}

internal sealed class Inlet<T>(FlowInstance instance, Step step, string topic, Decoder<T> decoder, Port<T> next) : Inlet(step, topic)
{
    private readonly PartitionerCheck? _partitioner = PartitionerCheck.For(step, instance.Place);

    public override void Push(in RecordView record)
    {
        RecordTime.Check(record.Timestamp);
        instance.Watermark = Math.Max(instance.Watermark, record.Timestamp);
        _partitioner?.See(record);
        instance.CurrentStep = Step.Id;
        T item;
        try
        {
            item = decoder.Decode(record);
        }
        catch (Exception error) when (error is not BadRecordException)
        {
            throw new BadRecordException(error.Message, error);
        }

        next.Push(item, new Stamp(record.Timestamp, record.Headers));
    }
}

/// <summary>A record cannot become an item; the worker adds where, and applies the input's policy.</summary>
internal sealed class BadRecordException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Makes items of records.</summary>
internal abstract class Decoder<T>
{
    public abstract T Decode(in RecordView record);

    protected static TPart Part<TPart>(Serde<TPart> serde, ReadOnlySpan<byte> data, bool present, in SerdeContext context)
    {
        if (present)
        {
            return serde.Deserialize(data, context);
        }

        return default(TPart) is null
            ? default!
            : throw new BadRecordException($"the {context.Part.ToString().ToLowerInvariant()} is absent, and {TypeName.Of(typeof(TPart))} has no null (declare it as {TypeName.Of(typeof(TPart))}? to take it)");
    }
}

internal sealed class KeyedDecoder<TKey, TValue>(string topic, Serde<TKey> key, Serde<TValue> value) : Decoder<Keyed<TKey, TValue>>
{
    private readonly SerdeContext _key = new(topic, RecordPart.Key);
    private readonly SerdeContext _value = new(topic, RecordPart.Value);

    public override Keyed<TKey, TValue> Decode(in RecordView record)
    {
        if (!record.HasKey)
        {
            throw new BadRecordException("the record has no key, which a keyed input needs");
        }

        TKey made = key.Deserialize(record.Key, _key);
        return made is null
            ? throw new BadRecordException("the record's key is null, which a keyed input cannot use")
            : new(made, Part(value, record.Value, record.HasValue, _value));
    }
}

internal sealed class ValueDecoder<T>(string topic, Serde<T> value, bool takesNull) : Decoder<T>
{
    private readonly SerdeContext _value = new(topic, RecordPart.Value);

    public override T Decode(in RecordView record) => record.HasValue || takesNull || default(T) is not null
        ? Part(value, record.Value, record.HasValue, _value)
        : throw new BadRecordException($"the value is absent, and the topic is declared by Topic.Values<{TypeName.Of(typeof(T))}> (declare it by Topic.ValuesOrNull to take nulls)");
}

internal sealed class RecordDecoder<TKey, TValue>(string topic, Serde<TKey> key, Serde<TValue> value) : Decoder<Record<TKey, TValue>>
{
    private readonly SerdeContext _key = new(topic, RecordPart.Key);
    private readonly SerdeContext _value = new(topic, RecordPart.Value);

    public override Record<TKey, TValue> Decode(in RecordView record) => new(
        record.HasKey ? key.Deserialize(record.Key, _key) : default!,
        record.HasValue ? value.Deserialize(record.Value, _value) : default!,
        DateTimeOffset.FromUnixTimeMilliseconds(record.Timestamp),
        record.Headers);
}
