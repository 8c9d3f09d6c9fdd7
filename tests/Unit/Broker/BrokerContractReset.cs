using Xunit;

namespace KStreamSharp.Tests;

/// <summary>What an application is brought back to its beginning with: topics and groups deleted, members counted.</summary>
public abstract partial class BrokerContract
{
    [Fact]
    public void ADeletedTopicIsGoneAndAnotherOfItsNameIsAnotherTopic()
    {
        string topic = NewTopic(2);
        TopicDescription before = Broker.DescribeTopic(topic)!;
        Produce(new TopicPartition(topic, 1), "a", "b");

        Broker.DeleteTopic(topic);
        Assert.Null(Broker.DescribeTopic(topic));
        Broker.DeleteTopic(topic);

        Broker.CreateTopic(new TopicSpec(topic, 3, TopicCleanup.Compact));
        TopicDescription after = Broker.DescribeTopic(topic)!;
        Assert.NotEqual(before.Id, after.Id);
        Assert.Equal((3, TopicCleanup.Compact), (after.Partitions, after.Cleanup));
        TopicPartition partition = new(topic, 1);
        Eventually(() => EndsAt(partition, 0), "the new topic is empty");
        Produce(partition, "c");
        Assert.Equal(["c"], Values(partition));
    }

    [Fact]
    public void MembersAreCountedUntilTheyLeave()
    {
        string topic = NewTopic(2);
        Assert.Equal(0, Broker.CountMembers(Unique("counted")));
        Contestant one = NewContestant("counted", topic);
        TurnUntil(() => one.Owned.Count == 2, "the first owns everything", one);
        Assert.Equal(1, Broker.CountMembers(one.Group));
        Contestant two = NewContestant("counted", topic);
        TurnUntil(() => one.Owned.Count == 1 && two.Owned.Count == 1, "the two share", one, two);
        Assert.Equal(2, Broker.CountMembers(one.Group));

        one.Leave();
        TurnUntil(() => two.Owned.Count == 2, "the second owns everything", two);
        Assert.Equal(1, Broker.CountMembers(one.Group));
        two.Leave();
        Eventually(() => Broker.CountMembers(one.Group) == 0, "the group is empty");
    }

    [Fact]
    public void AStaticMemberThatIsAwayCountsUntilItsSessionTimesOut()
    {
        Assert.SkipUnless(HasStaticMembers, "The protocol has no static members.");
        Contestant member = NewContestant("away", NewTopic(2), "static");
        TurnUntil(() => member.Owned.Count == 2, "the member owns everything", member);
        member.Dispose();
        Assert.Equal(1, Broker.CountMembers(member.Group));
        PassTime(TimeSpan.FromSeconds(9));
        Eventually(() => Broker.CountMembers(member.Group) == 0, "its session has timed out");
    }

    [Fact]
    public void ADeletedGroupHasNoPositionsAndOneWithMembersIsNotDeleted()
    {
        string topic = NewTopic();
        TopicPartition partition = new(topic, 0);
        TopicPartition elsewhere = NewPartition();
        Contestant member = NewContestant("deleted", topic);
        Contestant other = NewContestant("other", topic);
        TurnUntil(() => member.Owned.Count == 1 && other.Owned.Count == 1, "both own everything", member, other);
        TransactionalWriter writer = NewWriter("deleted");
        foreach (Contestant contestant in (Contestant[])[member, other])
        {
            writer.Begin();
            writer.SendOffsets(contestant.Group, [new(partition, 5), new(elsewhere, 7)], contestant.Member.Token);
            Resumed(writer.Commit);
        }

        Assert.Equal([5, 7], Committed(member.Group, partition, elsewhere));
        BrokerException error = Assert.Throws<BrokerException>(() => Broker.DeleteGroup(member.Group));
        Assert.Equal(Consequence.Stop, error.Consequence);
        Assert.Contains(member.Group, error.Message, StringComparison.Ordinal);
        Assert.Equal([5, 7], Committed(member.Group, partition, elsewhere));

        member.Leave();
        Eventually(() => Broker.CountMembers(member.Group) == 0, "the group is empty");
        Broker.DeleteGroup(member.Group);
        Assert.Equal([null, null], Committed(member.Group, partition, elsewhere));
        Assert.Equal([5, 7], Committed(other.Group, partition, elsewhere));
        Broker.DeleteGroup(member.Group);
        Assert.Equal(0, Broker.CountMembers(member.Group));

        Contestant again = NewContestant("deleted", topic);
        TurnUntil(() => again.Owned.Count == 1, "a member of the group made anew owns everything", again);
        writer.Begin();
        writer.SendOffsets(again.Group, [new(partition, 3)], again.Member.Token);
        Resumed(writer.Commit);
        Assert.Equal([3, null], Committed(again.Group, partition, elsewhere));
    }

    /// <summary>Where a partition ends; a broker may not know one of a topic that has just been made.</summary>
    private bool EndsAt(TopicPartition partition, long end)
    {
        try
        {
            return Broker.EndOffset(partition, committedOnly: false) == end;
        }
        catch (BrokerException error) when (error.Consequence == Consequence.Retry)
        {
            return false;
        }
    }
}
