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

        Work(_writer);

        Assert.True(_writer.LastOffset(Partition) >= 0);
    }

    /// <summary>The client waits for a group's coordinator for as long as that is away, whatever the time it is given.</summary>
    [Fact]
    public async Task PositionsThatNobodyTakesAreGivenUpWithTheirWriterAndTheNextOneGoesOn()
    {
        const int Group = 2;
        using MockCluster cluster = new(brokers: 2);
        cluster.CreateTopic(Partition.Topic);
        cluster.Lead(Partition.Topic, broker: 1);
        cluster.Coordinate("transaction", "writer", broker: 1);
        cluster.Coordinate("group", "group", Group);
        cluster.TakeDown(Group);
        using KafkaBroker broker = cluster.NewBroker();
        KafkaWriter writer = new(broker, "writer", TimeSpan.FromSeconds(30)) { OffsetsTime = TimeSpan.FromSeconds(1) };
        try
        {
            Again(writer.Initialize);
            writer.Begin();
            writer.Append(Partition, Record);

            Task<BrokerException> failing = Task.Run(() => Assert.Throws<BrokerException>(() => writer.SendOffsets("group", [new(Partition, 1)], new GroupToken("member", 1))));
            BrokerException failure = await failing.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

            Assert.Equal(Consequence.NewWriter, failure.Consequence);
            Assert.Contains("'writer'", failure.Message, StringComparison.Ordinal);
        }
        finally
        {
            writer.Dispose();
            cluster.BringUp(Group);
        }

        using TransactionalWriter next = broker.CreateWriter("writer", TimeSpan.FromSeconds(30));
        Transact(next);
    }

    [Fact]
    public void AWriterThatIsDisposedTwiceIsDisposed()
    {
        _writer.Dispose();
        _writer.Dispose();
    }

    [Fact]
    public void APartitionWithoutALeaderIsNoReasonToEnd()
    {
        _cluster.CreateTopic("other");
        _cluster.Lead(Partition.Topic, broker: -1);
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = _cluster.Address }) { Patience = TimeSpan.FromSeconds(3) };
        broker.EndOffset(new("other", 0), committedOnly: false);

        BrokerException failure = Assert.Throws<BrokerException>(() => broker.EndOffset(Partition, committedOnly: false));

        Assert.Equal(Consequence.Retry, failure.Consequence);
        Assert.Contains(nameof(ErrorCode.Local_NoEnt), failure.Message, StringComparison.Ordinal);
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

    /// <summary>What an instance that stood still would send late, after its successor's.</summary>
    [Fact]
    public void AnOutputThatWaitedTooLongIsDroppedAndTheTurnIsDoneAgain()
    {
        using OutputWriter outputs = _broker.CreateOutputWriter(dropsAfter: TimeSpan.FromSeconds(1));
        Delivered(outputs);
        _cluster.TakeDown(broker: 1);
        outputs.Append(Partition, Record);

        BrokerException failure = Assert.Throws<BrokerException>(outputs.Flush);

        Assert.Equal(Consequence.Abort, failure.Consequence);
        Assert.Contains(Partition.ToString(), failure.Message, StringComparison.Ordinal);
        _cluster.BringUp(broker: 1);
        Delivered(outputs);
        Assert.Equal(2, _broker.EndOffset(Partition, committedOnly: false));
    }

    private static void Delivered(OutputWriter outputs)
    {
        // The client may need longer than its records have to find the broker again.
        for (long began = TimeProvider.System.GetTimestamp(); ;)
        {
            outputs.Append(Partition, Record);
            try
            {
                outputs.Flush();
                return;
            }
            catch (BrokerException error) when (error.Consequence == Consequence.Abort && TimeProvider.System.GetElapsedTime(began) < TimeSpan.FromSeconds(60))
            {
            }
        }
    }

    private static OutgoingRecord Record => new(1_700_000_000_000, "key"u8, true, "value"u8, true, Headers.Empty);

    private void Transact() => Transact(_writer);

    private static void Transact(TransactionalWriter writer)
    {
        Again(writer.Initialize);
        Work(writer);
    }

    private static void Work(TransactionalWriter writer)
    {
        writer.Begin();
        writer.Append(Partition, Record);
        Again(() => writer.SendOffsets("group", [new(Partition, 1)], new GroupToken("member", 1)));
        Again(writer.Commit);
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
