using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A process is ended by SIGKILL, or stopped by SIGSTOP, at a numbered step of commit and takeover on Kafka.</summary>
[Needs<KafkaCluster>]
public sealed class CrashOnKafkaTests(KafkaCluster cluster) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-crash-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("takeover.1:1")]
    [InlineData("takeover.2:2")]
    [InlineData("takeover.3:2")]
    [InlineData("takeover.4:1")]
    [InlineData("takeover.5:1")]
    [InlineData("begin:5")]
    [InlineData("turn:9")]
    [InlineData("commit.1:5")]
    [InlineData("commit.2:5")]
    [InlineData("commit.3:5")]
    [InlineData("commit.4:5")]
    [InlineData("commit.5:5")]
    [InlineData("commit.6:5")]
    public void AProcessKilledAtAStepLosesAndDoublesNothing(string failpoint)
    {
        using CountTopics topics = new(cluster.Address, partitions: 2);
        topics.Load(1_500);
        using (InstanceProcess first = new(topics, cluster.Address, "one", Path.Combine(_folder, "one"), "--until-end", "--kill-at", failpoint))
        {
            Assert.Equal(137, first.AwaitExit(Limit));
            Assert.True(first.Has($"reached {failpoint.Split(':')[0]}"), first.ToString());
        }

        using InstanceProcess second = new(topics, cluster.Address, "one", Path.Combine(_folder, "one"), "--until-end");
        Assert.True(second.AwaitExit(Limit) == 0, second.ToString());
        topics.AssertExact();
    }

    [Theory]
    [InlineData("commit.3:5")]
    [InlineData("commit.4:5")]
    public void AnotherInstanceGoesOnWithAnEmptyFolder(string failpoint)
    {
        using CountTopics topics = new(cluster.Address, partitions: 2);
        topics.Load(1_500);
        using (InstanceProcess first = new(topics, cluster.Address, "one", Path.Combine(_folder, "one"), "--until-end", "--kill-at", failpoint))
        {
            Assert.Equal(137, first.AwaitExit(Limit));
        }

        using InstanceProcess second = new(topics, cluster.Address, "two", Path.Combine(_folder, "two"), "--until-end");
        Assert.True(second.AwaitExit(Limit) == 0, second.ToString());
        topics.AssertExact();
    }

    /// <summary>
    /// A zombie: stopped with a processed batch of which nothing was produced (begin), or anywhere in its commit, until
    /// another instance has taken over and committed; then it wakes and goes on where it was.
    /// </summary>
    [Theory]
    [InlineData("begin:6", KafkaGroupProtocol.Classic)]
    [InlineData("commit.2:5", KafkaGroupProtocol.Classic)]
    [InlineData("commit.3:5", KafkaGroupProtocol.Classic)]
    [InlineData("takeover.4:1", KafkaGroupProtocol.Classic)]
    [InlineData("begin:6", KafkaGroupProtocol.Consumer)]
    public void WhatAPausedProcessHadInHandNeverShows(string failpoint, KafkaGroupProtocol protocol)
    {
        using CountTopics topics = new(cluster.Address, partitions: 2);
        topics.Load(1_500);
        using InstanceProcess sleeper = new(
            topics, cluster.Address, "sleeper", Path.Combine(_folder, "sleeper"), "--pause-at", failpoint, "--protocol", protocol.ToString());
        topics.Until(Limit, () => sleeper.Has($"reached {failpoint.Split(':')[0]}"), () => "the step was not reached", sleeper);
        using InstanceProcess heir = new(topics, cluster.Address, "heir", Path.Combine(_folder, "heir"), "--protocol", protocol.ToString());
        topics.AwaitAll(Limit, heir);
        topics.Load(300);
        topics.AwaitAll(Limit, heir);

        sleeper.Wake();
        topics.Until(Limit, () => sleeper.Shards is { Length: 3 } && heir.Shards is { Length: 3 }, () => "the two do not share the shards again", sleeper, heir);
        topics.Load(300);
        topics.AwaitAll(Limit, sleeper, heir);
        sleeper.Terminate();
        heir.Terminate();
        Assert.True(sleeper.AwaitExit(Limit) == 0, sleeper.ToString());
        Assert.True(heir.AwaitExit(Limit) == 0, heir.ToString());
        topics.AssertExact();
    }
}
