namespace KStreamSharp.Hosting;

/// <summary>
/// Reads the committed records of a topic beside the engine, to show or sum up what a flow has put out: partition by
/// partition, each record once, from the oldest on. Not safe for several threads at once.
/// </summary>
/// <typeparam name="TKey">The type of the keys.</typeparam>
/// <typeparam name="TValue">The type of the values.</typeparam>
public sealed class TopicReader<TKey, TValue> : IDisposable
{
    private const int BatchMax = 1_000;

    private static readonly TimeSpan Turn = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Broker _broker;
    private readonly KeyedTopic<TKey, TValue> _topic;
    private readonly Reader _reader;
    private readonly TopicPartition[] _partitions;

    /// <summary>A reader that begins with the oldest records.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="topic">The topic, which must exist.</param>
    /// <exception cref="StreamException">There is no such topic, or the broker does not answer.</exception>
    public TopicReader(Broker broker, KeyedTopic<TKey, TValue> topic)
    {
        ArgumentNullException.ThrowIfNull(broker);
        ArgumentNullException.ThrowIfNull(topic);
        _broker = broker;
        _topic = topic;
        _partitions = BrokerCalls.Partitions(broker, topic.Name);
        _reader = broker.CreateReader(readCommitted: true);
        foreach (TopicPartition partition in _partitions)
        {
            BrokerCalls.Ask(() => _reader.Assign(partition, broker.StartOffset(partition)));
        }
    }

    /// <summary>The records that have come since the last call, as far as they are here already: never waits.</summary>
    /// <exception cref="StreamException">A record cannot be decoded, or the broker refuses.</exception>
    public IEnumerable<Record<TKey, TValue>> ReadNew()
    {
        foreach (TopicPartition partition in _partitions)
        {
            while (Next(partition) is { Count: > 0 } records)
            {
                foreach (Record<TKey, TValue> record in records)
                {
                    yield return record;
                }
            }
        }
    }

    /// <summary>The records up to what is the end of the topic now; waits for transactions that are open there.</summary>
    /// <exception cref="StreamException">A record cannot be decoded, the broker refuses, or a transaction stays open for a minute.</exception>
    public IEnumerable<Record<TKey, TValue>> ReadToEnd()
    {
        foreach (TopicPartition partition in _partitions)
        {
            long end = BrokerCalls.Ask(() => _broker.EndOffset(partition, committedOnly: false));
            long waitsSince = TimeProvider.System.GetTimestamp();
            while (_reader.Position(partition) < end)
            {
                List<Record<TKey, TValue>> records = Next(partition);
                foreach (Record<TKey, TValue> record in records)
                {
                    yield return record;
                }

                if (records.Count > 0)
                {
                    waitsSince = TimeProvider.System.GetTimestamp();
                }
                else if (TimeProvider.System.GetElapsedTime(waitsSince) > Patience)
                {
                    throw new StreamException(
                        ExitCode.Broker,
                        $"{partition} gives no more records after offset {_reader.Position(partition)}, since {Patience.TotalSeconds:0} s; its end is {end}. A transaction is open there, or its broker is away.");
                }
                else
                {
                    _reader.Wait(Turn);
                }
            }
        }
    }

    /// <summary>Closes the reader.</summary>
    public void Dispose() => _reader.Dispose();

    private List<Record<TKey, TValue>> Next(TopicPartition partition) => BrokerCalls.Ask(() =>
    {
        List<Record<TKey, TValue>> records = [];
        try
        {
            RecordBatch? batch = _reader.Read(partition, BatchMax);
            for (int i = 0; i < (batch?.Count ?? 0); i++)
            {
                records.Add(Decode(partition, batch![i]));
            }
        }
        catch (OffsetOutOfRangeException error)
        {
            // Old records were dropped meanwhile: what is shown goes on with those that are kept.
            _reader.Assign(partition, error.Start);
        }

        return records;
    });

    private Record<TKey, TValue> Decode(TopicPartition partition, RecordView record)
    {
        try
        {
            return new(
                record.HasKey ? _topic.Key.Deserialize(record.Key, new(_topic.Name, RecordPart.Key)) : default!,
                record.HasValue ? _topic.Value.Deserialize(record.Value, new(_topic.Name, RecordPart.Value)) : default!,
                RecordTime.Of(record.Timestamp),
                record.Headers);
        }
        catch (Exception error)
        {
            throw new StreamException(ExitCode.BadRecord, $"The record of {partition} at offset {record.Offset} cannot be read: {error.Message}", error);
        }
    }
}
