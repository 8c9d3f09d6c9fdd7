using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Topics: made, described, records deleted, compacted.</summary>
public abstract partial class BrokerContract
{
    [Fact]
    public void ATopicThatDoesNotExistIsDescribedByNull() => Assert.Null(Broker.DescribeTopic(Unique("absent")));

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(false, false)]
    public void ATopicIsDescribedAsItWasMade(bool compact, bool keep)
    {
        TopicCleanup cleanup = compact ? TopicCleanup.Compact : keep ? TopicCleanup.Keep : TopicCleanup.Delete;
        string topic = NewTopic(3, cleanup);

        TopicDescription described = Broker.DescribeTopic(topic)!;
        Assert.Equal(topic, described.Name);
        Assert.Equal(3, described.Partitions);
        Assert.Equal(cleanup, described.Cleanup);
        Assert.NotEqual(Guid.Empty, described.Id);
        Assert.Equal(described, Broker.DescribeTopic(topic));
    }

    [Fact]
    public void MakingATopicThatExistsLeavesItAsItIs()
    {
        string topic = NewTopic(2);
        TopicDescription before = Broker.DescribeTopic(topic)!;
        Produce(new TopicPartition(topic, 1), "kept");

        Assert.Equal(before, Broker.CreateTopic(new TopicSpec(topic, 5, TopicCleanup.Compact)));
        Assert.Equal(before, Broker.DescribeTopic(topic));
        Assert.Equal(["kept"], Values(new TopicPartition(topic, 1)));
    }

    [Fact]
    public void TwoTopicsHaveTwoIds() => Assert.NotEqual(Broker.DescribeTopic(NewTopic())!.Id, Broker.DescribeTopic(NewTopic())!.Id);

    [Fact]
    public void DeletingRecordsMovesTheStartAndReadingBelowItIsAnError()
    {
        TopicPartition partition = NewPartition();
        Produce(partition, "a", "b", "c", "d");

        Broker.DeleteRecords(partition, 2);

        Eventually(() => Broker.StartOffset(partition) == 2, "the start moves");
        Assert.Equal(4, Broker.EndOffset(partition, committedOnly: false));
        Assert.Equal(4, Broker.EndOffset(partition, committedOnly: true));
        Assert.Equal(["c", "d"], Values(partition));

        Reader reader = NewReader(partition, 1);
        OffsetOutOfRangeException? error = null;
        Eventually(() => (error = OutOfRange(reader, partition)) is not null, "the offset is refused");
        Assert.Equal(1, error!.Offset);
        Assert.Equal(2, error.Start);
        Assert.Equal(4, error.End);
    }

    [Fact]
    public void DeletingBelowTheStartDoesNothing()
    {
        TopicPartition partition = NewPartition();
        Produce(partition, "a", "b", "c");
        Broker.DeleteRecords(partition, 2);
        Eventually(() => Broker.StartOffset(partition) == 2, "the start moves");

        Broker.DeleteRecords(partition, 1);

        Assert.Equal(2, Broker.StartOffset(partition));
        Assert.Equal(["c"], Values(partition));
    }

    [Fact]
    public void DeletingEverythingLeavesAnEmptyPartitionThatGoesOnAtItsEnd()
    {
        string topic = NewTopic(2);
        TopicPartition partition = new(topic, 0);
        Produce(partition, "a", "b");
        Produce(new TopicPartition(topic, 1), "other");

        Broker.DeleteRecords(partition, 2);

        Eventually(() => Broker.StartOffset(partition) == 2, "the start moves");
        Assert.Empty(ReadAll(partition));
        Produce(partition, "c");
        Seen record = Assert.Single(ReadAll(partition));
        Assert.Equal(("c", 2L), (record.ValueText, record.Offset));
        Assert.Equal(["other"], Values(new TopicPartition(topic, 1)));
    }

    [Fact]
    public void ACompactedTopicKeepsTheNewestRecordOfEachKeyAndReadersReachItsEnd()
    {
        TopicPartition partition = NewPartition(TopicCleanup.Compact);
        TransactionalWriter writer = NewWriter("compacted");
        for (int round = 0; round < 40; round++)
        {
            writer.Begin();
            for (int key = 0; key < 5; key++)
            {
                writer.Append(partition, Outgoing($"k{key}", $"{round}.{key}"));
            }

            Resumed(round == 39 ? writer.Abort : writer.Commit);
        }

        writer.Begin();
        writer.Append(partition, Outgoing("k1", null));
        writer.Append(partition, Outgoing("k2", ""));
        Resumed(writer.Commit);

        // What is folded from the start is the same however far the broker has compacted.
        for (int pass = 0; pass < 2; pass++)
        {
            Dictionary<string, string> folded = [];
            foreach (Seen record in ReadAll(partition))
            {
                if (record.ValueText is { } value)
                {
                    folded[record.KeyText!] = value;
                }
                else
                {
                    folded.Remove(record.KeyText!);
                }
            }

            Assert.Equal([new("k0", "38.0"), new("k2", ""), new("k3", "38.3"), new("k4", "38.4")], folded.OrderBy(pair => pair.Key, StringComparer.Ordinal));
            Compact(partition.Topic);
        }
    }
}
