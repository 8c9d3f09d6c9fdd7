using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Records and readers.</summary>
public abstract partial class BrokerContract
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AnAbsentKeyOrValueIsNotAnEmptyOneAndHeadersAndTimestampsComeBack(bool inTransaction)
    {
        TopicPartition partition = NewPartition();
        Headers headers = new(
            new("name", Bytes("one")), new("name", Bytes("two")), new("none", null), new("empty", []), new("ünïcode", [0, 255, 128]));
        (byte[]? Key, byte[]? Value, long Timestamp, Headers Headers)[] sent =
        [
            (Bytes("key"), Bytes("value"), 1_700_000_000_001, Headers.Empty),
            (null, Bytes("value"), 1_699_999_999_999, Headers.Empty),
            (Bytes("key"), null, 1, Headers.Empty),
            (null, null, 1_600_000_000_000, headers),
            ([], [], 1_700_000_000_001, Headers.Empty),
            ([], null, 1_700_000_000_002, Headers.Empty),
            (null, [], 1_700_000_000_003, headers),
            ([0, 1, 254, 255], [0], 1_700_000_000_004, headers),
        ];

        if (inTransaction)
        {
            TransactionalWriter writer = NewWriter("round-trip");
            writer.Begin();
            foreach ((byte[]? key, byte[]? value, long timestamp, Headers each) in sent)
            {
                writer.Append(partition, Outgoing(key, value, timestamp, each));
            }

            Resumed(writer.Commit);
        }
        else
        {
            using OutputWriter writer = Broker.CreateOutputWriter();
            foreach ((byte[]? key, byte[]? value, long timestamp, Headers each) in sent)
            {
                writer.Append(partition, Outgoing(key, value, timestamp, each));
            }

            writer.Flush();
        }

        List<Seen> seen = ReadAll(partition);
        Assert.Equal(sent.Length, seen.Count);
        for (int i = 0; i < sent.Length; i++)
        {
            Assert.Equal(sent[i].Key, seen[i].Key);
            Assert.Equal(sent[i].Value, seen[i].Value);
            Assert.Equal(sent[i].Timestamp, seen[i].Timestamp);
            Assert.Equal(sent[i].Headers.Select(header => header.Key), seen[i].Headers.Select(header => header.Key));
            Assert.Equal(sent[i].Headers.Select(header => header.Value), seen[i].Headers.Select(header => header.Value));
        }
    }

    [Fact]
    public void TheMemoryOfARecordIsTheCallersAgainAfterAppend()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter writer = NewWriter("memory");
        byte[] key = [1];
        byte[] value = [2];
        writer.Begin();
        writer.Append(partition, Outgoing(key, value, 1_700_000_000_000, null));
        key[0] = 9;
        value[0] = 9;
        Resumed(writer.Commit);

        Seen record = Assert.Single(ReadAll(partition));
        Assert.Equal([1], record.Key);
        Assert.Equal([2], record.Value);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(100_000)]
    public void APartitionKeepsItsOrderWhateverTheBatches(int max)
    {
        TopicPartition partition = NewPartition();
        string[] sent = [.. Enumerable.Range(0, 500).Select(i => $"v{i}")];
        Produce(partition, sent);

        Reader reader = NewReader(partition, 0);
        List<Seen> seen = [];
        Eventually(
            () =>
            {
                while (Take(reader, partition, max) is { Count: > 0 } batch)
                {
                    Assert.True(batch.Count <= max);
                    Assert.True(reader.Position(partition) > batch[^1].Offset);
                    seen.AddRange(batch);
                }

                return seen.Count >= sent.Length;
            },
            "all records are read");
        Assert.Equal(sent, seen.Select(record => record.ValueText));
        Assert.Equal(seen.Select(record => record.Offset).Distinct().Order(), seen.Select(record => record.Offset));
    }

    [Fact]
    public void TimestampsCanBeReadWithoutTheRest()
    {
        TopicPartition partition = NewPartition();
        using (OutputWriter writer = Broker.CreateOutputWriter())
        {
            writer.Append(partition, Outgoing("k", "a", 1_600_000_000_007));
            writer.Flush();
        }

        Reader reader = NewReader(partition, 0);
        RecordBatch? batch = null;
        Eventually(() => (batch = reader.Read(partition, 10)) is not null, "the record is read");
        Assert.Equal(1, batch!.Count);
        Assert.Equal(1_600_000_000_007, batch.TimestampAt(0));
    }

    [Fact]
    public void AnEmptyPartitionIsAtItsEnd()
    {
        TopicPartition partition = NewPartition();
        Reader reader = NewReader(partition, 0);

        Assert.Equal(0, reader.Position(partition));
        Eventually(() => Take(reader, partition).Count == 0 && reader.AtEnd(partition), "the reader is at the end");
        Assert.Equal(0, reader.Position(partition));
        Assert.Equal(0, Broker.StartOffset(partition));
        Assert.Equal(0, Broker.EndOffset(partition, committedOnly: false));
        Assert.Equal(0, Broker.EndOffset(partition, committedOnly: true));
    }

    [Fact]
    public void OneReaderReadsSeveralPartitionsAndABatchStaysGoodWhileAnotherPartitionIsRead()
    {
        string topic = NewTopic(3);
        TopicPartition[] partitions = [.. Enumerable.Range(0, 3).Select(number => new TopicPartition(topic, number))];
        Reader reader = Made(Broker.CreateReader(readCommitted: true));
        foreach (TopicPartition partition in partitions)
        {
            Produce(partition, $"first of {partition.Partition}", $"second of {partition.Partition}");
            reader.Assign(partition, 0);
        }

        RecordBatch? kept = null;
        Eventually(() => (kept = reader.Read(partitions[0], 1)) is not null, "a batch of the first partition");
        Assert.Equal(["first of 1", "second of 1"], ReadTo(reader, partitions[1], 2).Select(record => record.ValueText));
        Assert.Equal(["first of 2", "second of 2"], ReadTo(reader, partitions[2], 2).Select(record => record.ValueText));
        Assert.Equal("first of 0", Seen.Of(kept![0]).ValueText);
        Assert.Equal(["second of 0"], ReadTo(reader, partitions[0], 2).Select(record => record.ValueText));
    }

    [Fact]
    public void AssigningAgainGoesToTheOffset()
    {
        TopicPartition partition = NewPartition();
        Produce(partition, "a", "b", "c");
        Reader reader = NewReader(partition, 0);
        List<Seen> first = ReadTo(reader, partition, 3);

        reader.Assign(partition, first[1].Offset);

        Assert.Equal(first[1].Offset, reader.Position(partition));
        Assert.Equal(["b", "c"], ReadTo(reader, partition, 3).Select(record => record.ValueText));
    }

    [Fact]
    public void APartitionThatIsUnassignedLeavesTheOthersAndCanComeBack()
    {
        string topic = NewTopic(2);
        TopicPartition zero = new(topic, 0);
        TopicPartition one = new(topic, 1);
        Produce(zero, "a");
        Produce(one, "b");
        Reader reader = NewReader(zero, 0);
        reader.Assign(one, 0);
        Assert.Equal(["a"], ReadTo(reader, zero, 1).Select(record => record.ValueText));

        reader.Unassign(zero);
        Assert.Equal(["b"], ReadTo(reader, one, 1).Select(record => record.ValueText));
        Produce(zero, "c");
        reader.Assign(zero, 1);
        Assert.Equal(["c"], ReadTo(reader, zero, 2).Select(record => record.ValueText));
    }

    [Fact]
    public void AReaderThatIsAtTheEndSeesWhatComesLater()
    {
        TopicPartition partition = NewPartition();
        Reader reader = NewReader(partition, 0);
        Eventually(() => Take(reader, partition).Count == 0 && reader.AtEnd(partition), "the reader is at the end");

        Produce(partition, "late");

        Assert.Equal(["late"], ReadTo(reader, partition, 1).Select(record => record.ValueText));
    }

    [Fact]
    public async Task AWaitEndsWhenThereIsSomethingToReadAndWhenItIsWoken()
    {
        TopicPartition partition = NewPartition();
        Reader reader = NewReader(partition, 0);
        Eventually(() => Take(reader, partition).Count == 0 && reader.AtEnd(partition), "the reader is at the end");

        Task woken = Task.Run(() => reader.Wait(TimeSpan.FromMinutes(30)), TestContext.Current.CancellationToken);
        reader.Wake();
        await woken.WaitAsync(Limit, TestContext.Current.CancellationToken);

        // A wait may end without cause, so it goes on until the record is there.
        Task<List<Seen>> read = Task.Run(
            () =>
            {
                List<Seen> records = [];
                while ((records = Take(reader, partition)).Count == 0)
                {
                    reader.Wait(TimeSpan.FromMinutes(30));
                }

                return records;
            },
            TestContext.Current.CancellationToken);
        Produce(partition, "a");
        Assert.Equal("a", Assert.Single(await read.WaitAsync(Limit, TestContext.Current.CancellationToken)).ValueText);
    }

    [Fact]
    public async Task AWakeBeforeAWaitIsNotLost()
    {
        TopicPartition partition = NewPartition();
        Reader reader = NewReader(partition, 0);
        Eventually(() => Take(reader, partition).Count == 0 && reader.AtEnd(partition), "the reader is at the end");

        reader.Wake();
        Task wait = Task.Run(() => reader.Wait(TimeSpan.FromMinutes(30)), TestContext.Current.CancellationToken);
        await wait.WaitAsync(Limit, TestContext.Current.CancellationToken);
    }

    [Fact]
    public void AnOffsetThatDoesNotExistIsAnErrorThatNamesIt()
    {
        TopicPartition partition = NewPartition();
        Produce(partition, "a", "b");
        Reader reader = NewReader(partition, 17);

        OffsetOutOfRangeException? error = null;
        Eventually(() => (error = OutOfRange(reader, partition)) is not null, "the offset is refused");
        Assert.Equal(partition, error!.Partition);
        Assert.Equal(17, error.Offset);
        Assert.Equal(0, error.Start);
        Assert.Equal(2, error.End);
        Assert.Contains(partition.ToString(), error.Message, StringComparison.Ordinal);

        reader.Assign(partition, 1);
        Assert.Equal(["b"], ReadTo(reader, partition, 2).Select(record => record.ValueText));
    }

    [Fact]
    public void ARecordOfHalfAMebibyteIsTaken()
    {
        TopicPartition partition = NewPartition();
        byte[] value = new byte[500_000];
        new Random(7).NextBytes(value);
        TransactionalWriter writer = NewWriter("large");
        writer.Begin();
        writer.Append(partition, Outgoing([1], value, 1_700_000_000_000, null));
        Resumed(writer.Commit);

        Assert.Equal(value, Assert.Single(ReadAll(partition)).Value);
    }

    [Fact]
    public void ARecordThatIsTooLargeStopsItsTransactionAndTheWriterGoesOnAfterAnAbort()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter writer = NewWriter("too-large");
        writer.Begin();
        writer.Append(partition, Outgoing("k", "small"));
        BrokerException error = Assert.Throws<BrokerException>(() =>
        {
            writer.Append(partition, Outgoing([1], new byte[4 << 20], 1_700_000_000_000, null));
            Resumed(writer.Commit);
        });
        Assert.Equal(Consequence.Stop, error.Consequence);
        Assert.Contains(partition.Topic, error.Message, StringComparison.Ordinal);
        Resumed(writer.Abort);

        Transact(writer, partition, commit: true, "after");
        Assert.Equal(["after"], Values(partition));
    }

    [Fact]
    public void AnOutputWriterSaysThatARecordIsTooLarge()
    {
        TopicPartition partition = NewPartition();
        using OutputWriter writer = Broker.CreateOutputWriter();

        BrokerException error = Assert.Throws<BrokerException>(() =>
        {
            writer.Append(partition, Outgoing([1], new byte[4 << 20], 1_700_000_000_000, null));
            writer.Flush();
        });
        Assert.Equal(Consequence.Stop, error.Consequence);
    }

    private static OffsetOutOfRangeException? OutOfRange(Reader reader, TopicPartition partition)
    {
        try
        {
            reader.Read(partition, 10);
            return null;
        }
        catch (OffsetOutOfRangeException error)
        {
            return error;
        }
    }
}
