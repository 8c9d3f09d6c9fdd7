using Confluent.Kafka;
using Xunit;

namespace KStreamSharp.Tests;

public sealed class KafkaSettingsTests
{
    public static TheoryData<string> RefusedNames { get; } = new(KafkaSettings.Refused.Keys);

    [Theory]
    [MemberData(nameof(RefusedNames))]
    public void ASettingThatExactlyOnceDependsOnIsRefusedByNameWithTheReason(string name)
    {
        StreamException error = Assert.Throws<StreamException>(() => NewBroker(new() { [name] = "1" }));

        Assert.Equal(ExitCode.Usage, error.Code);
        Assert.Contains($"'{name}'", error.Message, StringComparison.Ordinal);
        Assert.Contains(KafkaSettings.Refused[name], error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ASettingOfTheDotNetClientIsRefused() =>
        Assert.Contains("dotnet.cancellation.delay.max.ms", Assert.Throws<StreamException>(() => NewBroker(new() { ["dotnet.cancellation.delay.max.ms"] = "1" })).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("no.such.setting", "1")]
    [InlineData("socket.timeout.ms", "soon")]
    public void ASettingThatTheClientDoesNotKnowIsAUsageErrorThatNamesIt(string name, string value)
    {
        StreamException error = Assert.Throws<StreamException>(() => NewBroker(new() { [name] = value }));

        Assert.Equal(ExitCode.Usage, error.Code);
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    public void AnEmptyAddressIsRefused(string address) =>
        Assert.Equal(ExitCode.Usage, Assert.Throws<StreamException>(() => new KafkaBroker(new KafkaOptions { BootstrapServers = address })).Code);

    [Theory]
    [InlineData(0)]
    [InlineData(-2)]
    public void AReplicationFactorThatCannotBeIsRefused(short factor) =>
        Assert.Contains("ReplicationFactor", Assert.Throws<StreamException>(() => new KafkaBroker(new KafkaOptions { BootstrapServers = "x:1", ReplicationFactor = factor })).Message, StringComparison.Ordinal);

    [Fact]
    public void AUserMayChangeADefaultForEveryClient()
    {
        KafkaSettings settings = new(new KafkaOptions
        {
            BootstrapServers = "broker:9092",
            Settings = new Dictionary<string, string> { ["linger.ms"] = "20", ["fetch.wait.max.ms"] = "7", ["security.protocol"] = "ssl" },
        });

        Assert.Equal("20", settings.Writer("id", TimeSpan.FromSeconds(10)).Get("linger.ms"));
        Assert.Equal("7", settings.Reader(readCommitted: true, hurries: false).Get("fetch.wait.max.ms"));
        foreach (Config config in new Config[] { settings.Writer("id", TimeSpan.FromSeconds(10)), settings.Outputs(TimeSpan.FromSeconds(10)), settings.Reader(readCommitted: false, hurries: false), settings.Member(Group) })
        {
            Assert.Equal("ssl", config.Get("security.protocol"));
            Assert.Equal("broker:9092", config.Get("bootstrap.servers"));
            Assert.Equal("false", config.Get("allow.auto.create.topics"));
        }
    }

    [Fact]
    public void AStaticMemberOfTheClassicProtocolAndADynamicOneOfTheOther()
    {
        ConsumerConfig classic = new KafkaSettings(new KafkaOptions { BootstrapServers = "x:1" }).Member(Group);
        ConsumerConfig consumer = new KafkaSettings(new KafkaOptions { BootstrapServers = "x:1", GroupProtocol = KafkaGroupProtocol.Consumer }).Member(Group);

        Assert.Equal(("instance", "cooperative-sticky", "9000"), (classic.GroupInstanceId, classic.Get("partition.assignment.strategy"), classic.Get("session.timeout.ms")));
        Assert.Equal(("consumer", null, null, null), (consumer.Get("group.protocol"), consumer.GroupInstanceId, consumer.Get("partition.assignment.strategy"), consumer.Get("session.timeout.ms")));
    }

    [Fact]
    public void WhatTheClientSaysShowsNoSecret()
    {
        KafkaSettings settings = new(new KafkaOptions
        {
            BootstrapServers = "x:1",
            Settings = new Dictionary<string, string> { ["sasl.username"] = "joe", ["sasl.password"] = "hunter2", ["sasl.oauthbearer.client.secret"] = "s3cret", ["ssl.key.pem"] = "PEM" },
        });

        Assert.Equal("joe: *** and *** and ***", settings.Redact("joe: hunter2 and s3cret and PEM"));
    }

    [Fact]
    public void OptionsDoNotPrintTheirSettings() => Assert.DoesNotContain(
        "hunter2",
        new KafkaOptions { BootstrapServers = "x:1", Settings = new Dictionary<string, string> { ["sasl.password"] = "hunter2" } }.ToString(),
        StringComparison.Ordinal);

    [Fact]
    public void ABrokerThatDoesNotAnswerIsNamed()
    {
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = "127.0.0.1:1" }) { Patience = TimeSpan.FromSeconds(2) };

        BrokerException error = Assert.Throws<BrokerException>(() => broker.DescribeTopic("topic"));

        Assert.Equal(Consequence.Stop, error.Consequence);
        Assert.Contains("127.0.0.1:1", error.Message, StringComparison.Ordinal);
        Assert.Contains("refused", error.Message, StringComparison.Ordinal);
    }

    private static GroupOptions Group => new() { Group = "group", Topic = "topic", InstanceId = "instance", SessionTimeout = TimeSpan.FromSeconds(9), Voided = _ => { } };

    private static void NewBroker(Dictionary<string, string> settings)
    {
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = "x:1", Settings = settings });
    }
}
