using System.Diagnostics;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>What a broker refuses, call by call.</summary>
public abstract partial class BrokerContract
{
    public static TheoryData<string> Questions => new(nameof(Broker.StartOffset), nameof(Broker.EndOffset), "LastStableOffset", nameof(Broker.DeleteRecords));

    [Theory]
    [MemberData(nameof(Questions))]
    public void ATopicThatDoesNotExistIsNamedByWhoeverIsAskedForIt(string question)
    {
        TopicPartition absent = new(Unique("absent"), 0);

        BrokerException error = Refused(() => Ask(question, absent));

        Assert.Equal(Consequence.Stop, error.Consequence);
        Assert.Contains(absent.Topic, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Questions))]
    public void APartitionThatDoesNotExistIsNoAnswer(string question)
    {
        TopicPartition absent = new(NewTopic(2), 7);

        // Of Kafka it cannot be told from a partition without a leader.
        BrokerException error = Assert.Throws<BrokerException>(() => Ask(question, absent));

        Assert.True(error.Consequence is Consequence.Stop or Consequence.Retry, error.Consequence.ToString());
        Assert.Contains(absent.Topic, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ARecordForAPartitionThatDoesNotExistIsRefusedAndTheWriterGoesOn(bool inTransaction)
    {
        TopicPartition partition = NewPartition();
        TopicPartition absent = partition with { Partition = 7 };

        // Kafka's client refuses the commit of such a transaction without a word of why.
        AssertRefusedAndGoesOn(inTransaction, partition, absent, Outgoing("k", "v"), inTransaction ? Consequence.NewWriter : Consequence.Stop);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ARecordWithoutAKeyIsRefusedByACompactedTopicAndTheWriterGoesOn(bool inTransaction)
    {
        TopicPartition partition = NewPartition();

        AssertRefusedAndGoesOn(inTransaction, partition, NewPartition(TopicCleanup.Compact), Outgoing(null, "v"), Consequence.Stop);
    }

    [Theory]
    [InlineData(nameof(TransactionalWriter.Append))]
    [InlineData(nameof(TransactionalWriter.Commit))]
    [InlineData(nameof(TransactionalWriter.Abort))]
    public void AWriterThatWasReplacedInTheMidstOfATransactionIsToldSoByEachCall(string call)
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter former = NewWriter("replaced-midway");
        former.Begin();
        former.Append(partition, Outgoing("k", "zombie"));
        AwaitAppended(partition, 0);
        TransactionalWriter latter = NewWriter("replaced-midway");

        AssertNeedsNewWriter(() =>
        {
            switch (call)
            {
                case nameof(TransactionalWriter.Append):
                    former.Append(partition, Outgoing("k", "zombie"));
                    former.Commit();
                    break;
                case nameof(TransactionalWriter.Commit):
                    former.Commit();
                    break;
                default:
                    former.Abort();
                    break;
            }
        });
        Transact(latter, partition, commit: true, "a");
        Assert.Equal(["a"], Values(partition));
    }

    [Fact]
    public void DeletingBeyondTheEndIsRefusedAndDeletesNothing()
    {
        TopicPartition partition = NewPartition();
        Produce(partition, "a", "b");

        BrokerException error = Refused(() => Broker.DeleteRecords(partition, 3));

        Assert.Equal(Consequence.Stop, error.Consequence);
        Assert.Contains(partition.ToString(), error.Message, StringComparison.Ordinal);
        Assert.Equal(["a", "b"], Values(partition));
    }

    private void AssertRefusedAndGoesOn(bool inTransaction, TopicPartition partition, TopicPartition refused, OutgoingRecord record, Consequence orThis)
    {
        BrokerException? error = null;
        if (inTransaction)
        {
            TransactionalWriter writer = NewWriter("refused");
            writer.Begin();
            writer.Append(partition, Outgoing("k", "with it"));
            try
            {
                writer.Append(refused, record);
                Resumed(writer.Commit);
            }
            catch (BrokerException failure)
            {
                error = failure;
            }

            Resumed(writer.Abort);
            Transact(writer, partition, commit: true, "after");
        }
        else
        {
            using OutputWriter writer = Broker.CreateOutputWriter();
            try
            {
                writer.Append(refused, record);
                writer.Flush();
            }
            catch (BrokerException failure)
            {
                error = failure;
            }

            writer.Append(partition, Outgoing("k", "after"));
            writer.Flush();
        }

        Assert.NotNull(error);
        Assert.True(error.Consequence == Consequence.Stop || error.Consequence == orThis, error.Consequence.ToString());
        Assert.Equal(["after"], Values(partition));
    }

    private void Ask(string question, TopicPartition partition)
    {
        switch (question)
        {
            case nameof(Broker.StartOffset):
                Broker.StartOffset(partition);
                break;
            case nameof(Broker.DeleteRecords):
                Broker.DeleteRecords(partition, 0);
                break;
            default:
                Broker.EndOffset(partition, committedOnly: question != nameof(Broker.EndOffset));
                break;
        }
    }

    /// <summary>The refusal of a call, which may be asked to try again for some time before.</summary>
    private static BrokerException Refused(Action call)
    {
        for (long began = Stopwatch.GetTimestamp(); ;)
        {
            BrokerException error = Assert.Throws<BrokerException>(call);
            if (error.Consequence != Consequence.Retry || Stopwatch.GetElapsedTime(began) > Limit)
            {
                return error;
            }
        }
    }
}
