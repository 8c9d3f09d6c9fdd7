namespace KStreamSharp;

/// <summary>One topic partition that a shard reads, and how far.</summary>
internal sealed class Source(Inlet inlet, TopicPartition partition, long position)
{
    private RecordBatch? _batch;
    private int _next;

    public Inlet Inlet { get; } = inlet;

    public TopicPartition Partition { get; } = partition;

    /// <summary>The next offset to process.</summary>
    public long Position { get; private set; } = position;

    /// <summary>The position of the last commit.</summary>
    public long Committed { get; private set; } = position;

    /// <summary>
    /// Below which offset repartition records have been deleted here. Begins at 0, not at the first position: what many
    /// short lives of a shard leave behind each would never be deleted.
    /// </summary>
    public long Purged { get; set; }

    public bool HasRecord => _batch is not null;

    /// <summary>The timestamp of the next record.</summary>
    public long NextTimestamp => _batch!.TimestampAt(_next);

    /// <summary>The next record; look at it, then <see cref="Advance"/>.</summary>
    public RecordView Next => _batch![_next];

    /// <summary>Reads a batch if the last one is used up. The position moves past markers and aborted records too.</summary>
    public void Fill(Reader reader, int max)
    {
        if (_batch is not null)
        {
            return;
        }

        _batch = reader.Read(Partition, max);
        _next = 0;
        if (_batch is null)
        {
            Position = Math.Max(Position, reader.Position(Partition));
        }
    }

    public void Advance(Reader reader)
    {
        Position = _batch![_next].Offset + 1;
        if (++_next == _batch.Count)
        {
            _batch = null;
            Position = Math.Max(Position, reader.Position(Partition));
        }
    }

    /// <summary>Leaves the rest unread: a finite run ends here, and the next one begins here.</summary>
    public void StopAt(long end, Reader reader)
    {
        _batch = null;
        Position = Math.Max(Position, end);
        reader.Assign(Partition, Position);
    }

    /// <summary>The committed position has moved up to here.</summary>
    public void MarkCommitted() => Committed = Position;

    /// <summary>Goes back to the last commit.</summary>
    public void Rewind(Reader reader)
    {
        _batch = null;
        Position = Committed;
        reader.Assign(Partition, Committed);
    }
}
