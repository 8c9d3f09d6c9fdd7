namespace KStreamSharp;

/// <summary>Brings a store from where it is up to an end of its changelog partition, read committed; takeover, step 3.</summary>
internal sealed class ChangelogReplay : IDisposable
{
    private const int RecordsPerStep = 10_000;

    private readonly EngineParts _parts;
    private readonly TopicPartition _changelog;
    private readonly ShardStore _store;
    private readonly Reader _reader;
    private readonly TransactionWait _wait;

    /// <param name="parts">The parts of the instance.</param>
    /// <param name="changelog">The partition.</param>
    /// <param name="store">The store.</param>
    /// <param name="from">Where the changelog goes on after what the store holds.</param>
    public ChangelogReplay(EngineParts parts, TopicPartition changelog, ShardStore store, long from)
    {
        _parts = parts;
        _changelog = changelog;
        _store = store;
        _wait = new TransactionWait(parts);
        From = from;
        _reader = parts.Broker.CreateReader(readCommitted: true);
        _reader.Assign(changelog, from);
    }

    /// <summary>Where it began.</summary>
    public long From { get; }

    /// <summary>The records applied.</summary>
    public long Records { get; private set; }

    public long Position => _reader.Position(_changelog);

    /// <summary>The newest commit marker that was read; null when there was none.</summary>
    public CommitMarker? Marker { get; private set; }

    /// <summary>A batch; true when something was read. The store is complete when <see cref="Position"/> has reached the end.</summary>
    /// <exception cref="StreamException">The changelog was cut meanwhile, or the disk fails.</exception>
    public bool Step(long end)
    {
        RecordBatch? batch;
        try
        {
            batch = _reader.Read(_changelog, RecordsPerStep);
        }
        catch (OffsetOutOfRangeException error)
        {
            throw new StreamException(
                ExitCode.State, $"Shard {_changelog.Partition} of application '{_parts.App}' is not taken over: {error.Message} The changelog was cut during the restore; start again.", error);
        }

        if (batch is not null)
        {
            _wait.End();
            Apply(batch);
        }
        else if (Position < end)
        {
            // Behind the end of what can be read, too, where the reader is told of no end.
            _wait.Go(seconds => Log.RestoreWaits(_parts.Logger, _changelog.Partition, Position, _changelog, end, seconds));
        }

        return batch is not null;
    }

    public void Dispose() => _reader.Dispose();

    private void Apply(RecordBatch batch)
    {
        using StoreBatch changes = _store.NewBatch();
        byte[]? newest = null;
        long time = 0;
        for (int i = 0; i < batch.Count; i++)
        {
            RecordView record = batch[i];
            time = record.Timestamp;
            string? step = ShardChanges.ReadKey(record.Key, out ReadOnlySpan<byte> key);
            if (step is null)
            {
                newest = record.Value.ToArray();
            }
            else if (record.HasValue)
            {
                changes.Put(step, key, record.Value);
                if (Envelope.Read(record.Value, step).NotifyAt is not Envelope.Never and long notifyAt)
                {
                    changes.PutTimer(step, notifyAt, key);
                }
            }
            else
            {
                changes.Delete(step, key);
            }
        }

        Records += batch.Count;
        StoredMarker? last = _store.ReadMarker();
        if (newest is not null)
        {
            Marker = CommitMarker.Read(newest);
        }

        changes.PutMarker(Position, time, newest ?? last?.Marker?.Write() ?? default);
        _store.Write(changes);
    }
}
