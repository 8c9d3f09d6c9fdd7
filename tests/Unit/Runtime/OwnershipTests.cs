using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>Ownership numbers: what a member has lost has no valid one, however late its engine hears of the assignment before.</summary>
public sealed class OwnershipTests : IDisposable
{
    private readonly DriverClock _clock = new(new DateTimeOffset(2024, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private readonly EmbeddedBroker _broker;
    private readonly Ownership _ownership = new(shards: 1);

    public OwnershipTests()
    {
        _broker = EmbeddedBroker.InMemory(new EmbeddedBrokerOptions(), _clock);
        _broker.CreateTopic("shards", 1);
    }

    public void Dispose() => _broker.Dispose();

    [Fact]
    public void APartitionThatIsLostBeforeItsAssignmentIsHandledHasNoValidNumber()
    {
        using GroupMember first = Join("one", _ownership);
        GroupEvent assigned = Assigned(first);
        long number = Assert.Single(assigned.Numbers);
        Assert.True(_ownership.IsValid(0, number));

        // The session is over, and another member has the partition, before the first one's thread goes on.
        _clock.Advance(TimeSpan.FromMinutes(1));
        using GroupMember second = Join("two", new Ownership(shards: 1));
        Assigned(second);

        Assert.False(_ownership.IsValid(0, number));
        Assert.Equal(GroupEventKind.Lost, first.Poll()!.Kind);
    }

    [Fact]
    public void APartitionThatComesBackHasANewNumber()
    {
        using GroupMember member = Join("one", _ownership);
        long before = Assigned(member).Numbers[0];
        _clock.Advance(TimeSpan.FromMinutes(1));
        using (GroupMember other = Join("two", new Ownership(shards: 1)))
        {
            Assigned(other);
            other.Leave();
        }

        Assert.Equal(GroupEventKind.Lost, member.Poll()!.Kind);

        long after = Assigned(member).Numbers[0];

        Assert.False(_ownership.IsValid(0, before));
        Assert.True(_ownership.IsValid(0, after));
    }

    private GroupMember Join(string instance, Ownership ownership) => _broker.JoinGroup(new GroupOptions
    {
        Group = "group",
        Topic = "shards",
        InstanceId = instance,
        Voided = ownership.Void,
        Number = ownership.Take,
    });

    private static GroupEvent Assigned(GroupMember member)
    {
        for (int turn = 0; turn < 10; turn++)
        {
            if (member.Poll() is { Kind: GroupEventKind.Assigned } change)
            {
                return change;
            }
        }

        throw new InvalidOperationException("Nothing was assigned.");
    }
}
