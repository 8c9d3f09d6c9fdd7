using Microsoft.Extensions.Logging;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A topic that was made a moment ago, of which the broker that is asked may not have heard yet: here it is made only then.</summary>
public sealed class NewTopicTests(KafkaCluster cluster) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private readonly string _name = $"new-{Guid.NewGuid().ToString("N")[..12]}";
    private readonly Heard _heard = new();

    public void Dispose() => _heard.Dispose();

    [Fact]
    public async Task OneThatHasToBeThereIsAskedForAgain()
    {
        _heard.Text = $"'{_name}' is not there";
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address }, _heard);

        Task<TopicDescription?> found = Task.Run(() => broker.ExpectTopic(_name), TestContext.Current.CancellationToken);
        Assert.True(_heard.It.Wait(Limit, TestContext.Current.CancellationToken));
        broker.CreateTopic(new TopicSpec(_name, 3, TopicCleanup.Keep));

        Assert.Equal(3, (await found)?.Partitions);
    }

    [Theory]
    [InlineData(KafkaGroupProtocol.Classic, "no matching topics")]
    [InlineData(KafkaGroupProtocol.Consumer, "ConsumerGroupHeartbeat of member")]
    public void AMemberOfAGroupThatSharesItOutGetsItsShare(KafkaGroupProtocol protocol, string asked)
    {
        _heard.Text = asked;
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address, GroupProtocol = protocol, Settings = new Dictionary<string, string> { ["debug"] = "cgrp" } }, _heard);
        using GroupMember member = broker.JoinGroup(new GroupOptions { Group = _name, Topic = _name, InstanceId = "one", SessionTimeout = TimeSpan.FromSeconds(6), Voided = _ => { } });
        Until(member, () => _heard.It.IsSet);
        broker.CreateTopic(new TopicSpec(_name, 2, TopicCleanup.Keep));

        HashSet<int> owned = [];
        Until(member, () => owned.Count == 2, told => owned.UnionWith(told.Kind == GroupEventKind.Assigned ? told.Partitions : []));
    }

    [Fact]
    public void AMemberWhoseNextClientRefusesASettingSaysSo()
    {
        Dictionary<string, string> settings = new() { ["debug"] = "cgrp" };
        _heard.Text = "no matching topics";
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address, Settings = settings }, _heard);
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
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address, GroupProtocol = protocol, Settings = looks }, _heard);
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

    private sealed class Heard : ILoggerFactory, ILogger
    {
        public string Text { get; set; } = "";

        public ManualResetEventSlim It { get; } = new();

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (formatter(state, exception).Contains(Text, StringComparison.Ordinal))
            {
                It.Set();
            }
        }

        public bool IsEnabled(LogLevel logLevel) => true;

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public void Dispose() => It.Dispose();
    }
}
