namespace KStreamSharp.Hosting;

/// <summary>A record of a topic as it lies there.</summary>
internal sealed record TopicRow(int Partition, long Offset, byte[]? Key, byte[]? Value);

/// <summary>What was read at once; the next positions of the partitions, and whether they are their ends.</summary>
internal sealed record TopicRows(IReadOnlyList<TopicRow> Rows, long[] Positions, bool AtEnd);

/// <summary>A topic of a broker, as the commands <c>produce</c> and <c>tail</c> use it: in this process, or in the one that holds the broker.</summary>
internal interface ITopicSession : IDisposable
{
    /// <summary>Appends a record, committed at once.</summary>
    /// <exception cref="StreamException">The broker refuses, or there is no such topic.</exception>
    void Produce(byte[]? key, byte[]? value);

    /// <summary>The committed records from positions on, as many as there are at once.</summary>
    /// <param name="positions">Where to go on; null for the newest few of each partition.</param>
    /// <param name="fromStart">With no positions: from the oldest on.</param>
    /// <exception cref="StreamException">The broker refuses, or there is no such topic.</exception>
    TopicRows Read(long[]? positions, bool fromStart);
}

/// <inheritdoc/>
internal sealed class TopicSession(Broker broker, string topic) : ITopicSession
{
    private const int Newest = 10;
    private const int BatchMax = 500;

    private readonly TopicPartition[] _partitions = BrokerCalls.Partitions(broker, topic);
    private Reader? _reader;
    private long[] _positions = [];

    public void Produce(byte[]? key, byte[]? value)
    {
        // Without a key any partition will do.
        int partition = key is null ? Random.Shared.Next(_partitions.Length) : Murmur2.Partition(key, _partitions.Length);
        long now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        BrokerCalls.Ask(() =>
        {
            using OutputWriter writer = broker.CreateOutputWriter();
            writer.Append(_partitions[partition], new OutgoingRecord(now, key, key is not null, value, value is not null, Headers.Empty));
            writer.Flush();
        });
    }

    public TopicRows Read(long[]? positions, bool fromStart)
    {
        GoTo(positions ?? [.. _partitions.Select(partition => First(partition, fromStart))]);
        List<TopicRow> rows = [];
        bool atEnd = true;
        foreach (TopicPartition partition in _partitions)
        {
            long end = BrokerCalls.Ask(() => broker.EndOffset(partition, committedOnly: true));
            RecordBatch? batch = BrokerCalls.Ask(() => ReadBatch(partition));
            for (int i = 0; i < (batch?.Count ?? 0); i++)
            {
                RecordView record = batch![i];
                rows.Add(new(partition.Partition, record.Offset, record.HasKey ? record.Key.ToArray() : null, record.HasValue ? record.Value.ToArray() : null));
            }

            _positions[partition.Partition] = _reader!.Position(partition);
            atEnd &= _positions[partition.Partition] >= end;
        }

        return new(rows, [.. _positions], atEnd);
    }

    public void Dispose() => _reader?.Dispose();

    private long First(TopicPartition partition, bool fromStart)
    {
        long start = BrokerCalls.Ask(() => broker.StartOffset(partition));
        return fromStart ? start : Math.Max(start, BrokerCalls.Ask(() => broker.EndOffset(partition, committedOnly: true)) - Newest);
    }

    private void GoTo(long[] positions)
    {
        _reader ??= broker.CreateReader(readCommitted: true);
        foreach (TopicPartition partition in _partitions.Where(partition => _positions.ElementAtOrDefault(partition.Partition) != positions[partition.Partition] || _positions.Length == 0))
        {
            BrokerCalls.Ask(() => _reader.Assign(partition, positions[partition.Partition]));
        }

        _positions = [.. positions];
    }

    private RecordBatch? ReadBatch(TopicPartition partition)
    {
        try
        {
            return _reader!.Read(partition, BatchMax);
        }
        catch (OffsetOutOfRangeException error)
        {
            // Old records were dropped meanwhile: what is shown goes on with those that are kept.
            _reader!.Assign(partition, error.Start);
            return null;
        }
    }
}
