using Confluent.Kafka;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>What the writer makes of errors that a broker gives, each at the request where it comes.</summary>
public sealed class KafkaWriterTests : IDisposable
{
    private static readonly TopicPartition Partition = new("topic", 0);

    private readonly MockCluster _cluster = new();
    private readonly KafkaBroker _broker;
    private readonly TransactionalWriter _writer;

    public KafkaWriterTests()
    {
        _cluster.CreateTopic(Partition.Topic);
        _broker = _cluster.NewBroker();
        _writer = _broker.CreateWriter("writer", TimeSpan.FromSeconds(30));
    }

    public void Dispose()
    {
        _writer.Dispose();
        _broker.Dispose();
        _cluster.Dispose();
    }

    [Theory]
    [InlineData(nameof(MockCluster.Request.InitProducerId), ErrorCode.TransactionalIdAuthorizationFailed, nameof(Consequence.Stop))]
    [InlineData(nameof(MockCluster.Request.InitProducerId), ErrorCode.InvalidTransactionTimeout, nameof(Consequence.Stop))]
    [InlineData(nameof(MockCluster.Request.AddPartitionsToTxn), ErrorCode.TopicAuthorizationFailed, nameof(Consequence.Stop))]
    [InlineData(nameof(MockCluster.Request.AddPartitionsToTxn), ErrorCode.ProducerFenced, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.AddPartitionsToTxn), ErrorCode.InvalidProducerIdMapping, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.Produce), ErrorCode.OutOfOrderSequenceNumber, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.Produce), ErrorCode.InvalidProducerEpoch, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.Produce), ErrorCode.MsgSizeTooLarge, nameof(Consequence.Stop))]
    [InlineData(nameof(MockCluster.Request.Produce), ErrorCode.TopicAuthorizationFailed, nameof(Consequence.Stop))]
    [InlineData(nameof(MockCluster.Request.AddOffsetsToTxn), ErrorCode.ProducerFenced, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.AddOffsetsToTxn), ErrorCode.GroupAuthorizationFailed, nameof(Consequence.Stop))]
    [InlineData(nameof(MockCluster.Request.TxnOffsetCommit), ErrorCode.IllegalGeneration, nameof(Consequence.Abort))]
    [InlineData(nameof(MockCluster.Request.TxnOffsetCommit), ErrorCode.StaleMemberEpoch, nameof(Consequence.Abort))]
    [InlineData(nameof(MockCluster.Request.TxnOffsetCommit), ErrorCode.UnknownMemberId, nameof(Consequence.LostMembership))]
    [InlineData(nameof(MockCluster.Request.TxnOffsetCommit), ErrorCode.FencedInstanceId, nameof(Consequence.LostMembership))]
    [InlineData(nameof(MockCluster.Request.TxnOffsetCommit), ErrorCode.GroupAuthorizationFailed, nameof(Consequence.Stop))]
    [InlineData(nameof(MockCluster.Request.EndTxn), ErrorCode.ProducerFenced, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.EndTxn), ErrorCode.InvalidProducerEpoch, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.EndTxn), ErrorCode.InvalidTxnState, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.EndTxn), ErrorCode.InvalidProducerIdMapping, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.EndTxn), ErrorCode.UnknownProducerId, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.EndTxn), ErrorCode.Unknown, nameof(Consequence.NewWriter))]
    [InlineData(nameof(MockCluster.Request.EndTxn), ErrorCode.TransactionalIdAuthorizationFailed, nameof(Consequence.Stop))]
    public void AnErrorHasTheConsequenceOfTheTable(string request, ErrorCode error, string consequence)
    {
        _cluster.Fail(Enum.Parse<MockCluster.Request>(request), error);

        BrokerException failure = Assert.Throws<BrokerException>(Transact);

        Assert.Equal(consequence, failure.Consequence.ToString());
        Assert.Contains("'writer'", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(nameof(MockCluster.Request.InitProducerId), ErrorCode.GroupLoadInProgress)]
    [InlineData(nameof(MockCluster.Request.AddPartitionsToTxn), ErrorCode.ConcurrentTransactions)]
    [InlineData(nameof(MockCluster.Request.Produce), ErrorCode.NotLeaderForPartition)]
    [InlineData(nameof(MockCluster.Request.AddOffsetsToTxn), ErrorCode.GroupCoordinatorNotAvailable)]
    [InlineData(nameof(MockCluster.Request.TxnOffsetCommit), ErrorCode.GroupLoadInProgress)]
    [InlineData(nameof(MockCluster.Request.EndTxn), ErrorCode.NotCoordinatorForGroup)]
    [InlineData(nameof(MockCluster.Request.EndTxn), ErrorCode.ConcurrentTransactions)]
    public void AnErrorThatPassesDoesNotDisturbTheTransaction(string request, ErrorCode error)
    {
        _cluster.Fail(Enum.Parse<MockCluster.Request>(request), error, error);

        Transact();

        Assert.Equal(0, _writer.LastOffset(Partition));
    }

    [Fact]
    public void AfterAnAbortTheWriterGoesOn()
    {
        _cluster.Fail(MockCluster.Request.TxnOffsetCommit, ErrorCode.IllegalGeneration);
        Assert.Throws<BrokerException>(Transact);
        Again(_writer.Abort);

        Work();

        Assert.True(_writer.LastOffset(Partition) >= 0);
    }

    [Fact]
    public void AnOutputThatIsNotTakenIsReportedByTheFlushAndTheNextOneIsWritten()
    {
        using OutputWriter outputs = _broker.CreateOutputWriter();
        _cluster.Fail(MockCluster.Request.Produce, ErrorCode.MsgSizeTooLarge);
        outputs.Append(Partition, Record);
        BrokerException failure = Assert.Throws<BrokerException>(outputs.Flush);
        Assert.Equal(Consequence.Stop, failure.Consequence);
        Assert.Contains(Partition.ToString(), failure.Message, StringComparison.Ordinal);

        outputs.Append(Partition, Record);
        outputs.Flush();
    }

    private static OutgoingRecord Record => new(1_700_000_000_000, "key"u8, true, "value"u8, true, Headers.Empty);

    private void Transact()
    {
        Again(_writer.Initialize);
        Work();
    }

    private void Work()
    {
        _writer.Begin();
        _writer.Append(Partition, Record);
        Again(() => _writer.SendOffsets("group", [new(Partition, 1)], new GroupToken("member", 1)));
        Again(_writer.Commit);
    }

    private static void Again(Action call)
    {
        while (true)
        {
            try
            {
                call();
                return;
            }
            catch (BrokerException error) when (error.Consequence == Consequence.Retry)
            {
            }
        }
    }
}
