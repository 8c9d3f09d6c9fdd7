using Confluent.Kafka;

namespace KStreamSharp;

/// <summary>An idempotent writer without transactions. A record that was not delivered is reported by <see cref="Flush"/>.</summary>
internal sealed class KafkaOutputWriter(KafkaBroker broker, TimeSpan dropsAfter) : OutputWriter
{
    private const int PollEvery = 256;

    private IProducer<byte[]?, byte[]?>? _producer;
    private Error? _failure;
    private string _failedAt = "";
    private int _sincePoll;

    public override void Append(TopicPartition partition, in OutgoingRecord record)
    {
        Producer.Produce(broker, partition, KafkaRecords.Message(record), Delivered);
        if (++_sincePoll == PollEvery)
        {
            _sincePoll = 0;
            Producer.Poll(TimeSpan.Zero);
        }
    }

    public override void Flush()
    {
        // What cannot be delivered leaves the queue by its time-out, so this ends.
        while (_producer?.Flush(TimeSpan.FromSeconds(1)) > 0)
        {
        }

        if (_failure is not { } failure)
        {
            return;
        }

        _failure = null;
        if (failure.IsFatal)
        {
            Dispose();
        }

        BrokerException translated = broker.Failure(new KafkaException(failure), $"A record was not delivered to {_failedAt}");
        throw translated.Consequence == Consequence.Stop ? translated : new BrokerException(Consequence.Abort, translated.Message, translated);
    }

    public override void Dispose()
    {
        _producer?.Dispose();
        _producer = null;
    }

    private IProducer<byte[]?, byte[]?> Producer => _producer ??= broker.Build(() => new ProducerBuilder<byte[]?, byte[]?>(broker.Settings.Outputs(dropsAfter))
        .SetLogHandler((_, message) => broker.Heard(message))
        .SetErrorHandler((_, _) => { })
        .SetKeySerializer(Serializers.ByteArray!)
        .SetValueSerializer(Serializers.ByteArray!)
        .Build());

    private void Delivered(DeliveryReport<byte[]?, byte[]?> report)
    {
        if (report.Error.IsError && _failure is null)
        {
            _failure = report.Error;
            _failedAt = $"{report.Topic}[{report.Partition.Value}]";
        }
    }
}
