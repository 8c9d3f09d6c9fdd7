namespace KStreamSharp;

/// <summary>The bounds of an <see cref="EmbeddedBroker"/>.</summary>
public sealed record EmbeddedBrokerOptions
{
    /// <summary>The bytes that a partition of an input or output topic keeps, oldest dropped first; default 256 MiB.</summary>
    public long RetentionBytes { get; init; } = 256L << 20;

    /// <summary>How long compacted topics keep the records that say that a key was deleted; default 7 days.</summary>
    public TimeSpan DeleteRetention { get; init; } = TimeSpan.FromDays(7);

    /// <summary>The largest record, key and value and headers together, in bytes; default 1 MiB, as Kafka's <c>message.max.bytes</c>.</summary>
    public int MaxRecordBytes { get; init; } = 1 << 20;
}

/// <summary>A record as <see cref="EmbeddedBroker.ReadAll"/> answers it.</summary>
/// <param name="Partition">The partition, from 0.</param>
/// <param name="Offset">The offset in the partition.</param>
/// <param name="Timestamp">The record's timestamp, in whole milliseconds.</param>
/// <param name="Key">The key, or null when it has none.</param>
/// <param name="Value">The value, or null when it has none.</param>
/// <param name="Headers">The headers.</param>
public sealed record EmbeddedRecord(int Partition, long Offset, DateTimeOffset Timestamp, byte[]? Key, byte[]? Value, Headers Headers);

/// <summary>A record for <see cref="EmbeddedBroker.Produce(string, IEnumerable{NewRecord})"/>.</summary>
/// <param name="Key">The key, or null for none.</param>
/// <param name="Value">The value, or null for none.</param>
/// <param name="Timestamp">The timestamp, or null for the broker's time.</param>
/// <param name="Headers">The headers, or null for none.</param>
/// <param name="Partition">The partition, or null: chosen by the key, without a key in turn.</param>
public sealed record NewRecord(byte[]? Key, byte[]? Value, DateTimeOffset? Timestamp = null, Headers? Headers = null, int? Partition = null);
