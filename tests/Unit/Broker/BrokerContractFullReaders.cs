using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Readers that keep as much of a partition as they can, because another one is read or nothing is.</summary>
public abstract partial class BrokerContract
{
    /// <summary>How a partition whose buffer is full comes to be read from another place.</summary>
    public enum Return
    {
        GoesOn,
        AssignedAgain,
        AssignedAgainTwice,
        AssignedFurtherOn,
        UnassignedAndAssigned,
        UnassignedAndAssignedLater,
    }

    public static TheoryData<Return> Returns => new(Enum.GetValues<Return>());

    [Theory]
    [MemberData(nameof(Returns))]
    public void APartitionWhoseBufferWasFullIsReadToItsEnd(Return how)
    {
        (Reader reader, TopicPartition full, TopicPartition other) = NewFullReader();
        long from = how == Return.AssignedFurtherOn ? Backlog - 7 : 0;
        switch (how)
        {
            case Return.AssignedAgain or Return.AssignedFurtherOn:
                reader.Assign(full, from);
                break;
            case Return.AssignedAgainTwice:
                reader.Assign(full, 5);
                reader.Assign(full, from);
                break;
            case Return.UnassignedAndAssigned:
                reader.Unassign(full);
                reader.Assign(full, from);
                break;
            case Return.UnassignedAndAssignedLater:
                reader.Unassign(full);
                Produce(other, "meanwhile");
                Assert.Equal(["meanwhile"], ReadTo(reader, other, 2).Select(record => record.ValueText));
                reader.Assign(full, from);
                break;
        }

        Assert.Equal(from, reader.Position(full));
        Assert.Equal(Enumerable.Range((int)from, Backlog - (int)from), ReadTo(reader, full, Backlog).Select(record => (int)record.Offset));
        Eventually(() => Take(reader, full).Count == 0 && reader.AtEnd(full), "the reader is at the end");
        Produce(other, "late");
        Assert.Equal("late", ReadTo(reader, other, Broker.EndOffset(other, committedOnly: false))[^1].ValueText);
    }

    [Fact]
    public void APartitionCanBeFullAgainAfterItWasAssignedAgain()
    {
        (Reader reader, TopicPartition full, TopicPartition other) = NewFullReader();
        for (int round = 0; round < 3; round++)
        {
            reader.Assign(full, round);
            Fill(reader, full, other);
        }

        Assert.Equal(Enumerable.Range(2, Backlog - 2), ReadTo(reader, full, Backlog).Select(record => (int)record.Offset));
    }

    [Fact]
    public void AFullPartitionThatIsUnassignedLeavesTheOthersToBeRead()
    {
        (Reader reader, TopicPartition full, TopicPartition other) = NewFullReader();

        reader.Unassign(full);
        Produce(other, "b", "c");

        Assert.Equal(["b", "c"], ReadTo(reader, other, 3).Select(record => record.ValueText));
    }

    [Fact]
    public void AReaderWithAFullPartitionCanBeClosedAndAnotherReadsAll()
    {
        (Reader reader, TopicPartition full, _) = NewFullReader();

        reader.Dispose();

        Assert.Equal(Backlog, ReadTo(NewReader(full, 0), full, Backlog).Count);
    }

    [Fact]
    public void AFullPartitionThatWasCutMeanwhileIsRefusedBelowItsStartAndReadFromIt()
    {
        (Reader reader, TopicPartition full, _) = NewFullReader();
        Broker.DeleteRecords(full, 10);
        Eventually(() => Broker.StartOffset(full) == 10, "the start moves");

        reader.Assign(full, 0);
        OffsetOutOfRangeException? error = null;
        Eventually(() => (error = OutOfRange(reader, full)) is not null, "the offset is refused");
        reader.Assign(full, error!.Start);

        Assert.Equal(Enumerable.Range(10, Backlog - 10), ReadTo(reader, full, Backlog).Select(record => (int)record.Offset));
    }

    [Fact]
    public void AReaderThatWasAtTheEndIsAtTheEndAgainWhenItIsAssignedThere()
    {
        TopicPartition partition = NewPartition();
        Produce(partition, "a");
        Reader reader = NewReader(partition, 0);
        ReadTo(reader, partition, 1);
        Eventually(() => Take(reader, partition).Count == 0 && reader.AtEnd(partition), "the reader is at the end");

        reader.Assign(partition, 1);

        Eventually(() => Take(reader, partition).Count == 0 && reader.AtEnd(partition), "the reader is at the end again");
        Assert.Equal(1, reader.Position(partition));
    }

    /// <summary>A reader of two partitions: one is far behind and its buffer full, of the other the one record is read.</summary>
    private (Reader Reader, TopicPartition Full, TopicPartition Other) NewFullReader()
    {
        string topic = NewTopic(2);
        TopicPartition full = new(topic, 0);
        TopicPartition other = new(topic, 1);
        using (OutputWriter writer = Broker.CreateOutputWriter())
        {
            for (int i = 0; i < Backlog; i++)
            {
                writer.Append(full, Outgoing("k", "v"));
            }

            writer.Append(other, Outgoing("k", "a"));
            writer.Flush();
        }

        Reader reader = NewReader(full, 0);
        reader.Assign(other, 0);
        Assert.Equal(["a"], ReadTo(reader, other, 1).Select(record => record.ValueText));
        Fill(reader, full, other);
        return (reader, full, other);
    }

    private void Fill(Reader reader, TopicPartition full, TopicPartition other) => Eventually(
        () =>
        {
            Assert.Empty(Take(reader, other));
            return IsFull(reader, full);
        },
        $"the buffer of {full} is full");
}
