using System.Buffers.Binary;

namespace KStreamSharp;

/// <summary>Brings a store from where it is up to an end of its changelog partition, read committed; takeover, step 3.</summary>
internal sealed class ChangelogReplay : IDisposable
{
    private const int RecordsPerStep = 10_000;

    private readonly InstanceContext _parts;
    private readonly TopicPartition _changelog;
    private readonly Reader _reader;
    private readonly TransactionWait _wait;
    private readonly KeyOrder _order = new();

    /// <param name="parts">The parts of the instance.</param>
    /// <param name="changelog">The partition.</param>
    /// <param name="from">Where the changelog goes on after what the store holds.</param>
    public ChangelogReplay(InstanceContext parts, TopicPartition changelog, long from)
    {
        _parts = parts;
        _changelog = changelog;
        _wait = new TransactionWait(parts);
        From = from;
        _reader = parts.Broker.CreateReader(readCommitted: true, hurries: true);
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
    public bool Step(ShardStore store, long end)
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
            Apply(batch, store);
        }
        else if (Position < end)
        {
            // Behind the end of what can be read, too, where the reader is told of no end.
            _wait.Go(seconds => Log.RestoreWaits(_parts.Logger, _changelog.Partition, Position, _changelog, end, seconds));
        }

        return batch is not null;
    }

    public void Dispose() => _reader.Dispose();

    private void Apply(RecordBatch batch, ShardStore store)
    {
        using StoreBatch changes = store.NewBatch();
        byte[]? newest = null;
        foreach (int i in _order.Of(batch))
        {
            RecordView record = batch[i];
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
        StoredMarker? last = store.ReadMarker();
        if (newest is not null)
        {
            Marker = CommitMarker.Read(newest);
        }

        changes.PutMarker(Position, batch.TimestampAt(batch.Count - 1), newest ?? last?.Marker?.Write() ?? default);
        store.Write(changes);
    }

    /// <summary>
    /// The order in which a batch goes into the store: about that of its keys, which RocksDB takes about three times as fast
    /// as any other; records of one key in the order of the log.
    /// </summary>
    private sealed class KeyOrder
    {
        private ulong[] _prefixes = new ulong[RecordsPerStep];
        private int[] _indexes = new int[RecordsPerStep];

        public ReadOnlySpan<int> Of(RecordBatch batch)
        {
            if (_indexes.Length < batch.Count)
            {
                (_prefixes, _indexes) = (new ulong[batch.Count], new int[batch.Count]);
            }

            // What all keys begin with tells nothing: the eight bytes behind it are compared. Markers have no key.
            ReadOnlySpan<byte> first = default;
            for (int i = 0; i < batch.Count; i++)
            {
                if (ShardChanges.ReadKey(batch[i].Key, out ReadOnlySpan<byte> key) is not null)
                {
                    first = first.IsEmpty ? key : first[..first.CommonPrefixLength(key)];
                    if (first.IsEmpty)
                    {
                        break;
                    }
                }
            }

            Span<byte> bytes = stackalloc byte[sizeof(ulong)];
            for (int i = 0; i < batch.Count; i++)
            {
                ShardChanges.ReadKey(batch[i].Key, out ReadOnlySpan<byte> key);
                key = key.Length <= first.Length ? default : key[first.Length..];
                bytes.Clear();
                key[..Math.Min(key.Length, bytes.Length)].CopyTo(bytes);
                _prefixes[i] = BinaryPrimitives.ReadUInt64BigEndian(bytes);
                _indexes[i] = i;
            }

            Array.Sort(_prefixes, _indexes, 0, batch.Count);
            for (int begin = 0, end; begin < batch.Count; begin = end)
            {
                for (end = begin + 1; end < batch.Count && _prefixes[end] == _prefixes[begin]; end++)
                {
                }

                if (end - begin > 1)
                {
                    Array.Sort(_indexes, begin, end - begin);
                }
            }

            return _indexes.AsSpan(0, batch.Count);
        }
    }
}
