namespace KStreamSharp;

/// <summary>What a failed broker call asks of its caller.</summary>
internal enum Consequence
{
    /// <summary>Call the same function again; it resumes.</summary>
    Retry,

    /// <summary>Abort the transaction and go back to the last committed positions.</summary>
    Abort,

    /// <summary>The group has moved on without this member: abort, give up the shards and wait for the next assignment.</summary>
    LostMembership,

    /// <summary>
    /// The writer is fenced or the end of its transaction is in doubt: dispose it, make a new one under the same id,
    /// initialize it (which settles the transaction) and take every touched shard over again.
    /// </summary>
    NewWriter,

    /// <summary>Nothing here can mend it: stop with the message.</summary>
    Stop,
}

/// <summary>A broker call failed; <see cref="Consequence"/> says what to do next.</summary>
internal sealed class BrokerException : Exception
{
    public BrokerException(Consequence consequence, string message, Exception? inner = null)
        : base(message, inner) => Consequence = consequence;

    public Consequence Consequence { get; }

    /// <summary>Of a writer: a newer one has its transactional id, or its transaction timed out.</summary>
    public bool IsFenced { get; init; }
}

/// <summary>A reader was told to start outside of what the partition keeps.</summary>
internal sealed class OffsetOutOfRangeException : Exception
{
    public OffsetOutOfRangeException(TopicPartition partition, long offset, long start, long end)
        : base($"Offset {offset} of {partition} does not exist: the partition keeps offsets {start} to {end}.")
    {
        Partition = partition;
        Offset = offset;
        Start = start;
        End = end;
    }

    public TopicPartition Partition { get; }

    public long Offset { get; }

    public long Start { get; }

    public long End { get; }
}
