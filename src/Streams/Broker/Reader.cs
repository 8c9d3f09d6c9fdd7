namespace KStreamSharp;

/// <summary>Reads partitions that it is told to read, from offsets that it is told; knows nothing of groups.</summary>
internal abstract class Reader : IDisposable
{
    /// <summary>Starts to read a partition at an offset (or, if assigned already, goes there).</summary>
    public abstract void Assign(TopicPartition partition, long offset);

    /// <summary>Stops reading a partition; its last batch is no longer valid.</summary>
    public abstract void Unassign(TopicPartition partition);

    /// <summary>
    /// Reads up to <paramref name="max"/> records of one assigned partition, or answers null when none is there now.
    /// The batch is valid until the next call for the same partition.
    /// </summary>
    /// <exception cref="OffsetOutOfRangeException">The position lies outside of what the partition keeps.</exception>
    /// <exception cref="BrokerException">The broker refused.</exception>
    public abstract RecordBatch? Read(TopicPartition partition, int max);

    /// <summary>
    /// The next offset to be read: past the records answered, and past the markers, aborted and compacted records after
    /// them as far as they have been seen.
    /// </summary>
    public abstract long Position(TopicPartition partition);

    /// <summary>
    /// Whether the last <see cref="Read"/> reached the end of what this reader can see (read committed: the last stable
    /// offset). <see cref="Position"/> is then that end.
    /// </summary>
    public abstract bool AtEnd(TopicPartition partition);

    /// <summary>Waits until an assigned partition may have something to read, or until the time is over.</summary>
    public abstract void Wait(TimeSpan atMost);

    /// <summary>Wakes a <see cref="Wait"/> under way, or the next one; the one call that other threads may make.</summary>
    public abstract void Wake();

    public abstract void Dispose();
}

/// <summary>Records of one partition, in order. Spans and headers point into the client's memory.</summary>
internal abstract class RecordBatch
{
    /// <summary>The number of records, at least 1.</summary>
    public abstract int Count { get; }

    /// <summary>The record at an index from 0.</summary>
    public abstract RecordView this[int index] { get; }

    /// <summary>The timestamp of a record, in milliseconds since 1970, without touching the rest.</summary>
    public abstract long TimestampAt(int index);
}

/// <summary>A record as it lies in a batch. An absent key or value differs from an empty one.</summary>
internal readonly ref struct RecordView
{
    public RecordView(long offset, long timestamp, ReadOnlySpan<byte> key, bool hasKey, ReadOnlySpan<byte> value, bool hasValue, Headers headers)
    {
        Offset = offset;
        Timestamp = timestamp;
        Key = key;
        HasKey = hasKey;
        Value = value;
        HasValue = hasValue;
        Headers = headers;
    }

    public long Offset { get; }

    /// <summary>Milliseconds since 1970.</summary>
    public long Timestamp { get; }

    public ReadOnlySpan<byte> Key { get; }

    public bool HasKey { get; }

    public ReadOnlySpan<byte> Value { get; }

    public bool HasValue { get; }

    public Headers Headers { get; }
}
