using KStreamSharp.Tests.Runtime;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A topic that was made a moment ago, of which the broker that is asked may not have heard yet: here it is made only then.</summary>
[Needs<KafkaCluster>]
public sealed class NewTopicTests(KafkaCluster cluster) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private readonly string _name = $"new-{Guid.NewGuid().ToString("N")[..12]}";
    private readonly ManualResetEventSlim _hasHeard = new();

    public void Dispose() => _hasHeard.Dispose();

    [Fact]
    public async Task OneThatHasToBeThereIsAskedForAgain()
    {
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address }, Hears($"'{_name}' is not there"));

        Task<TopicDescription?> found = Task.Run(() => broker.ExpectTopic(_name), TestContext.Current.CancellationToken);
        Assert.True(_hasHeard.Wait(Limit, TestContext.Current.CancellationToken));
        broker.CreateTopic(new TopicSpec(_name, 3, TopicCleanup.Keep));

        Assert.Equal(3, (await found)?.Partitions);
    }

    [Fact]
    public async Task TheEndOfAPartitionThatTheBrokerHasNotHeardOfIsAskedForAgain()
    {
        using KafkaBroker broker = new(
            new KafkaOptions { BootstrapServers = cluster.Address, Settings = new Dictionary<string, string> { ["debug"] = "admin" } }, Hears("No leaders found"));

        Task<long> end = Task.Run(() => broker.EndOffset(new(_name, 0), committedOnly: true), TestContext.Current.CancellationToken);
        Assert.True(_hasHeard.Wait(Limit, TestContext.Current.CancellationToken));
        broker.CreateTopic(new TopicSpec(_name, 1, TopicCleanup.Keep));

        Assert.Equal(0, await end);
    }

    [Theory]
    [InlineData(KafkaGroupProtocol.Classic, "no matching topics")]
    [InlineData(KafkaGroupProtocol.Consumer, "ConsumerGroupHeartbeat of member")]
    public void AMemberOfAGroupThatSharesItOutGetsItsShare(KafkaGroupProtocol protocol, string asked)
    {
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address, GroupProtocol = protocol, Settings = new Dictionary<string, string> { ["debug"] = "cgrp" } }, Hears(asked));
        using GroupMember member = broker.JoinGroup(new GroupOptions { Group = _name, Topic = _name, InstanceId = "one", SessionTimeout = TimeSpan.FromSeconds(6), Voided = _ => { } });
        Until(member, () => _hasHeard.IsSet);
        broker.CreateTopic(new TopicSpec(_name, 2, TopicCleanup.Keep));

        HashSet<int> owned = [];
        Until(member, () => owned.Count == 2, told => owned.UnionWith(told.Kind == GroupEventKind.Assigned ? told.Partitions : []));
    }

    [Fact]
    public void AMemberWhoseNextClientRefusesASettingSaysSo()
    {
        Dictionary<string, string> settings = [];
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address, Settings = settings });
        using GroupMember member = broker.JoinGroup(new GroupOptions { Group = _name, Topic = _name, InstanceId = null, SessionTimeout = TimeSpan.FromSeconds(6), Voided = _ => { } });
        settings["linger.ms"] = "of a file that is gone";

        BrokerException error = Assert.Throws<BrokerException>(() => Until(member, () => false));

        Assert.Equal(Consequence.Stop, error.Consequence);
        Assert.StartsWith("The Kafka client refuses its settings (KafkaOptions.Settings): ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(KafkaGroupProtocol.Classic)]
    [InlineData(KafkaGroupProtocol.Consumer)]
    public void AMemberWhoseTopicIsMadeAnewGetsItsShareAgain(KafkaGroupProtocol protocol)
    {
        Dictionary<string, string> looks = new() { ["topic.metadata.refresh.interval.ms"] = "500" };
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address, GroupProtocol = protocol, Settings = looks });
        using GroupMember member = broker.JoinGroup(new GroupOptions { Group = _name, Topic = _name, InstanceId = null, SessionTimeout = TimeSpan.FromSeconds(6), Voided = _ => { } });
        HashSet<int> owned = [];
        broker.CreateTopic(new TopicSpec(_name, 2, TopicCleanup.Keep));
        Until(member, () => owned.Count == 2, Tell);
        broker.DeleteTopic(_name);
        Until(member, () => owned.Count == 0, Tell);
        broker.CreateTopic(new TopicSpec(_name, 2, TopicCleanup.Keep));
        Until(member, () => owned.Count == 2, Tell);

        void Tell(GroupEvent told)
        {
            if (told.Kind == GroupEventKind.Assigned)
            {
                owned.UnionWith(told.Partitions);
            }
            else
            {
                owned.ExceptWith(told.Partitions);
                member.Release(told.Partitions);
            }
        }
    }

    /// <summary>A log that sets <see cref="_hasHeard"/> when this is said.</summary>
    private Lines Hears(string text) => new()
    {
        Added = line =>
        {
            if (line.Contains(text, StringComparison.Ordinal))
            {
                _hasHeard.Set();
            }
        },
    };

    private static void Until(GroupMember member, Func<bool> condition, Action<GroupEvent>? tell = null)
    {
        for (long began = TimeProvider.System.GetTimestamp(); !condition();)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(began) < Limit);
            if (member.Poll() is { } told)
            {
                tell?.Invoke(told);
            }

            Thread.Yield();
        }
    }
}
