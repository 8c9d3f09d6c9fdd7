namespace KStreamSharp;

/// <summary>
/// Writes records and positions in transactions. One thread uses it. A call that fails throws
/// <see cref="BrokerException"/>, whose consequence says what to do.
/// </summary>
internal abstract class TransactionalWriter : IDisposable
{
    /// <summary>
    /// Fences every earlier writer of the same transactional id and settles its open transaction: committed if its end
    /// had been decided, else aborted.
    /// </summary>
    public abstract void Initialize();

    /// <summary>Begins a transaction.</summary>
    public abstract void Begin();

    /// <summary>
    /// Appends a record to the open transaction. The memory is the caller's again when the call returns. A delivery that
    /// fails later makes <see cref="Commit"/> throw.
    /// </summary>
    public abstract void Append(TopicPartition partition, in OutgoingRecord record);

    /// <summary>Adds positions (next offsets to read) of a group to the open transaction.</summary>
    public abstract void SendOffsets(string group, IReadOnlyList<KeyValuePair<TopicPartition, long>> positions, GroupToken token);

    /// <summary>
    /// Commits: records and positions together. Returns when the outcome is decided; readers of each partition see it
    /// then or a little later. After a Retry, call it again: it resumes.
    /// </summary>
    public abstract void Commit();

    /// <summary>Aborts the open transaction.</summary>
    public abstract void Abort();

    /// <summary>The offset of the last record of the last committed transaction on a partition.</summary>
    public abstract long LastOffset(TopicPartition partition);

    /// <summary>Closes. An open transaction is left to its time-out or to the next <see cref="Initialize"/> of the id.</summary>
    public abstract void Dispose();
}

/// <summary>Appends records without a transaction. One thread uses it.</summary>
internal abstract class OutputWriter : IDisposable
{
    /// <summary>Appends a record. The memory is the caller's again when the call returns.</summary>
    public abstract void Append(TopicPartition partition, in OutgoingRecord record);

    /// <summary>Returns when everything appended has been delivered; throws when something was not.</summary>
    public abstract void Flush();

    public abstract void Dispose();
}

/// <summary>A record to append. An absent key or value differs from an empty one.</summary>
internal readonly ref struct OutgoingRecord
{
    public OutgoingRecord(long timestamp, ReadOnlySpan<byte> key, bool hasKey, ReadOnlySpan<byte> value, bool hasValue, Headers headers)
    {
        Timestamp = timestamp;
        Key = key;
        HasKey = hasKey;
        Value = value;
        HasValue = hasValue;
        Headers = headers;
    }

    /// <summary>Milliseconds since 1970.</summary>
    public long Timestamp { get; }

    public ReadOnlySpan<byte> Key { get; }

    public bool HasKey { get; }

    public ReadOnlySpan<byte> Value { get; }

    public bool HasValue { get; }

    public Headers Headers { get; }
}
