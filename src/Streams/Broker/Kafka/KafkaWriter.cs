using Confluent.Kafka;
using ClientPartition = Confluent.Kafka.TopicPartition;

namespace KStreamSharp;

/// <summary>A transactional writer of a Kafka cluster.</summary>
internal sealed class KafkaWriter : TransactionalWriter
{
    /// <summary>One call of the client; what takes longer is called again.</summary>
    private static readonly TimeSpan CallTime = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(50);

    private const int PollEvery = 256;

    private readonly KafkaBroker _broker;
    private readonly string _id;
    private readonly IProducer<byte[]?, byte[]?> _producer;
    private readonly Action<DeliveryReport<byte[]?, byte[]?>> _delivered;
    private readonly KafkaCaller _caller;
    private Dictionary<TopicPartition, long> _last = [];
    private Dictionary<TopicPartition, long> _committed = [];
    private bool _failed;
    private bool _lostAll;
    private bool _isLeftBehind;
    private volatile string? _refusedPartition;
    private int _sincePoll;

    public KafkaWriter(KafkaBroker broker, string transactionalId, TimeSpan transactionTimeout)
    {
        _broker = broker;
        _id = transactionalId;
        _delivered = Delivered;
        _producer = broker.Build(() => new ProducerBuilder<byte[]?, byte[]?>(broker.Settings.Writer(transactionalId, transactionTimeout))
            .SetLogHandler((_, message) => Heard(message))
            .SetErrorHandler((_, error) => _lostAll |= error.Code == ErrorCode.Local_AllBrokersDown)
            .SetKeySerializer(Serializers.ByteArray!)
            .SetValueSerializer(Serializers.ByteArray!)
            .Build());
        _caller = new KafkaCaller("kstream-kafka-positions");
    }

    /// <summary>Positions that are not taken by then are given up with their transaction: that call does not resume. Tests take less.</summary>
    internal TimeSpan OffsetsTime { get; init; } = TimeSpan.FromSeconds(10);

    public override void Initialize()
    {
        Call("initialized", () => _producer.InitTransactions(CallTime));
        _producer.Poll(TimeSpan.Zero);
        _lostAll = false;
    }

    public override void Begin()
    {
        CheckCoordinator();
        _last.Clear();
        _failed = false;
        _refusedPartition = null;
        Call("begun", _producer.BeginTransaction);
    }

    public override void Append(TopicPartition partition, in OutgoingRecord record)
    {
        try
        {
            _producer.Produce(_broker, partition, KafkaRecords.Message(record), _delivered);
        }
        catch (BrokerException error) when (error.InnerException is KafkaException { Error.Code: ErrorCode.Local_State })
        {
            // An earlier record of the transaction was refused, and this is all that the client says of it here.
            Call($"written to {partition}", AskWhyItFailed);
            throw;
        }

        if (++_sincePoll == PollEvery)
        {
            _sincePoll = 0;
            _producer.Poll(TimeSpan.Zero);
        }
    }

    public override void SendOffsets(string group, IReadOnlyList<KeyValuePair<TopicPartition, long>> positions, GroupToken token)
    {
        CheckCoordinator();
        Call($"given the positions of group '{group}'", () => _isLeftBehind = !_caller.TryCall(SendAndAskWhy, OffsetsTime + CallTime));
        if (_isLeftBehind)
        {
            throw new BrokerException(Consequence.NewWriter, $"The transaction of '{_id}' was not given the positions of group '{group}' within {OffsetsTime.TotalSeconds:0} s");
        }

        void SendAndAskWhy()
        {
            try
            {
                Send();
            }
            catch (KafkaException error) when (error.Error.Code == ErrorCode.Local_State)
            {
                // All that the client says of a transaction that fails during this call; asked again, it says why.
                Send();
            }
        }

        void Send() => _producer.SendOffsetsToTransaction(
            positions.Select(position => new TopicPartitionOffset(KafkaBroker.Client(position.Key), position.Value)),
            KafkaGroupMetadata.Write(group, token),
            OffsetsTime);
    }

    /// <summary>A transaction that has failed takes no positions, and says why. One that has not is aborted after this all the same.</summary>
    private void AskWhyItFailed()
    {
        try
        {
            _producer.SendOffsetsToTransaction([new(new ClientPartition("none", 0), 0)], KafkaGroupMetadata.Write("none", new GroupToken("", -1)), TimeSpan.Zero);
        }
        catch (KafkaException error) when (error.Error.Code == ErrorCode.Local_State)
        {
            // It says no more than that.
        }
    }

    public override void Commit()
    {
        CheckCoordinator();
        try
        {
            Call("committed", () => _producer.CommitTransaction(CallTime));
        }
        catch (BrokerException error) when (error.Consequence is Consequence.Abort or Consequence.LostMembership)
        {
            // Whether the broker has decided already cannot be told from the error: a new writer finds out.
            throw new BrokerException(Consequence.NewWriter, error.Message, error);
        }

        (_committed, _last) = (_last, _committed);
    }

    public override void Abort()
    {
        CheckCoordinator();

        // The client may end a transaction that the broker has not heard of yet, and takes the refusal for fatal: let it
        // hear. After an error the client sends nothing any more.
        if (!_failed)
        {
            _producer.Flush(CallTime);
        }

        Call("aborted", () => _producer.AbortTransaction(CallTime));
    }

    public override long LastOffset(TopicPartition partition) => _committed[partition];

    public override void Dispose()
    {
        if (_isLeftBehind)
        {
            // Whatever that call still sends is refused: the next writer of this id has fenced this one by then.
            _caller.End(_producer.Dispose);
        }
        else
        {
            _producer.Dispose();
            _caller.End(() => { });
        }
    }

    /// <summary>
    /// librdkafka waits for minutes, whatever the time given, for a group coordinator that was missing in the metadata while
    /// it restarted (its issues 5456 and 5511). With several brokers it finds out; after all of them were gone a new client is
    /// needed. Where they go while it waits, the call is left behind.
    /// </summary>
    private void CheckCoordinator()
    {
        _producer.Poll(TimeSpan.Zero);
        if (_lostAll)
        {
            throw new BrokerException(Consequence.NewWriter, $"The writer of '{_id}' had lost every broker");
        }
    }

    /// <summary>Which partition a transaction was refused for is told by the log alone.</summary>
    private void Heard(LogMessage message)
    {
        // One refused partition takes all others with it, in any order: of those the client says "not attempted".
        if (message.Facility == "ADDPARTS"
            && message.Message.IndexOf("Failed to", StringComparison.Ordinal) is var at and >= 0
            && !message.Message.Contains("not attempted", StringComparison.Ordinal))
        {
            _refusedPartition ??= message.Message[at..];
        }

        _broker.Heard(message);
    }

    private void Delivered(DeliveryReport<byte[]?, byte[]?> report)
    {
        if (!report.Error.IsError)
        {
            _last[new(report.Topic, report.Partition.Value)] = report.Offset.Value;
        }
    }

    private void Call(string what, Action call)
    {
        try
        {
            call();
        }
        catch (KafkaException error)
        {
            _failed = true;
            if (KafkaErrors.Of(error) == Consequence.Retry)
            {
                // Most have taken their time; of those that have not, none is made again at once.
                _producer.Poll(RetryPause);
            }

            string partition = KafkaErrors.Of(error) == Consequence.Stop && _refusedPartition is { } refused ? $" ({refused})" : "";
            throw _broker.Failure(error, $"The transaction of '{_id}' could not be {what}{partition}");
        }
    }
}
