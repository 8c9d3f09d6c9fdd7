using System.Collections.Concurrent;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Groups: partitions are shared out cooperatively.</summary>
public abstract partial class BrokerContract
{
    private readonly ConcurrentQueue<(Contestant Member, string What, int Partition)> _history = [];

    [Fact]
    public void AMemberOwnsNothingBeforeItsFirstPollAndThenEverything()
    {
        Contestant member = NewContestant("alone", NewTopic(4));
        Assert.False(member.Member.Token.IsMember);
        Assert.Empty(_history);

        TurnUntil(() => member.Owned.Count == 4, "the member owns everything", member);
        Assert.Equal([0, 1, 2, 3], member.Owned);
        Assert.True(member.Member.Token.IsMember);
    }

    [Fact]
    public void AThirdMemberTakesItsShareAndPartitionsThatStayAreNeverRevoked()
    {
        string topic = NewTopic(6);
        Contestant[] members = [NewContestant("three", topic), NewContestant("three", topic)];
        TurnUntil(() => members.All(member => member.Owned.Count == 3), "the two share", members);
        int[][] before = [.. members.Select(member => member.Owned.ToArray())];
        _history.Clear();

        Contestant third = NewContestant("three", topic);
        TurnUntil(() => members.Append(third).All(member => member.Owned.Count == 2), "the three share", [.. members, third]);

        AssertMovesAreOrdered();
        for (int i = 0; i < 2; i++)
        {
            int[] moved = [.. before[i].Except(members[i].Owned).Order()];
            Assert.Equal(moved, _history.Where(entry => entry.Member == members[i] && entry.What == nameof(GroupEventKind.Revoking)).Select(entry => entry.Partition).Order());
            Assert.DoesNotContain(_history, entry => entry.Member == members[i] && entry.What is nameof(GroupEventKind.Assigned) or nameof(GroupEventKind.Lost));
        }
    }

    [Fact]
    public void ThePartitionsOfAMemberThatLeavesGoToTheOthers()
    {
        string topic = NewTopic(6);
        Contestant[] members = [NewContestant("leaving", topic), NewContestant("leaving", topic), NewContestant("leaving", topic)];
        TurnUntil(() => members.All(member => member.Owned.Count == 2), "the three share", members);
        _history.Clear();

        members[1].Leave();

        TurnUntil(() => members[0].Owned.Count == 3 && members[2].Owned.Count == 3, "the two that stay share", members[0], members[2]);
        Assert.DoesNotContain(_history, entry => entry.Member != members[1] && entry.What is nameof(GroupEventKind.Revoking) or nameof(GroupEventKind.Lost));
    }

    [Fact]
    public void AMemberMoreThanPartitionsWaitsForOneToBecomeFree()
    {
        string topic = NewTopic(1);
        Contestant owner = NewContestant("spare", topic);
        TurnUntil(() => owner.Owned.Count == 1, "the first owns the partition", owner);
        Contestant spare = NewContestant("spare", topic);
        TurnUntil(() => spare.Member.Token.IsMember && owner.Owned.Count + spare.Owned.Count == 1, "the spare is a member", owner, spare);

        (Contestant leaves, Contestant stays) = owner.Owned.Count == 1 ? (owner, spare) : (spare, owner);
        leaves.Leave();

        TurnUntil(() => stays.Owned.Count == 1, "the spare owns the partition", stays);
    }

    [Fact]
    public void GroupsDoNotDisturbEachOther()
    {
        string topic = NewTopic(2);
        Contestant one = NewContestant("group-1", topic);
        Contestant two = NewContestant("group-2", topic);

        TurnUntil(() => one.Owned.Count == 2 && two.Owned.Count == 2, "both own everything", one, two);
    }

    [Fact]
    public void ARevocationThatIsNotAnsweredIsTakenWhenTheBudgetIsOver()
    {
        string topic = NewTopic(2);
        Contestant stubborn = NewContestant("budget", topic);
        TurnUntil(() => stubborn.Owned.Count == 2, "the first owns everything", stubborn);
        stubborn.Releases = false;
        _history.Clear();
        Contestant joining = NewContestant("budget", topic);

        TurnUntil(
            () =>
            {
                PassTime(TimeSpan.FromMilliseconds(500));
                return joining.Owned.Count == 1;
            },
            "the partition is taken",
            stubborn,
            joining);

        int partition = joining.Owned.Single();
        Assert.DoesNotContain(partition, stubborn.Owned);
        AssertMovesAreOrdered();
        stubborn.Member.Release([partition]);
        stubborn.Releases = true;
        TurnUntil(() => stubborn.Member.Token.Generation == joining.Member.Token.Generation, "the group is calm", stubborn, joining);
        Assert.Equal([partition], joining.Owned);
    }

    [Fact]
    public void AMemberThatStopsPollingLosesItsPartitionsAndItsCommitsAreRefused()
    {
        string topic = NewTopic(2);
        TopicPartition partition = new(topic, 0);
        Contestant silent = NewContestant("silent", topic);
        Contestant polling = NewContestant("silent", topic);
        TurnUntil(() => silent.Owned.Count == 1 && polling.Owned.Count == 1, "the two share", silent, polling);
        GroupToken token = silent.Member.Token;
        int[] owned = [.. silent.Owned];

        TurnUntil(
            () =>
            {
                PassTime(TimeSpan.FromMilliseconds(500));
                return polling.Owned.Count == 2;
            },
            "the other has everything",
            polling);

        TransactionalWriter writer = NewWriter("silent");
        writer.Begin();
        BrokerException error = Assert.Throws<BrokerException>(() => writer.SendOffsets(silent.Group, [new(partition, 1)], token));
        Assert.Equal(Consequence.LostMembership, error.Consequence);
        Resumed(writer.Abort);

        // It learns of it when it polls again, after the others: until then only its commits are refused.
        Eventually(
            () =>
            {
                silent.Turn();
                polling.Turn();
                return silent.Lost.Count > 0;
            },
            "the member learns of it");
        Assert.Equal(owned, silent.Lost);
        TurnUntil(() => silent.Owned.Count == 1 && polling.Owned.Count == 1, "it comes back", silent, polling);
    }

    [Fact]
    public void AStaticMemberThatComesBackHasItsPartitionsAgainAndNobodyElseIsDisturbed()
    {
        Assert.SkipUnless(HasStaticMembers, "Members are dynamic here.");
        string topic = NewTopic(4);
        Contestant stays = NewContestant("static", topic, "stays");
        Contestant restarts = NewContestant("static", topic, "restarts");
        TurnUntil(() => stays.Owned.Count == 2 && restarts.Owned.Count == 2, "the two share", stays, restarts);
        int[] owned = [.. restarts.Owned];
        restarts.Crash();
        _history.Clear();

        Contestant again = NewContestant("static", topic, "restarts");
        TurnUntil(() => again.Owned.Count == 2, "it owns its partitions again", stays, again);

        Assert.Equal(owned, again.Owned);
        Assert.DoesNotContain(_history, entry => entry.Member == stays);
    }

    [Fact]
    public void AStaticMemberThatLeavesIsNotWaitedFor()
    {
        string topic = NewTopic(4);
        TimeSpan session = TimeSpan.FromMinutes(5);
        Contestant stays = NewContestant("left", topic, "stays", session);
        Contestant leaves = NewContestant("left", topic, "leaves", session);
        TurnUntil(() => stays.Owned.Count == 2 && leaves.Owned.Count == 2, "the two share", stays, leaves);

        leaves.Leave();

        TurnUntil(() => stays.Owned.Count == 4, "the one that stays owns everything", stays);
        Assert.Equal(1, Broker.CountMembers(stays.Group));
    }

    [Fact]
    public void TwoLiveMembersOfOneInstanceIdDoNotBothGoOn()
    {
        Assert.SkipUnless(HasStaticMembers, "Members are dynamic here.");
        string topic = NewTopic(2);
        Contestant one = NewContestant("twice", topic, "same");
        TurnUntil(() => one.Owned.Count == 2, "the first owns everything", one);
        Contestant two = NewContestant("twice", topic, "same");

        BrokerException? error = null;
        Eventually(
            () =>
            {
                try
                {
                    two.Turn();
                    one.Turn();
                }
                catch (BrokerException refused)
                {
                    error = refused;
                }

                return error is not null;
            },
            "one of them is refused");
        Assert.Equal(Consequence.Stop, error!.Consequence);
        Assert.Contains("same", error.Message, StringComparison.Ordinal);
    }

    private Contestant NewContestant(string group, string topic, string? instance = null, TimeSpan? session = null) =>
        Made(new Contestant(Broker, Unique(group), topic, instance is null ? null : Unique(instance), _history, session ?? TimeSpan.FromSeconds(8)));

    /// <summary>Polls the members in turn, each partition owned by one at most, until the condition holds.</summary>
    private void TurnUntil(Func<bool> condition, string what, params Contestant[] members) => Eventually(
        () =>
        {
            foreach (Contestant member in members)
            {
                member.Turn();
            }

            foreach (IGrouping<string, Contestant> group in members.GroupBy(member => member.Group))
            {
                Assert.Equal(group.Sum(member => member.Owned.Count), group.SelectMany(member => member.Owned).Distinct().Count());
            }

            return condition();
        },
        what);

    /// <summary>Whoever got a partition got it after its former owner was told that it is void.</summary>
    private void AssertMovesAreOrdered()
    {
        HashSet<int> free = [];
        foreach ((Contestant _, string what, int partition) in _history)
        {
            switch (what)
            {
                case "Voided":
                    free.Add(partition);
                    break;
                case nameof(GroupEventKind.Assigned):
                    Assert.True(free.Remove(partition), $"partition {partition} was given away before its owner was told");
                    break;
            }
        }
    }

    /// <summary>A member with what it knows of its partitions, as the engine keeps it.</summary>
    internal sealed class Contestant : IDisposable
    {
        private readonly ConcurrentQueue<(Contestant Member, string What, int Partition)> _history;
        private readonly SortedSet<int> _owned = [];
        private bool _ended;

        public Contestant(Broker broker, string group, string topic, string? instance, ConcurrentQueue<(Contestant Member, string What, int Partition)> history, TimeSpan session)
        {
            Group = group;
            _history = history;
            Member = broker.JoinGroup(new GroupOptions
            {
                Group = group,
                Topic = topic,
                InstanceId = instance,
                SessionTimeout = session,
                RevocationBudget = TimeSpan.FromSeconds(3),
                Voided = Void,
            });
        }

        public string Group { get; }

        public GroupMember Member { get; }

        /// <summary>What it owns; a partition that was voided is not, from whatever thread that was said.</summary>
        public SortedSet<int> Owned
        {
            get
            {
                lock (_owned)
                {
                    return [.. _owned];
                }
            }
        }

        /// <summary>The partitions that were lost.</summary>
        public SortedSet<int> Lost { get; } = [];

        /// <summary>Whether a revocation is answered at once.</summary>
        public bool Releases { get; set; } = true;

        public void Turn()
        {
            GroupEvent? change = Member.Poll();
            if (change is null)
            {
                return;
            }

            Assert.NotEmpty(change.Partitions);
            foreach (int partition in change.Partitions)
            {
                _history.Enqueue((this, change.Kind.ToString(), partition));
            }

            switch (change.Kind)
            {
                case GroupEventKind.Assigned:
                    lock (_owned)
                    {
                        _owned.UnionWith(change.Partitions);
                    }

                    break;
                case GroupEventKind.Revoking when Releases:
                    Member.Release(change.Partitions);
                    break;
                case GroupEventKind.Lost:
                    Void(change.Partitions);
                    Lost.UnionWith(change.Partitions);
                    break;
            }
        }

        public void Leave()
        {
            Void(Owned.ToArray());
            Member.Leave();
            Dispose();
        }

        public void Crash() => Dispose();

        public void Dispose()
        {
            if (!_ended)
            {
                _ended = true;
                Member.Dispose();
            }
        }

        private void Void(IReadOnlyList<int> partitions)
        {
            lock (_owned)
            {
                foreach (int partition in partitions)
                {
                    if (_owned.Remove(partition))
                    {
                        _history.Enqueue((this, "Voided", partition));
                    }
                }
            }
        }
    }
}
