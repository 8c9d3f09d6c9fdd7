using Confluent.Kafka;

namespace KStreamSharp;

/// <summary>The records of one partition that the client has handed over: the batch that is out, then those that wait.</summary>
internal sealed class KafkaPartition(long position, RecordMemory memory) : RecordBatch
{
    private const int RecordsMax = 20_000;
    /// <summary>The bytes of records after which a buffer is full.</summary>
    public const int BytesMax = 16 << 20;

    private Entry[] _entries = new Entry[64];
    private int _head;
    private int _batch;
    private int _tail;
    private int _bytes;
    private long _seenEnd = -1;

    /// <summary>The next offset to answer.</summary>
    public long Position { get; private set; } = position;

    public bool AtEnd { get; private set; }

    public bool IsOutOfRange { get; set; }

    public bool IsPaused { get; set; }

    public bool IsFull => Waiting >= RecordsMax || _bytes >= BytesMax;

    /// <summary>The records that wait behind the batch that is out.</summary>
    public int Waiting => _tail - _head - _batch;

    public override int Count => _batch;

    public override RecordView this[int index]
    {
        get
        {
            ref readonly Entry entry = ref _entries[_head + index];
            return new(entry.Offset, entry.Timestamp, entry.Key.Span, entry.Key.IsPresent, entry.Value.Span, entry.Value.IsPresent, entry.Headers);
        }
    }

    public override long TimestampAt(int index) => _entries[_head + index].Timestamp;

    public void Add(ConsumeResult<RecordMemory.Bytes, RecordMemory.Bytes> record)
    {
        if (_tail == _entries.Length)
        {
            Array.Resize(ref _entries, _entries.Length * 2);
        }

        Message<RecordMemory.Bytes, RecordMemory.Bytes> message = record.Message;
        _entries[_tail++] = new(record.Offset.Value, message.Timestamp.UnixTimestampMs, message.Key, message.Value, Translate(message.Headers));
        _bytes += message.Key.Length + message.Value.Length;
        _seenEnd = -1;
    }

    /// <summary>After the records so far nothing can be read below this offset: only the ends of transactions, and what was aborted or compacted.</summary>
    public void ReachEnd(long offset) => _seenEnd = offset;

    public RecordBatch? TakeBatch(int max)
    {
        _batch = Math.Min(max, _tail - _head);
        if (_batch > 0)
        {
            Position = _entries[_head + _batch - 1].Offset + 1;
        }

        AtEnd = Waiting == 0 && _seenEnd >= 0;
        if (AtEnd)
        {
            Position = Math.Max(Position, _seenEnd);
        }

        return _batch > 0 ? this : null;
    }

    /// <summary>The batch that is out is no longer valid.</summary>
    public void EndBatch()
    {
        for (; _batch > 0; _batch--)
        {
            ref Entry entry = ref _entries[_head++];
            _bytes -= entry.Key.Length + entry.Value.Length;
            memory.Release(entry.Key);
            memory.Release(entry.Value);
            entry = default;
        }

        if (_head == _tail)
        {
            _head = _tail = 0;
        }
        else if (_head > _entries.Length / 2)
        {
            Array.Copy(_entries, _head, _entries, 0, _tail - _head);
            (_head, _tail) = (0, _tail - _head);
        }
    }

    public void Clear()
    {
        _batch = _tail - _head;
        EndBatch();
    }

    private static Headers Translate(Confluent.Kafka.Headers? headers) => headers is null or { Count: 0 }
        ? Headers.Empty
        : new([.. headers.BackingList.Select(header => KeyValuePair.Create(header.Key, (byte[]?)header.GetValueBytes()))]);

    private readonly record struct Entry(long Offset, long Timestamp, RecordMemory.Bytes Key, RecordMemory.Bytes Value, Headers Headers);
}
