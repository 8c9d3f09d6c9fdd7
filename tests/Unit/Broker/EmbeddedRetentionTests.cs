using Xunit;

namespace KStreamSharp.Tests;

/// <summary>What an embedded broker forgets: by size, by key, by request.</summary>
public sealed class EmbeddedRetentionTests : IDisposable
{
    private readonly ManualClock _clock = new();
    private readonly EmbeddedBroker _broker;

    public EmbeddedRetentionTests() =>
        _broker = EmbeddedBroker.InMemory(new EmbeddedBrokerOptions { RetentionBytes = 20_000, MaxRecordBytes = 10_000, DeleteRetention = TimeSpan.FromHours(1) }, _clock);

    public void Dispose() => _broker.Dispose();

    [Fact]
    public void ATopicKeepsItsNewestRecordsUpToItsBound()
    {
        TopicPartition partition = _broker.Topic("bounded", TopicCleanup.Delete);
        for (int i = 0; i < 100; i++)
        {
            _broker.Produce("bounded", null, new byte[1000], partition: 0);
        }

        long start = _broker.StartOffset(partition);
        Assert.InRange(100 - start, 15, 20);
        Assert.Equal(100, _broker.EndOffset(partition, committedOnly: false));
        Assert.Equal(Enumerable.Range((int)start, 100 - (int)start).Select(offset => (long)offset), _broker.ReadAll("bounded").Select(record => record.Offset));
    }

    [Fact]
    public void APartitionIsBoundedForItself()
    {
        _broker.CreateTopic("bounded", 2);
        _broker.Produce("bounded", null, "small".Utf8(), partition: 1);
        for (int i = 0; i < 100; i++)
        {
            _broker.Produce("bounded", null, new byte[1000], partition: 0);
        }

        Assert.Equal(0, _broker.StartOffset(new("bounded", 1)));
    }

    [Fact]
    public void TopicsOfTheEngineAreNotBoundedBySize()
    {
        TopicPartition kept = _broker.Topic("kept");
        TopicPartition compacted = _broker.Topic("compacted", TopicCleanup.Compact);
        for (int i = 0; i < 100; i++)
        {
            _broker.Produce("kept", null, new byte[1000]);
            _broker.Produce("compacted", [(byte)i], new byte[1000]);
        }

        _broker.Compact();
        Assert.Equal(100, _broker.ReadAll("kept").Count);
        Assert.Equal(100, _broker.ReadAll("compacted").Count);
        Assert.Equal((0, 0), (_broker.StartOffset(kept), _broker.StartOffset(compacted)));
    }

    [Fact]
    public void WhatIsNotStableIsKeptThoughItIsTooMuch()
    {
        TopicPartition partition = _broker.Topic("bounded", TopicCleanup.Delete);
        EmbeddedWriter writer = _broker.Writer("w");
        writer.Begin();
        for (int i = 0; i < 40; i++)
        {
            writer.Append(partition, new OutgoingRecord(1, default, false, new byte[1000], true, Headers.Empty));
        }

        _broker.Produce("bounded", null, "behind".Utf8());
        Assert.Equal(0, _broker.StartOffset(partition));

        writer.Commit();
        Assert.InRange(_broker.StartOffset(partition), 20, 30);
        Assert.Equal("behind", _broker.Values("bounded")[^1]);
    }

    [Fact]
    public void CompactionKeepsTheNewestOfEachKeyAndForgetsWhatWasAborted()
    {
        TopicPartition partition = _broker.Topic("compacted", TopicCleanup.Compact);
        EmbeddedWriter writer = _broker.Writer("w");
        for (int round = 0; round < 10; round++)
        {
            writer.Begin();
            writer.Put(partition, "a", $"a{round}");
            writer.Put(partition, $"once{round}", $"{round}");
            if (round % 3 == 2)
            {
                writer.Abort();
            }
            else
            {
                writer.Commit();
            }
        }

        long end = _broker.EndOffset(partition, committedOnly: false);
        _broker.Compact();

        Assert.Equal(["0", "1", "3", "4", "6", "7", "a9", "9"], _broker.Values("compacted"));
        Assert.Equal(["0", "1", "3", "4", "6", "7", "a9", "9"], _broker.Values("compacted", readCommitted: false));
        Assert.Equal(end, _broker.EndOffset(partition, committedOnly: false));
        Assert.Equal(end, _broker.EndOffset(partition, committedOnly: true));

        writer.Begin();
        writer.Put(partition, "a", "a10");
        writer.Commit();
        _broker.Compact();
        Assert.Equal(["0", "1", "3", "4", "6", "7", "9", "a10"], _broker.Values("compacted"));
    }

    [Fact]
    public void TombstonesAreKeptForTheirTime()
    {
        TopicPartition partition = _broker.Topic("compacted", TopicCleanup.Compact);
        _broker.Put(partition, "a", "1");
        _broker.Put(partition, "b", "1");
        _broker.Put(partition, "a", null);

        _clock.Advance(TimeSpan.FromMinutes(59));
        _broker.Compact();
        Assert.Equal(["1", null], _broker.Values("compacted"));

        _clock.Advance(TimeSpan.FromMinutes(1));
        _broker.Compact();
        Assert.Equal(["1"], _broker.Values("compacted"));
        Assert.Equal(3, _broker.EndOffset(partition, committedOnly: true));
    }

    [Fact]
    public void ACompactedTopicCompactsByItselfAndReadersGoOn()
    {
        TopicPartition partition = _broker.Topic("compacted", TopicCleanup.Compact);
        EmbeddedWriter writer = _broker.Writer("w");
        using Reader reader = _broker.CreateReader(readCommitted: true);
        reader.Assign(partition, 0);
        Dictionary<string, string> folded = [];
        for (int round = 0; round < 60; round++)
        {
            writer.Begin();
            for (int i = 0; i < 1000; i++)
            {
                writer.Put(partition, $"k{i % 100}", $"{round}.{i}");
            }

            writer.Commit();
            while (round % 7 == 0 && reader.Read(partition, 100) is { } batch)
            {
                for (int i = 0; i < batch.Count; i++)
                {
                    folded[batch[i].Key.ToArray().Text()!] = batch[i].Value.ToArray().Text()!;
                }
            }
        }

        Assert.InRange(_broker.ReadAll("compacted").Count, 100, 25_000);
        while (reader.Read(partition, 100) is { } batch)
        {
            for (int i = 0; i < batch.Count; i++)
            {
                folded[batch[i].Key.ToArray().Text()!] = batch[i].Value.ToArray().Text()!;
            }
        }

        Assert.Equal(_broker.EndOffset(partition, committedOnly: false), reader.Position(partition));
        Assert.Equal(Enumerable.Range(900, 100).Select(i => $"59.{i}").Order(StringComparer.Ordinal), folded.Values.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void ARecordWithoutAKeyIsRefusedByACompactedTopic()
    {
        _broker.Topic("compacted", TopicCleanup.Compact);

        ArgumentException error = Assert.Throws<ArgumentException>(() => _broker.Produce("compacted", null, [1]));
        Assert.Contains("compacted[0]", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ARecordAboveTheLimitIsRefusedWithItsSizeAndTheSetting()
    {
        _broker.Topic("small");

        ArgumentException error = Assert.Throws<ArgumentException>(() => _broker.Produce("small", new byte[5000], new byte[5001]));
        Assert.Contains("10001 bytes", error.Message, StringComparison.Ordinal);
        Assert.Contains("small[0]", error.Message, StringComparison.Ordinal);
        Assert.Contains(nameof(EmbeddedBrokerOptions.MaxRecordBytes), error.Message, StringComparison.Ordinal);
        Assert.Empty(_broker.ReadAll("small"));
    }

    [Fact]
    public void WhoStillHoldsATopicThatWasDeletedWritesNowhere()
    {
        TopicPartition partition = _broker.Topic("gone");
        Guid id = _broker.DescribeTopic("gone")!.Id;
        EmbeddedWriter writer = _broker.Writer("w");
        writer.Begin();
        writer.Put(partition, "k", "a");
        _broker.DeleteTopic("gone");
        _broker.Topic("gone");

        Assert.NotEqual(id, _broker.DescribeTopic("gone")!.Id);
        Assert.Equal(Consequence.Stop, Assert.Throws<BrokerException>(() => writer.Put(partition, "k", "b")).Consequence);
        writer.Commit();
        Assert.Empty(_broker.ReadAll("gone"));
        Assert.Equal(0, _broker.EndOffset(partition, committedOnly: false));
    }

    [Fact]
    public void RecordsWithoutAPartitionGoByTheirKeyAndWithoutAKeyInTurn()
    {
        _broker.CreateTopic("spread", 3);
        _broker.Produce("spread", Enumerable.Range(0, 6).Select(i => new NewRecord(null, [(byte)i])));
        _broker.Produce("spread", "foobar".Utf8(), [99]);

        Assert.Equal([0, 0, 1, 1, 2, 2], _broker.ReadAll("spread").Where(record => record.Key is null).Select(record => record.Partition));
        Assert.Equal(Murmur2.Partition("foobar"u8, 3), _broker.ReadAll("spread").Single(record => record.Key is not null).Partition);
        Assert.Throws<ArgumentException>(() => _broker.Produce("spread", null, null, partition: 3));
        Assert.Throws<ArgumentException>(() => _broker.Produce("absent", null, null));
    }
}
