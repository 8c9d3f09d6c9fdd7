using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Transactions: what readers see of them, and who may end them.</summary>
public abstract partial class BrokerContract
{
    [Fact]
    public void CommittedRecordsAreSeenAndAbortedOnesAreNot()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter writer = NewWriter("outcomes");
        Transact(writer, partition, commit: true, "a", "b");
        Transact(writer, partition, commit: false, "x", "y");
        Transact(writer, partition, commit: true, "c");

        Assert.Equal(["a", "b", "c"], Values(partition));
        string?[] uncommitted = Values(partition, readCommitted: false);
        Assert.Equal(["a", "b", "c"], uncommitted.Where(value => value is not ("x" or "y")));
    }

    [Fact]
    public void AReaderPassesMarkersAndAbortedRecordsUpToTheEnd()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter writer = NewWriter("passing");
        Transact(writer, partition, commit: true, "a");
        Eventually(() => IsStable(partition) && Broker.EndOffset(partition, committedOnly: false) > 0, "the commit is seen");
        long before = Broker.EndOffset(partition, committedOnly: false);
        writer.Begin();
        writer.Append(partition, Outgoing("k", "x"));
        AwaitAppended(partition, before);
        Resumed(writer.Abort);
        Eventually(() => IsStable(partition), "the abort is seen");

        long end = Broker.EndOffset(partition, committedOnly: false);
        Reader reader = NewReader(partition, 0);
        List<Seen> seen = ReadTo(reader, partition, end);
        Assert.Equal(["a"], seen.Select(record => record.ValueText));
        Assert.True(end > seen[0].Offset + 2, "the marker and the aborted record took offsets");
        Eventually(() => Take(reader, partition).Count == 0 && reader.AtEnd(partition), "the reader is at the end");
        Assert.Equal(end, reader.Position(partition));
    }

    [Fact]
    public void AReaderThatBeginsWhereAnotherStoppedMissesAndRepeatsNothing()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter writer = NewWriter("positions");
        List<string?> seen = [];
        long position = 0;
        for (int i = 0; i < 12; i++)
        {
            Transact(writer, partition, commit: i % 3 != 1, $"{i}a", $"{i}b");
            if (i % 2 == 0)
            {
                using Reader reader = Broker.CreateReader(readCommitted: true);
                reader.Assign(partition, position);
                seen.AddRange(ReadTo(reader, partition, Broker.EndOffset(partition, committedOnly: false), max: 1).Select(record => record.ValueText));
                position = reader.Position(partition);
            }
        }

        using Reader last = Broker.CreateReader(readCommitted: true);
        last.Assign(partition, position);
        seen.AddRange(ReadTo(last, partition, Broker.EndOffset(partition, committedOnly: false)).Select(record => record.ValueText));
        Assert.Equal(Enumerable.Range(0, 12).Where(i => i % 3 != 1).SelectMany(i => new[] { $"{i}a", $"{i}b" }), seen);
    }

    [Fact]
    public void AReaderWaitsBeforeAPendingTransactionAndSeesEverythingInOrderAfterIt()
    {
        TopicPartition partition = NewPartition();
        Produce(partition, "before");
        TransactionalWriter writer = NewWriter("pending");
        writer.Begin();
        writer.Append(partition, Outgoing("k", "pending"));
        AwaitAppended(partition, 1);
        Produce(partition, "behind");

        Reader uncommitted = NewReader(partition, 0, readCommitted: false);
        List<Seen> all = ReadTo(uncommitted, partition, Broker.EndOffset(partition, committedOnly: false));
        Assert.Equal(["before", "pending", "behind"], all.Select(record => record.ValueText));
        Assert.Equal(all[1].Offset, Broker.EndOffset(partition, committedOnly: true));

        Reader reader = NewReader(partition, 0);
        List<Seen> seen = [];
        Eventually(
            () =>
            {
                List<Seen> batch = Take(reader, partition);
                seen.AddRange(batch);
                return batch.Count == 0 && reader.AtEnd(partition);
            },
            "the reader is at the last stable offset");
        Assert.Equal(["before"], seen.Select(record => record.ValueText));
        Assert.Equal(all[1].Offset, reader.Position(partition));

        Resumed(writer.Commit);
        Assert.Equal(["pending", "behind"], ReadTo(reader, partition, Broker.EndOffset(partition, committedOnly: false)).Select(record => record.ValueText));
    }

    [Fact]
    public void TheLastStableOffsetIsTheFirstOfTheOldestTransactionThatIsOpen()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter older = NewWriter("older");
        TransactionalWriter newer = NewWriter("newer");
        older.Begin();
        older.Append(partition, Outgoing("k", "older"));
        AwaitAppended(partition, 0);
        newer.Begin();
        newer.Append(partition, Outgoing("k", "newer"));
        AwaitAppended(partition, 1);
        Assert.Equal(0, Broker.EndOffset(partition, committedOnly: true));

        Resumed(newer.Commit);
        AwaitAppended(partition, 2);
        Assert.Equal(0, Broker.EndOffset(partition, committedOnly: true));
        Reader reader = NewReader(partition, 0);
        Eventually(() => Take(reader, partition).Count == 0 && reader.AtEnd(partition), "the reader is at the last stable offset");
        Assert.Equal(0, reader.Position(partition));

        Resumed(older.Abort);
        Eventually(() => IsStable(partition), "both are ended");
        Assert.Equal(["newer"], ReadTo(reader, partition, Broker.EndOffset(partition, committedOnly: false)).Select(record => record.ValueText));
    }

    [Fact]
    public void ATransactionHoldsBackOnlyThePartitionsItWroteTo()
    {
        string topic = NewTopic(2);
        TransactionalWriter writer = NewWriter("one-of-two");
        writer.Begin();
        writer.Append(new TopicPartition(topic, 0), Outgoing("k", "pending"));
        AwaitAppended(new TopicPartition(topic, 0), 0);
        Produce(new TopicPartition(topic, 1), "free");

        Assert.Equal(["free"], Values(new TopicPartition(topic, 1)));
        Resumed(writer.Commit);
        Assert.Equal(["pending"], Values(new TopicPartition(topic, 0)));
    }

    [Fact]
    public void ACommitIsSeenOnAllItsPartitions()
    {
        string first = NewTopic(2);
        string second = NewTopic(3);
        TopicPartition[] partitions =
            [.. Enumerable.Range(0, 2).Select(number => new TopicPartition(first, number)), .. Enumerable.Range(0, 3).Select(number => new TopicPartition(second, number))];
        TransactionalWriter writer = NewWriter("wide");
        foreach (bool commit in new[] { true, false, true })
        {
            writer.Begin();
            foreach (TopicPartition partition in partitions)
            {
                writer.Append(partition, Outgoing("k", $"{commit} {partition.Partition}"));
            }

            Resumed(commit ? writer.Commit : writer.Abort);
        }

        foreach (TopicPartition partition in partitions)
        {
            Assert.Equal([$"True {partition.Partition}", $"True {partition.Partition}"], Values(partition));
        }
    }

    [Fact]
    public void AWriterKnowsTheOffsetsOfItsLastCommit()
    {
        string topic = NewTopic(2);
        TopicPartition zero = new(topic, 0);
        TopicPartition one = new(topic, 1);
        TransactionalWriter writer = NewWriter("last-offset");
        Transact(writer, zero, commit: true, "early");
        writer.Begin();
        writer.Append(zero, Outgoing("k", "a"));
        writer.Append(one, Outgoing("k", "b"));
        writer.Append(zero, Outgoing("k", "c"));
        Resumed(writer.Commit);
        (long Zero, long One) known = (writer.LastOffset(zero), writer.LastOffset(one));
        Transact(writer, zero, commit: false, "aborted");

        Assert.Equal(known, (writer.LastOffset(zero), writer.LastOffset(one)));
        Assert.Equal(known.Zero, ReadAll(zero).Single(record => record.ValueText == "c").Offset);
        Assert.Equal(known.One, ReadAll(one).Single(record => record.ValueText == "b").Offset);
    }

    [Fact]
    public void ATransactionWithoutRecordsCanBeEnded()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter writer = NewWriter("empty");
        Transact(writer, partition, commit: true);
        Transact(writer, partition, commit: false);
        Transact(writer, partition, commit: true, "a");

        Assert.Equal(["a"], Values(partition));
    }

    [Fact]
    public void AWriterThatIsInitializedFencesTheOneBeforeAndAbortsWhatItLeftOpen()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter former = NewWriter("fenced");
        former.Begin();
        former.Append(partition, Outgoing("k", "zombie"));
        AwaitAppended(partition, 0);

        TransactionalWriter latter = NewWriter("fenced");
        Eventually(() => IsStable(partition), "what the former left open is ended");
        Transact(latter, partition, commit: true, "a");

        AssertNeedsNewWriter(former.Commit);
        Transact(latter, partition, commit: true, "b");
        Assert.Equal(["a", "b"], Values(partition));
    }

    [Fact]
    public void AFencedWriterCannotBeginAgain()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter former = NewWriter("idle");
        Transact(former, partition, commit: true, "a");
        TransactionalWriter latter = NewWriter("idle");

        AssertNeedsNewWriter(() => Transact(former, partition, commit: true, "zombie"));
        Transact(latter, partition, commit: true, "b");
        Assert.Equal(["a", "b"], Values(partition));
    }

    [Fact]
    public void WritersOfOtherIdsAreNotFenced()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter one = NewWriter("id-1");
        one.Begin();
        one.Append(partition, Outgoing("k", "a"));
        AwaitAppended(partition, 0);
        TransactionalWriter two = NewWriter("id-2");
        Transact(two, partition, commit: true, "b");
        Resumed(one.Commit);

        Assert.Equal(["a", "b"], Values(partition));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ANewWriterOfTheIdSettlesATransactionWhoseEndIsInDoubt(bool committed)
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter former = NewWriter("doubt");
        former.Begin();
        former.Append(partition, Outgoing("k", "doubtful"));
        AwaitAppended(partition, 0);
        if (committed)
        {
            Resumed(former.Commit);
        }

        // The application did not see how it ended.
        former.Dispose();
        TransactionalWriter latter = NewWriter("doubt");

        Eventually(() => IsStable(partition), "the doubtful transaction is ended");
        Transact(latter, partition, commit: true, "after");
        Assert.Equal(committed ? ["doubtful", "after"] : ["after"], Values(partition));
    }

    [Fact]
    public void ATransactionThatOutlivesItsTimeoutIsAbortedAndItsWriterFenced()
    {
        TopicPartition partition = NewPartition();
        TransactionalWriter writer = NewWriter("slow", TimeSpan.FromSeconds(5));
        writer.Begin();
        writer.Append(partition, Outgoing("k", "late"));
        AwaitAppended(partition, 0);

        Eventually(
            () =>
            {
                PassTime(TimeSpan.FromSeconds(1));
                return IsStable(partition);
            },
            "the transaction is aborted");
        AssertNeedsNewWriter(writer.Commit);
        writer.Dispose();
        Transact(NewWriter("slow"), partition, commit: true, "a");
        Assert.Equal(["a"], Values(partition));
    }

    [Fact]
    public async Task SeveralWritersAtOnceLoseAndDoubleNothing()
    {
        TopicPartition partition = NewPartition();
        const int Rounds = 20;
        await Task.WhenAll(Enumerable.Range(0, 3).Select(number => Task.Run(
            () =>
            {
                using TransactionalWriter writer = Broker.CreateWriter(Unique($"parallel-{number}"), TimeSpan.FromSeconds(60));
                Resumed(writer.Initialize);
                for (int round = 0; round < Rounds; round++)
                {
                    Transact(writer, partition, commit: round % 4 != 3, $"{number}.{round}a", $"{number}.{round}b");
                }
            },
            TestContext.Current.CancellationToken)));

        string?[] values = Values(partition);
        for (int number = 0; number < 3; number++)
        {
            Assert.Equal(
                Enumerable.Range(0, Rounds).Where(round => round % 4 != 3).SelectMany(round => new[] { $"{number}.{round}a", $"{number}.{round}b" }),
                values.Where(value => value!.StartsWith($"{number}.", StringComparison.Ordinal)));
        }
    }

    private bool IsStable(TopicPartition partition)
    {
        long stable = Broker.EndOffset(partition, committedOnly: true);
        return stable == Broker.EndOffset(partition, committedOnly: false);
    }

    private static void AssertNeedsNewWriter(Action call) =>
        Assert.Equal(Consequence.NewWriter, Assert.Throws<BrokerException>(() => Resumed(call)).Consequence);
}
