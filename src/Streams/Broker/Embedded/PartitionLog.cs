using System.Buffers.Binary;
using System.Text;

namespace KStreamSharp;

/// <summary>What an entry of a partition's log is.</summary>
internal enum EntryKind : byte
{
    Data,
    Commit,
    Abort,
}

/// <summary>One entry: where its bytes lie in a chunk, and the transaction it belongs to (0: none). Lengths are −1 where a part is absent.</summary>
internal struct LogEntry
{
    public long Offset;
    public long Timestamp;
    public long AppendedAt;
    public long Transaction;
    public byte[] Data;
    public int Start;
    public int KeyLength;
    public int ValueLength;
    public int HeadersLength;
    public EntryKind Kind;

    public readonly int Size => Math.Max(KeyLength, 0) + Math.Max(ValueLength, 0) + HeadersLength;

    public readonly ReadOnlySpan<byte> Key => KeyLength < 0 ? default : Data.AsSpan(Start, KeyLength);

    public readonly ReadOnlySpan<byte> Value => ValueLength < 0 ? default : Data.AsSpan(Start + Math.Max(KeyLength, 0), ValueLength);

    public readonly ReadOnlySpan<byte> EncodedHeaders => Data.AsSpan(Start + Math.Max(KeyLength, 0) + Math.Max(ValueLength, 0), HeadersLength);

    public readonly RecordView View => new(Offset, Timestamp, Key, KeyLength >= 0, Value, ValueLength >= 0, HeaderFormat.Read(EncodedHeaders));
}

/// <summary>The log of one partition, in memory: entries in order of offsets, with gaps where something was removed.</summary>
/// <remarks>Chunks are only ever appended to, so a batch that was handed out stays good while the log goes on.</remarks>
internal sealed class PartitionLog(TopicPartition partition, TopicCleanup cleanup)
{
    private const int ChunkSizeMin = 1 << 12;
    private const int ChunkSizeMax = 1 << 18;
    private const int EntryOverhead = 64;

    private readonly Dictionary<long, long> _open = [];
    private readonly Dictionary<long, long> _aborted = [];
    private List<LogEntry> _entries = [];
    private int _first;
    private byte[] _chunk = [];
    private int _used;
    private int _entriesAfterCompaction;

    public TopicPartition Partition { get; } = partition;

    public TopicCleanup Cleanup { get; } = cleanup;

    /// <summary>The topic is gone; whoever still holds this log writes nowhere.</summary>
    public bool IsDeleted { get; set; }

    public long Start { get; private set; }

    public long End { get; private set; }

    public long Bytes { get; private set; }

    public int Count => _entries.Count - _first;

    /// <summary>The first offset, of those kept, of the oldest transaction whose end this partition has not seen, else the end.</summary>
    public long LastStable => _open.Count == 0 ? End : Math.Max(Start, _open.Values.Min());

    public IEnumerable<LogEntry> Entries => _entries.Skip(_first);

    public IReadOnlyCollection<long> Open => _open.Keys;

    public void Append(LogEntry entry, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ReadOnlySpan<byte> headers)
    {
        int size = key.Length + value.Length + headers.Length;
        if (_chunk.Length - _used < size)
        {
            _chunk = new byte[Math.Max(Math.Clamp(2 * _chunk.Length, ChunkSizeMin, ChunkSizeMax), size)];
            _used = 0;
        }

        key.CopyTo(_chunk.AsSpan(_used));
        value.CopyTo(_chunk.AsSpan(_used + key.Length));
        headers.CopyTo(_chunk.AsSpan(_used + key.Length + value.Length));
        entry.Data = _chunk;
        entry.Start = _used;
        entry.HeadersLength = headers.Length;
        _used += size;
        _entries.Add(entry);
        Bytes += size + EntryOverhead;
        End = entry.Offset + 1;
        if (entry.Transaction == 0)
        {
            return;
        }

        if (entry.Kind == EntryKind.Data)
        {
            _open.TryAdd(entry.Transaction, entry.Offset);
            return;
        }

        _open.Remove(entry.Transaction);
        if (entry.Kind == EntryKind.Abort)
        {
            _aborted[entry.Transaction] = entry.Offset;
        }
    }

    /// <summary>The index of the first entry at or after an offset.</summary>
    public int IndexOf(long offset)
    {
        int low = _first;
        int high = _entries.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_entries[middle].Offset < offset)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    /// <summary>Collects what a reader at a position can see; answers its next position.</summary>
    public long Collect(long position, bool readCommitted, int max, List<LogEntry> into)
    {
        long limit = readCommitted ? LastStable : End;
        int index = IndexOf(position);
        while (into.Count < max)
        {
            if (index == _entries.Count || _entries[index].Offset >= limit)
            {
                return Math.Max(position, limit);
            }

            LogEntry entry = _entries[index++];
            position = entry.Offset + 1;
            if (entry.Kind == EntryKind.Data && !(readCommitted && entry.Transaction != 0 && _aborted.ContainsKey(entry.Transaction)))
            {
                into.Add(entry);
            }
        }

        return position;
    }

    /// <summary>Removes what is below an offset.</summary>
    public void DeleteTo(long offset)
    {
        offset = Math.Min(offset, End);
        if (offset <= Start)
        {
            return;
        }

        Start = offset;
        int keep = IndexOf(offset);
        while (_first < keep)
        {
            DropFirst();
        }

        Trim();
    }

    /// <summary>Drops the oldest entries while there are more bytes than allowed; never what is not stable.</summary>
    public void Retain(long bytesMax)
    {
        if (Cleanup != TopicCleanup.Delete || Bytes <= bytesMax)
        {
            return;
        }

        long stable = LastStable;
        while (Bytes > bytesMax && _first < _entries.Count && _entries[_first].Offset < stable)
        {
            Start = _entries[_first].Offset + 1;
            DropFirst();
        }

        Trim();
    }

    public bool WantsCompaction => Cleanup == TopicCleanup.Compact && Count > (2 * _entriesAfterCompaction) + 20_000;

    /// <summary>Keeps the newest record of each key below the last stable offset; tombstones go when they are old enough.</summary>
    public void Compact(long now, TimeSpan deleteRetention)
    {
        if (Cleanup != TopicCleanup.Compact)
        {
            return;
        }

        long stable = LastStable;
        Dictionary<byte[], long> newest = new(KeyComparer.Instance);
        Dictionary<byte[], long>.AlternateLookup<ReadOnlySpan<byte>> bySpan = newest.GetAlternateLookup<ReadOnlySpan<byte>>();
        for (int i = _first; i < _entries.Count && _entries[i].Offset < stable; i++)
        {
            LogEntry entry = _entries[i];
            if (entry.Kind == EntryKind.Data && entry.KeyLength >= 0 && !_aborted.ContainsKey(entry.Transaction))
            {
                bySpan[entry.Key] = entry.Offset;
            }
        }

        List<LogEntry> old = _entries;
        int first = _first;
        long end = End;
        _entries = [];
        _first = 0;
        _chunk = [];
        _used = 0;
        Bytes = 0;
        for (int i = first; i < old.Count; i++)
        {
            LogEntry entry = old[i];
            if (entry.Offset < stable)
            {
                if (!IsKept(entry))
                {
                    continue;
                }

                // Committed, and its marker goes: the record stands for itself from now on.
                entry.Transaction = 0;
            }

            Append(entry, entry.Key, entry.Value, entry.EncodedHeaders);
        }

        Forget(stable);

        End = end;
        _entriesAfterCompaction = _entries.Count;

        bool IsKept(in LogEntry entry) =>
            entry.Kind == EntryKind.Data
            && entry.KeyLength >= 0
            && bySpan.TryGetValue(entry.Key, out long offset)
            && offset == entry.Offset
            && (entry.ValueLength >= 0 || now - entry.AppendedAt < deleteRetention.TotalMilliseconds);
    }

    /// <summary>After a reload: the log ended and began here, though nothing may be left of it.</summary>
    public void SetBounds(long start, long end)
    {
        Start = start;
        End = end;
    }

    /// <summary>The bytes go with the entry, though its place goes later.</summary>
    private void DropFirst()
    {
        Bytes -= _entries[_first].Size + EntryOverhead;
        _entries[_first++] = default;
    }

    private void Trim()
    {
        if (_first > 1024 && _first > _entries.Count / 2)
        {
            _entries.RemoveRange(0, _first);
            _first = 0;
            Forget(Start);
        }
    }

    /// <summary>Nothing is left of what was aborted before an offset.</summary>
    private void Forget(long before)
    {
        foreach ((long transaction, long marker) in _aborted)
        {
            if (marker < before)
            {
                _aborted.Remove(transaction);
            }
        }
    }
}

/// <summary>Headers as bytes: count, then of each the name's length and UTF-8, and the value's length (−1: null) and bytes. Nothing for no headers.</summary>
internal static class HeaderFormat
{
    public static byte[] Write(Headers headers)
    {
        if (headers.Count == 0)
        {
            return [];
        }

        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream, Encoding.UTF8);
        writer.Write(headers.Count);
        foreach ((string name, byte[]? value) in headers)
        {
            writer.Write(name);
            writer.Write(value?.Length ?? -1);
            writer.Write(value ?? []);
        }

        writer.Flush();
        return stream.ToArray();
    }

    public static Headers Read(ReadOnlySpan<byte> data)
    {
        if (data.IsEmpty)
        {
            return Headers.Empty;
        }

        using BinaryReader reader = new(new MemoryStream(data.ToArray()), Encoding.UTF8);
        KeyValuePair<string, byte[]?>[] items = new KeyValuePair<string, byte[]?>[BinaryPrimitives.ReadInt32LittleEndian(data)];
        reader.ReadInt32();
        for (int i = 0; i < items.Length; i++)
        {
            string name = reader.ReadString();
            int length = reader.ReadInt32();
            items[i] = new(name, length < 0 ? null : reader.ReadBytes(length));
        }

        return new Headers(items);
    }
}
