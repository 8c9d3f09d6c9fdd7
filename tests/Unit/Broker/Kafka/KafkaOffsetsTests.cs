using Confluent.Kafka;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A partition's begin and end are answered by the broker, or not at all.</summary>
public sealed class KafkaOffsetsTests : IDisposable
{
    private static readonly TopicPartition Partition = new("topic", 0);

    private readonly MockCluster _cluster = new();
    private readonly KafkaBroker _broker;

    public KafkaOffsetsTests()
    {
        _cluster.CreateTopic(Partition.Topic);
        _broker = _cluster.NewBroker();
    }

    public void Dispose()
    {
        _broker.Dispose();
        _cluster.Dispose();
    }

    [Theory]
    [InlineData(ErrorCode.RequestTimedOut)]
    [InlineData(ErrorCode.NotLeaderForPartition)]
    [InlineData(ErrorCode.Local_Transport)]
    [InlineData(ErrorCode.OffsetNotAvailable)]
    [InlineData(ErrorCode.KafkaStorageError)]
    public void AFailureIsNoOffset(ErrorCode error)
    {
        _cluster.Fail(MockCluster.Request.ListOffsets, error, error, error);

        Assert.Equal(0, _broker.EndOffset(Partition, committedOnly: false));
    }
}
