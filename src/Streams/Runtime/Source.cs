namespace KStreamSharp;

/// <summary>One topic partition that a shard reads, and how far.</summary>
internal sealed class Source(Inlet inlet, TopicPartition partition, long position)
{
    private RecordBatch? _batch;
    private int _next;
    private long _ended;
    private long _taken;
    private long _skipped;
    private long _oldest = long.MaxValue;

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

    /// <summary>The next record is bad, and is passed over.</summary>
    public void Skip() => _skipped++;

    /// <summary>
    /// The timestamp of the oldest record since the last commit, in milliseconds since 1970, as the first record of each batch
    /// shows it; null when none was read or it has no timestamp.
    /// </summary>
    public long? Oldest => Position != Committed && _oldest is >= 0 and < long.MaxValue ? _oldest : null;

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
        else
        {
            _oldest = Math.Min(_oldest, NextTimestamp);
        }
    }

    /// <summary>The records processed since the last call.</summary>
    public long TakeRecords()
    {
        long before = _taken;
        _taken = _ended + (_batch is null ? 0 : _next);
        return _taken - before;
    }

    /// <summary>The bad records passed over since the last call.</summary>
    public long TakeSkipped()
    {
        long taken = _skipped;
        _skipped = 0;
        return taken;
    }

    public void Advance(Reader reader)
    {
        Position = _batch![_next].Offset + 1;
        if (++_next == _batch.Count)
        {
            Drop();
            Position = Math.Max(Position, reader.Position(Partition));
        }
    }

    /// <summary>Leaves the rest unread: a finite run ends here, and the next one begins here.</summary>
    public void StopAt(long end, Reader reader)
    {
        Drop();
        Position = Math.Max(Position, end);
        reader.Assign(Partition, Position);
    }

    /// <summary>The committed position has moved up to here.</summary>
    public void MarkCommitted()
    {
        Committed = Position;
        _oldest = _batch is null ? long.MaxValue : NextTimestamp;
    }

    /// <summary>Goes back to the last commit.</summary>
    public void Rewind(Reader reader)
    {
        Drop();
        Position = Committed;
        _oldest = long.MaxValue;
        reader.Assign(Partition, Committed);
    }

    private void Drop()
    {
        _ended += _batch is null ? 0 : _next;
        _batch = null;
    }
}
