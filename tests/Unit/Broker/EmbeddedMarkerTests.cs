using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Transaction ends that reach a partition late, and answers that are lost.</summary>
public sealed class EmbeddedMarkerTests : IDisposable
{
    private readonly ManualClock _clock = new();
    private readonly EmbeddedBroker _broker;
    private readonly TopicPartition _late;
    private readonly TopicPartition _prompt;

    public EmbeddedMarkerTests()
    {
        _broker = EmbeddedBroker.InMemory(time: _clock);
        _late = _broker.Topic("late");
        _prompt = _broker.Topic("prompt");
    }

    public void Dispose() => _broker.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void PositionsAreStableBeforeTheMarkerHasReachedAPartition(bool commit)
    {
        _broker.HoldMarkers(_late);
        EmbeddedWriter writer = _broker.Writer("w");
        writer.Begin();
        writer.Put(_late, "k", "a");
        writer.Put(_prompt, "k", "a");
        writer.SendOffsets("group", [new(_prompt, 3)], EmbeddedParts.NoMember);
        Assert.False(_broker.TryGetCommittedOffsets("group", [_prompt], out _));
        if (commit)
        {
            writer.Commit();
        }
        else
        {
            writer.Abort();
        }

        Assert.True(_broker.TryGetCommittedOffsets("group", [_prompt], out long?[] offsets));
        Assert.Equal([commit ? 3 : null], offsets);
        Assert.Equal(commit ? ["a"] : [], _broker.Values("prompt"));
        Assert.Empty(_broker.Values("late"));
        Assert.Equal(0, _broker.EndOffset(_late, committedOnly: true));
        Assert.Equal(1, _broker.EndOffset(_late, committedOnly: false));

        _broker.ReleaseMarkers(_late);
        Assert.Equal(commit ? ["a"] : [], _broker.Values("late"));
        Assert.Equal(2, _broker.EndOffset(_late, committedOnly: true));
    }

    [Fact]
    public void TheSameWriterGoesOnWhileItsMarkersAreLate()
    {
        _broker.HoldMarkers(_late);
        EmbeddedWriter writer = _broker.Writer("w");
        foreach (string value in new[] { "a", "b" })
        {
            writer.Begin();
            writer.Put(_late, "k", value);
            writer.Commit();
        }

        writer.Begin();
        writer.Put(_late, "k", "open");
        _broker.ReleaseMarkers(_late);

        Assert.Equal(["a", "b"], _broker.Values("late"));
        Assert.Equal(2, _broker.EndOffset(_late, committedOnly: true));
        Assert.Equal(5, _broker.EndOffset(_late, committedOnly: false));
        writer.Abort();
        Assert.Equal(["a", "b"], _broker.Values("late"));
    }

    [Fact]
    public void CompactionAndRetentionStopAtWhatIsNotStable()
    {
        TopicPartition compacted = _broker.Topic("compacted", TopicCleanup.Compact);
        _broker.HoldMarkers(compacted);
        EmbeddedWriter writer = _broker.Writer("w");
        _broker.Put(compacted, "k", "1");
        _broker.Put(compacted, "k", "2");
        writer.Begin();
        writer.Put(compacted, "k", "3");
        writer.Commit();
        _broker.Put(compacted, "k", "4");

        _broker.Compact();
        Assert.Equal(["2"], _broker.Values("compacted"));
        Assert.Equal(["2", "3", "4"], _broker.Values("compacted", readCommitted: false));
        Assert.Equal(2, _broker.EndOffset(compacted, committedOnly: true));

        _broker.ReleaseMarkers(compacted);
        Assert.Equal(["2", "3", "4"], _broker.Values("compacted"));
        _broker.Compact();
        Assert.Equal(["4"], _broker.Values("compacted"));
        Assert.Equal(5, _broker.EndOffset(compacted, committedOnly: true));
    }

    [Fact]
    public void ACommitWhoseAnswerWasLostIsDoneOnceWhenItIsAskedAgain()
    {
        EmbeddedWriter writer = _broker.Writer("w");
        bool lost = false;
        _broker.WriterFaults = (_, call, after) =>
        {
            if (call == "Commit" && after && !lost)
            {
                lost = true;
                throw new BrokerException(Consequence.Retry, "no answer in time");
            }
        };
        writer.Begin();
        writer.Put(_prompt, "k", "a");
        writer.SendOffsets("group", [new(_prompt, 1)], EmbeddedParts.NoMember);
        Assert.Throws<BrokerException>(writer.Commit);
        _broker.SetCommittedOffset("group", _prompt, 9);

        writer.Commit();

        Assert.Equal(["a"], _broker.Values("prompt"));
        Assert.Equal(2, _broker.EndOffset(_prompt, committedOnly: true));
        Assert.True(_broker.TryGetCommittedOffsets("group", [_prompt], out long?[] offsets));
        Assert.Equal([9], offsets);
        Assert.Equal(0, writer.LastOffset(_prompt));
    }

    [Fact]
    public void ACommitWhoseAnswerWasLostCannotBeAborted()
    {
        EmbeddedWriter writer = _broker.Writer("w");
        _broker.WriterFaults = (_, call, after) =>
        {
            if (call == "Commit" && after)
            {
                throw new BrokerException(Consequence.Retry, "no answer in time");
            }
        };
        writer.Begin();
        writer.Put(_prompt, "k", "a");
        Assert.Throws<BrokerException>(writer.Commit);

        Assert.Equal(Consequence.NewWriter, Assert.Throws<BrokerException>(writer.Abort).Consequence);
        _broker.Writer("w");
        Assert.Equal(["a"], _broker.Values("prompt"));
    }

    [Fact]
    public void ATransactionPastItsTimeoutIsAbortedByWhoeverLooksNext()
    {
        EmbeddedWriter writer = _broker.Writer("w");
        writer.Begin();
        writer.Put(_prompt, "k", "a");
        writer.SendOffsets("group", [new(_prompt, 1)], EmbeddedParts.NoMember);
        _clock.Advance(TimeSpan.FromSeconds(59));
        Assert.False(_broker.TryGetCommittedOffsets("group", [_prompt], out _));

        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.True(_broker.TryGetCommittedOffsets("group", [_prompt], out long?[] offsets));
        Assert.Equal([null], offsets);
        Assert.Equal(2, _broker.EndOffset(_prompt, committedOnly: true));
        Assert.Equal(Consequence.NewWriter, Assert.Throws<BrokerException>(writer.Commit).Consequence);
    }

    [Fact]
    public void RecordsDeletedBelowAnOpenTransactionLeaveTheStableEndAtTheStart()
    {
        EmbeddedWriter writer = _broker.Writer("w");
        writer.Begin();
        writer.Put(_prompt, "k", "a");
        writer.Put(_prompt, "k", "b");
        _broker.DeleteRecords(_prompt, 1);

        Assert.Equal(1, _broker.EndOffset(_prompt, committedOnly: true));
        writer.Commit();
        Assert.Equal(["b"], _broker.Values("prompt"));
    }
}
