using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A broker that is kept in a folder: closed, killed and opened again.</summary>
public sealed class EmbeddedFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Kept => Path.Combine(_folder.Path, "kept");

    private string Copy => Path.Combine(_folder.Path, "copy");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void WhatWasAcknowledgedIsThereAfterACloseAndAfterAKill(bool killed)
    {
        Guid id;
        using (EmbeddedBroker broker = EmbeddedBroker.Open(Kept))
        {
            TopicPartition partition = broker.Topic("topic", partitions: 2);
            id = broker.DescribeTopic("topic")!.Id;
            broker.Produce("topic", [1], null, DateTimeOffset.FromUnixTimeMilliseconds(77), Headers.Empty.With("h", "v").With("h", null), partition: 1);
            EmbeddedWriter writer = broker.Writer("w");
            writer.Begin();
            writer.Put(partition, "k", "committed");
            writer.SendOffsets("group", [new(partition, 5)], EmbeddedParts.NoMember);
            writer.Commit();
            writer.Begin();
            writer.Put(partition, "k", "aborted");
            writer.SendOffsets("group", [new(partition, 6)], EmbeddedParts.NoMember);
            writer.Abort();
            broker.SetCommittedOffset("group", new("topic", 1), 8);
            broker.Put(partition, "k", "deleted");
            broker.DeleteRecords(new("topic", 1), 1);
            broker.Produce("topic", null, [], DateTimeOffset.FromUnixTimeMilliseconds(78), Headers.Empty.With("h", "v").With("h", null), partition: 1);
            writer.Begin();
            writer.Put(partition, "k", "open");
            writer.SendOffsets("group", [new(partition, 7)], EmbeddedParts.NoMember);
            if (killed)
            {
                EmbeddedParts.CopyJournal(Kept, Copy);
            }
        }

        using EmbeddedBroker again = EmbeddedBroker.Open(killed ? Copy : Kept);
        Assert.Equal(id, again.DescribeTopic("topic")!.Id);
        Assert.Equal(2, again.PartitionCount("topic"));
        Assert.Equal(["committed", "deleted", ""], again.Values("topic"));
        Assert.True(again.TryGetCommittedOffsets("group", [new("topic", 0), new("topic", 1)], out long?[] offsets));
        Assert.Equal([5, 8], offsets);
        Assert.Equal(1, again.StartOffset(new("topic", 1)));
        EmbeddedRecord record = again.ReadAll("topic")[^1];
        Assert.Equal((1L, 78L), (record.Offset, record.Timestamp.ToUnixTimeMilliseconds()));
        Assert.Null(record.Key);
        Assert.Equal(("h", "v", "h", null), (record.Headers[0].Key, record.Headers[0].Value.Text(), record.Headers[1].Key, record.Headers[1].Value.Text()));
        Assert.Equal(again.EndOffset(new("topic", 0), committedOnly: false), again.EndOffset(new("topic", 0), committedOnly: true));
    }

    [Fact]
    public void WhatWasDeletedStaysDeleted()
    {
        using (EmbeddedBroker broker = EmbeddedBroker.Open(Kept))
        {
            broker.Topic("kept");
            broker.Topic("gone");
            broker.SetCommittedOffset("kept", new("kept", 0), 3);
            broker.SetCommittedOffset("gone", new("kept", 0), 4);
            broker.DeleteTopic("gone");
            broker.DeleteTopic("gone");
            broker.DeleteGroup("gone");
            broker.DeleteGroup("never");
        }

        using EmbeddedBroker again = EmbeddedBroker.Open(Kept);
        Assert.Null(again.DescribeTopic("gone"));
        Assert.True(again.TryGetCommittedOffsets("kept", [new("kept", 0)], out long?[] kept));
        Assert.True(again.TryGetCommittedOffsets("gone", [new("kept", 0)], out long?[] gone));
        Assert.Equal([3], kept);
        Assert.Equal([null], gone);
    }

    [Fact]
    public void ACommitThatWasDecidedIsCommittedThoughTheProcessEndedBeforeItsMarkers()
    {
        using (EmbeddedBroker broker = EmbeddedBroker.Open(Kept))
        {
            TopicPartition partition = broker.Topic("topic");
            broker.HoldMarkers(partition);
            EmbeddedWriter writer = broker.Writer("w");
            foreach (string value in new[] { "a", "b" })
            {
                writer.Begin();
                writer.Put(partition, "k", value);
                if (value == "a")
                {
                    writer.Commit();
                }
                else
                {
                    writer.Abort();
                }
            }

            EmbeddedParts.CopyJournal(Kept, Copy);
        }

        using EmbeddedBroker again = EmbeddedBroker.Open(Copy);
        Assert.Equal(["a"], again.Values("topic"));
        Assert.Equal(4, again.EndOffset(new("topic", 0), committedOnly: true));
    }

    [Fact]
    public void ATransactionOfPositionsAloneNeverLendsItsOutcomeToALaterOne()
    {
        using (EmbeddedBroker broker = EmbeddedBroker.Open(Kept))
        {
            TopicPartition partition = broker.Topic("topic");
            EmbeddedWriter writer = broker.Writer("w");
            writer.Begin();
            writer.SendOffsets("group", [new(partition, 1)], EmbeddedParts.NoMember);
            writer.Commit();
        }

        using (EmbeddedBroker broker = EmbeddedBroker.Open(Kept))
        {
            EmbeddedWriter writer = broker.Writer("w");
            writer.Begin();
            writer.Put(new("topic", 0), "k", "never committed");
            broker.Put(new("topic", 0), "k", "plain");
        }

        using EmbeddedBroker again = EmbeddedBroker.Open(Kept);
        Assert.Equal(["plain"], again.Values("topic"));
    }

    [Fact]
    public void ASmallerBoundHoldsFromTheOpeningOn()
    {
        using (EmbeddedBroker broker = EmbeddedBroker.Open(Kept))
        {
            broker.CreateTopic("topic", 1);
            broker.Produce("topic", Enumerable.Range(0, 100).Select(i => new NewRecord(null, new byte[1000])));
        }

        using EmbeddedBroker again = EmbeddedBroker.Open(Kept, new EmbeddedBrokerOptions { RetentionBytes = 20_000 });
        Assert.InRange(again.ReadAll("topic").Count, 15, 20);
        Assert.Equal(100, again.EndOffsets("topic"));
    }

    [Fact]
    public void AJournalThatHasGrownIsWrittenAnewWithEverythingThatIsLive()
    {
        EmbeddedBrokerOptions options = new() { RetentionBytes = 2 << 20 };
        using (EmbeddedBroker broker = EmbeddedBroker.Open(Kept, options))
        {
            TopicPartition kept = broker.Topic("kept");
            TopicPartition compacted = broker.Topic("compacted", TopicCleanup.Compact);
            broker.CreateTopic("bounded", 1);
            EmbeddedWriter writer = broker.Writer("w");
            writer.Begin();
            writer.Put(compacted, "k", "1");
            writer.Put(compacted, "k", "2");
            writer.SendOffsets("group", [new(kept, 3)], EmbeddedParts.NoMember);
            writer.Commit();
            writer.Begin();
            writer.Put(compacted, "k", "aborted");
            writer.Put(kept, "k", "aborted");
            writer.Abort();
            broker.Compact();
            broker.HoldMarkers(kept);
            writer.Begin();
            writer.Put(kept, "k", "decided");
            writer.Commit();
            EmbeddedWriter open = broker.Writer("open");
            open.Begin();
            open.Put(kept, "k", "open");

            long largest = 0;
            for (int i = 0; i < 150; i++)
            {
                broker.Produce("bounded", null, new byte[500_000]);
                largest = Math.Max(largest, new FileInfo(Path.Combine(Kept, "journal")).Length);
            }

            Assert.InRange(largest, 64 << 20, 80 << 20);
            Assert.InRange(new FileInfo(Path.Combine(Kept, "journal")).Length, 1, 20 << 20);
            Assert.False(File.Exists(Path.Combine(Kept, "journal.new")));
            EmbeddedParts.CopyJournal(Kept, Copy);
        }

        using EmbeddedBroker again = EmbeddedBroker.Open(Copy, options);
        Assert.Equal(["2"], again.Values("compacted"));
        Assert.Equal(5, again.EndOffset(new("compacted", 0), committedOnly: true));
        Assert.Equal(["decided"], again.Values("kept"));
        Assert.Equal([147, 148, 149], again.ReadAll("bounded").Select(record => record.Offset).TakeLast(3));
        Assert.True(again.TryGetCommittedOffsets("group", [new("kept", 0)], out long?[] offsets));
        Assert.Equal([3], offsets);
    }

    [Fact]
    public void AFolderInUseIsRefusedWithTheProcessThatUsesIt()
    {
        using EmbeddedBroker broker = EmbeddedBroker.Open(Kept);

        StreamException error = Assert.Throws<StreamException>(() => EmbeddedBroker.Open(Kept));
        Assert.Equal(ExitCode.State, error.Code);
        Assert.Contains($"process {Environment.ProcessId}", error.Message, StringComparison.Ordinal);
        Assert.Contains(Kept, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFolderIsFreeAgainAfterAnOpeningThatFailed()
    {
        using (EmbeddedBroker.Open(Kept))
        {
        }

        byte[] good = File.ReadAllBytes(Path.Combine(Kept, "journal"));
        File.WriteAllText(Path.Combine(Kept, "journal"), "something else entirely");
        Assert.Throws<StreamException>(() => EmbeddedBroker.Open(Kept));
        File.WriteAllBytes(Path.Combine(Kept, "journal"), good);

        using EmbeddedBroker again = EmbeddedBroker.Open(Kept);
        Assert.Null(again.PartitionCount("topic"));
    }

    [Fact]
    public void AFileInPlaceOfTheFolderIsRefused()
    {
        File.WriteAllText(Kept, "a file");

        StreamException error = Assert.Throws<StreamException>(() => EmbeddedBroker.Open(Kept));
        Assert.Equal(ExitCode.State, error.Code);
        Assert.Contains(Kept, error.Message, StringComparison.Ordinal);
    }
}
