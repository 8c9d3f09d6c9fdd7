using Confluent.Kafka;

namespace KStreamSharp;

/// <summary>A record in the client's form.</summary>
internal static class KafkaRecords
{
    public static Message<byte[]?, byte[]?> Message(in OutgoingRecord record)
    {
        Message<byte[]?, byte[]?> message = new()
        {
            // The client takes 0 for "now", and the broker takes nothing below: the first millisecond of 1970 stands for all that is older.
            Timestamp = new Timestamp(Math.Max(1, record.Timestamp), TimestampType.CreateTime),
            Key = record.HasKey ? record.Key.ToArray() : null,
            Value = record.HasValue ? record.Value.ToArray() : null,
        };
        if (record.Headers.Count > 0)
        {
            message.Headers = [];
            foreach ((string name, byte[]? value) in record.Headers)
            {
                message.Headers.Add(name, value);
            }
        }

        return message;
    }

    /// <summary>Gives a record to the client; waits while its queue is full.</summary>
    public static void Produce(
        this IProducer<byte[]?, byte[]?> producer, KafkaBroker broker, TopicPartition partition, Message<byte[]?, byte[]?> message, Action<DeliveryReport<byte[]?, byte[]?>> delivered)
    {
        while (true)
        {
            try
            {
                producer.Produce(KafkaBroker.Client(partition), message, delivered);
                return;
            }
            catch (ProduceException<byte[]?, byte[]?> error) when (error.Error.Code == ErrorCode.Local_QueueFull)
            {
                // What cannot be delivered leaves the queue by its time-out, so this ends.
                producer.Poll(TimeSpan.FromMilliseconds(100));
            }
            catch (ProduceException<byte[]?, byte[]?> error)
            {
                throw broker.Failure(error, $"A record cannot be written to {partition}");
            }
        }
    }
}
