using System.Diagnostics;
using Confluent.Kafka;
using ClientPartition = Confluent.Kafka.TopicPartition;

namespace KStreamSharp;

/// <summary>
/// A reader of a Kafka cluster: one client, whose single queue is sorted into a buffer per partition. A partition whose
/// buffer is full is paused.
/// </summary>
internal sealed class KafkaReader : Reader
{
    private static readonly TimeSpan WaitTurn = TimeSpan.FromMilliseconds(5);

    private readonly KafkaBroker _broker;
    private readonly RecordMemory _memory = new();
    private readonly IConsumer<RecordMemory.Bytes, RecordMemory.Bytes> _consumer;
    private readonly Dictionary<TopicPartition, KafkaPartition> _assigned = [];
    private bool _leftRecords;
    private volatile bool _woken;

    public KafkaReader(KafkaBroker broker, bool readCommitted, bool hurries)
    {
        _broker = broker;
        _consumer = broker.Build(() => new ConsumerBuilder<RecordMemory.Bytes, RecordMemory.Bytes>(broker.Settings.Reader(readCommitted, hurries))
            .SetLogHandler((_, message) => broker.Heard(message))
            .SetErrorHandler((_, _) => { })
            .SetKeyDeserializer(_memory)
            .SetValueDeserializer(_memory)
            .Build());
    }

    public override void Assign(TopicPartition partition, long offset)
    {
        Unassign(partition);
        Call(partition, () => _consumer.IncrementalAssign([new TopicPartitionOffset(KafkaBroker.Client(partition), offset)]));
        _assigned.Add(partition, new KafkaPartition(offset, _memory));
    }

    public override void Unassign(TopicPartition partition)
    {
        // What the client still holds of the partition is outdated from here on, and dropped by the client itself.
        if (_assigned.Remove(partition, out KafkaPartition? former))
        {
            former.Clear();
            try
            {
                if (former.IsPaused)
                {
                    // The client keeps a pause over unassign and assign; nobody here would remember it, and the partition would
                    // never be read again. So a pause ends with its assignment: what is assigned begins unpaused.
                    Call(partition, () => _consumer.Resume([KafkaBroker.Client(partition)]));
                }
            }
            finally
            {
                Call(partition, () => _consumer.IncrementalUnassign([KafkaBroker.Client(partition)]));
            }
        }
    }

    public override RecordBatch? Read(TopicPartition partition, int max)
    {
        KafkaPartition wanted = _assigned[partition];
        wanted.EndBatch();
        for (int budget = Math.Max(max, 100) * 2; budget > 0 && wanted.Waiting < max && TakeOne(TimeSpan.Zero); budget--)
        {
        }

        if (wanted.Waiting == 0 && wanted.IsOutOfRange)
        {
            long start = _broker.StartOffset(partition);
            long end = _broker.EndOffset(partition, committedOnly: false);
            throw new OffsetOutOfRangeException(partition, wanted.Position, start, end);
        }

        RecordBatch? batch = wanted.TakeBatch(max);
        _leftRecords |= wanted.Waiting > 0;
        if (wanted.IsPaused && !wanted.IsFull)
        {
            wanted.IsPaused = false;
            Call(partition, () => _consumer.Resume([KafkaBroker.Client(partition)]));
        }

        return batch;
    }

    public override long Position(TopicPartition partition) => _assigned[partition].Position;

    public override bool AtEnd(TopicPartition partition) => _assigned[partition].AtEnd;

    public override void Wait(TimeSpan atMost)
    {
        // Records that the last reads left behind are a reason not to wait, once: whoever left them may not want them now.
        long began = Stopwatch.GetTimestamp();
        while (!_leftRecords && !_woken && atMost - Stopwatch.GetElapsedTime(began) is { Ticks: > 0 } left)
        {
            // The client's wait cannot be ended from outside: short ones.
            if (TakeOne(left < WaitTurn ? left : WaitTurn))
            {
                break;
            }
        }

        _leftRecords = false;
        _woken = false;
    }

    public override void Wake() => _woken = true;

    public override void Dispose()
    {
        _assigned.Clear();
        _consumer.Dispose();
    }

    /// <summary>For tests: whether a partition is assigned and its buffer full.</summary>
    internal bool IsPaused(TopicPartition partition) => _assigned.TryGetValue(partition, out KafkaPartition? assigned) && assigned.IsPaused;

    private bool TakeOne(TimeSpan atMost)
    {
        ConsumeResult<RecordMemory.Bytes, RecordMemory.Bytes>? result;
        try
        {
            result = _consumer.Consume(atMost);
        }
        catch (ConsumeException error)
        {
            Failed(error);
            return true;
        }

        if (result is null)
        {
            return false;
        }

        TopicPartition partition = new(result.Topic, result.Partition.Value);
        if (!_assigned.TryGetValue(partition, out KafkaPartition? buffer))
        {
            return true;
        }

        if (result.IsPartitionEOF)
        {
            buffer.ReachEnd(result.Offset.Value);
            return true;
        }

        buffer.Add(result);
        if (buffer.IsFull && !buffer.IsPaused)
        {
            buffer.IsPaused = true;
            Call(partition, () => _consumer.Pause([result.TopicPartition]));
        }

        return true;
    }

    private void Failed(ConsumeException error)
    {
        ClientPartition? at = error.ConsumerRecord?.TopicPartition;
        if (at?.Topic is not null && error.Error.Code is ErrorCode.Local_AutoOffsetReset or ErrorCode.OffsetOutOfRange)
        {
            if (_assigned.TryGetValue(new(at.Topic, at.Partition.Value), out KafkaPartition? buffer))
            {
                buffer.IsOutOfRange = true;
            }

            return;
        }

        // The reader is in no group, whatever the client asks about one.
        BrokerException translated = _broker.Failure(error, at?.Topic is null ? "Records cannot be read" : $"Records of {at.Topic}[{at.Partition.Value}] cannot be read");
        if (translated.Consequence == Consequence.Stop && error.Error.Code != ErrorCode.GroupAuthorizationFailed)
        {
            throw translated;
        }
    }

    private void Call(TopicPartition partition, Action action)
    {
        try
        {
            action();
        }
        catch (KafkaException error)
        {
            throw _broker.Failure(error, $"{partition} cannot be read");
        }
    }
}
