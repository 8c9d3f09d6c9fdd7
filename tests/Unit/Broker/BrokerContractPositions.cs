using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The positions of groups inside transactions, and the fencing of members that are gone.</summary>
public abstract partial class BrokerContract
{
    [Fact]
    public void AGroupWithoutPositionsHasNone()
    {
        string topic = NewTopic(2);

        Assert.Equal([null, null], Committed(Unique("no-positions"), new(topic, 0), new(topic, 1)));
    }

    [Fact]
    public void PositionsWaitWhileTheirTransactionIsPendingAndAreNewAfterItsCommitAndOldAfterItsAbort()
    {
        string topic = NewTopic(3);
        TopicPartition zero = new(topic, 0);
        TopicPartition one = new(topic, 1);
        TopicPartition two = new(topic, 2);
        Contestant member = NewContestant("positions", topic);
        TurnUntil(() => member.Owned.Count == 3, "the member owns the partitions", member);
        TransactionalWriter writer = NewWriter("with-positions");

        writer.Begin();
        writer.Append(zero, Outgoing("k", "a"));
        writer.SendOffsets(member.Group, [new(zero, 5), new(one, 7)], member.Member.Token);
        Assert.False(Broker.TryGetCommittedOffsets(member.Group, [zero, one], out _));
        Assert.False(Broker.TryGetCommittedOffsets(member.Group, [two, one], out _));
        Assert.Equal([null], Committed(member.Group, two));
        Resumed(writer.Commit);
        Assert.Equal([5, 7, null], Committed(member.Group, zero, one, two));

        writer.Begin();
        writer.SendOffsets(member.Group, [new(zero, 6)], member.Member.Token);
        Assert.False(Broker.TryGetCommittedOffsets(member.Group, [zero], out _));
        Assert.Equal([7], Committed(member.Group, one));
        Resumed(writer.Abort);
        Assert.Equal([5, 7, null], Committed(member.Group, zero, one, two));
        Assert.Equal(["a"], Values(zero));
    }

    [Fact]
    public void PositionsOfSeveralTopicsGoWithOneTransactionAndTheLastSentCounts()
    {
        string topic = NewTopic();
        TopicPartition other = NewPartition();
        Contestant member = NewContestant("several", topic);
        TurnUntil(() => member.Owned.Count == 1, "the member owns the partition", member);
        TransactionalWriter writer = NewWriter("several");

        writer.Begin();
        writer.SendOffsets(member.Group, [new(other, 3)], member.Member.Token);
        writer.SendOffsets(member.Group, [new(other, 4), new(new(topic, 0), 9)], member.Member.Token);
        Resumed(writer.Commit);

        Assert.Equal([9, 4], Committed(member.Group, new(topic, 0), other));
        Assert.Equal([null], Committed(Unique("another"), other));
    }

    [Fact]
    public void PositionsOfAWriterThatIsReplacedAreDropped()
    {
        TopicPartition partition = NewPartition();
        Contestant member = NewContestant("replaced", partition.Topic);
        TurnUntil(() => member.Owned.Count == 1, "the member owns the partition", member);
        TransactionalWriter former = NewWriter("replaced");
        former.Begin();
        former.SendOffsets(member.Group, [new(partition, 1)], member.Member.Token);
        Assert.False(Broker.TryGetCommittedOffsets(member.Group, [partition], out _));

        NewWriter("replaced");

        Assert.Equal([null], Committed(member.Group, partition));
    }

    [Fact]
    public void PositionsThatAReplacedWriterSendsLateAreRefused()
    {
        TopicPartition partition = NewPartition();
        Contestant member = NewContestant("late", partition.Topic);
        TurnUntil(() => member.Owned.Count == 1, "the member owns the partition", member);
        TransactionalWriter former = NewWriter("late");
        former.Begin();
        former.Append(partition, Outgoing("k", "late"));
        TransactionalWriter next = NewWriter("late");

        Assert.Throws<BrokerException>(() => former.SendOffsets(member.Group, [new(partition, 1)], member.Member.Token));

        Assert.Equal([null], Committed(member.Group, partition));
        next.Begin();
        next.SendOffsets(member.Group, [new(partition, 2)], member.Member.Token);
        Resumed(next.Commit);
        Assert.Equal([2], Committed(member.Group, partition));
        Assert.Empty(Values(partition));
    }

    [Fact]
    public void PositionsOfAnOlderGenerationAreRefused()
    {
        string topic = NewTopic(2);

        // Of a topic outside the group, as the engine's inputs are: of its own, a broker may let a member commit what it has kept.
        TopicPartition partition = NewPartition();
        Contestant member = NewContestant("generations", topic);
        TurnUntil(() => member.Owned.Count == 2, "the member owns the partitions", member);
        GroupToken old = member.Member.Token;
        Contestant joining = NewContestant("generations", topic);
        TurnUntil(() => member.Owned.Count == 1 && joining.Owned.Count == 1, "the two share", member, joining);
        TurnUntil(() => member.Member.Token.Generation != old.Generation, "the member knows the new generation", member, joining);

        TransactionalWriter writer = NewWriter("generations");
        writer.Begin();
        writer.Append(partition, Outgoing("k", "refused"));
        BrokerException error = Assert.Throws<BrokerException>(() => writer.SendOffsets(member.Group, [new(partition, 1)], old));
        Assert.True(error.Consequence is Consequence.Abort or Consequence.LostMembership, error.Consequence.ToString());
        Resumed(writer.Abort);

        Assert.Equal([null], Committed(member.Group, partition));
        writer.Begin();
        writer.Append(partition, Outgoing("k", "taken"));
        writer.SendOffsets(member.Group, [new(partition, 1)], member.Member.Token);
        Resumed(writer.Commit);
        Assert.Equal([1], Committed(member.Group, partition));
        Assert.Equal(["taken"], Values(partition));
    }

    [Fact]
    public void PositionsOfAMemberThatHasLeftAreRefused()
    {
        string topic = NewTopic(2);
        TopicPartition partition = new(topic, 0);
        Contestant leaving = NewContestant("left", topic);
        Contestant staying = NewContestant("left", topic);
        TurnUntil(() => leaving.Owned.Count == 1 && staying.Owned.Count == 1, "the two share", leaving, staying);
        GroupToken token = leaving.Member.Token;
        Assert.True(token.IsMember);
        leaving.Leave();
        TurnUntil(() => staying.Owned.Count == 2, "the one that stays has everything", staying);

        TransactionalWriter writer = NewWriter("left");
        writer.Begin();
        writer.Append(partition, Outgoing("k", "refused"));
        BrokerException error = Assert.Throws<BrokerException>(() => writer.SendOffsets(staying.Group, [new(partition, 1)], token));
        Assert.Equal(Consequence.LostMembership, error.Consequence);
        Resumed(writer.Abort);

        Assert.Equal([null], Committed(staying.Group, partition));
        Assert.Empty(Values(partition));
        Assert.False(leaving.Member.Token.IsMember);
    }

    /// <summary>The positions, asked for until no transaction is pending.</summary>
    private long?[] Committed(string group, params TopicPartition[] partitions)
    {
        long?[] offsets = [];
        Eventually(() => Broker.TryGetCommittedOffsets(group, partitions, out offsets), "the positions are stable");
        return offsets;
    }
}
