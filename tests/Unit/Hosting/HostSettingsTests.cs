using System.CommandLine;
using KStreamSharp.Hosting;
using Microsoft.Extensions.Configuration;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

public class HostSettingsTests
{
    [Theory]
    [InlineData("250ms", 250)]
    [InlineData("2s", 2_000)]
    [InlineData("1.5s", 1_500)]
    [InlineData("00:00:03", 3_000)]
    public void TimesTakeTheirUnit(string text, int milliseconds) =>
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), Read(["--commit-interval", text]).CommitInterval);

    [Fact]
    public void TheTimeOutsOfBrokerAndGroupAreOptions()
    {
        StreamOptions options = Read(["--session-timeout", "6s", "--transaction-timeout", "4s"]);
        Assert.Equal((6, 4), (options.SessionTimeout.TotalSeconds, options.TransactionTimeout.TotalSeconds));
    }

    [Theory]
    [InlineData("2m", 2)]
    [InlineData("1h", 60)]
    public void LongTimesTakeTheirUnit(string text, int minutes) => Assert.Equal(TimeSpan.FromMinutes(minutes), Read(["--stall-timeout", text]).StallTimeout);

    [Theory]
    [InlineData("--commit-interval", "5")]
    [InlineData("--commit-interval", "ms")]
    [InlineData("--commit-interval", "-1s")]
    [InlineData("--commit-interval", "1e300h")]
    [InlineData("--commit-interval", "99999999999999h")]
    [InlineData("--workers", "two")]
    [InlineData("--workers", "-1")]
    [InlineData("--guarantee", "at-most-once")]
    public void AValueThatCannotBeReadIsNamed(string option, string text)
    {
        UsageException error = Assert.Throws<UsageException>(() => Read([option, text]));
        Assert.StartsWith($"{option} '{text}': ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AValueOutOfRangeIsRefusedBeforeAnythingStarts()
    {
        StreamException error = Assert.Throws<StreamException>(() => Read(["--workers", "0"]));
        Assert.Equal(ExitCode.Usage, error.Code);
        Assert.Contains("Workers", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheCommandLineWinsOverTheConfiguration()
    {
        StreamOptions options = Read(["--state-dir", "there"], ("StateDir", "here"), ("Workers", "3"), ("UntilEnd", "true"));

        Assert.Equal("there", options.StateDir);
        Assert.Equal(3, options.Workers);
        Assert.True(options.UntilEnd);
    }

    [Theory]
    [InlineData("127.0.0.1:8080", "127.0.0.1:8080")]
    [InlineData("0.0.0.0:0", "0.0.0.0:0")]
    [InlineData("localhost:80", "127.0.0.1:80")]
    [InlineData("[::1]:8080", "[::1]:8080")]
    public void AnAddressToServeAtHasAPort(string text, string endpoint) => Assert.Equal(endpoint, ReadAll(["--http", text]).Http?.ToString());

    [Theory]
    [InlineData("8080")]
    [InlineData(":8080")]
    [InlineData("127.0.0.1")]
    [InlineData("127.0.0.1:http")]
    [InlineData("127.0.0.1:65536")]
    [InlineData("::1:8080")]
    [InlineData("http://127.0.0.1:8080")]
    public void AnythingElseIsNoAddressToServeAt(string text)
    {
        UsageException error = Assert.Throws<UsageException>(() => ReadAll(["--http", text]));
        Assert.StartsWith($"--http '{text}': ADDRESS:PORT is needed", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutAnyWordTheDefaultsHold() => Assert.Equal(new StreamOptions(), Read([]));

    [Fact]
    public void AnUnknownNameInTheConfigurationIsRefusedAndTheKnownOnesAreNamed()
    {
        UsageException error = Assert.Throws<UsageException>(() => Read([], ("StateDirectory", "here")));
        Assert.Contains("KStreamSharp:StateDirectory", error.Message, StringComparison.Ordinal);
        Assert.Contains("StateDir,", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("UntilEnd", "perhaps")]
    [InlineData("CommitInterval", "5")]
    public void AValueOfTheConfigurationIsNamedWithItsSection(string key, string text)
    {
        UsageException error = Assert.Throws<UsageException>(() => Read([], (key, text)));
        Assert.StartsWith($"KStreamSharp:{key} '{text}'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutAClusterTheBrokerIsEmbedded() => Assert.Null(ReadAll([]).Kafka);

    [Fact]
    public void TheClusterAndItsSettingsComeFromTheCommandLine()
    {
        KafkaOptions kafka = ReadAll(
            ["--kafka", "one:9092,two:9092", "--group-protocol", "consumer", "--replication-factor", "3", "--kafka-set", "client.id=me", "--kafka-set", "sasl.password=a=b"]).Kafka!;

        Assert.Equal("one:9092,two:9092", kafka.BootstrapServers);
        Assert.Equal(KafkaGroupProtocol.Consumer, kafka.GroupProtocol);
        Assert.Equal(3, kafka.ReplicationFactor);
        Assert.Equal([("client.id", "me"), ("sasl.password", "a=b")], kafka.Settings.Select(setting => (setting.Key, setting.Value)));
    }

    [Fact]
    public void TheClusterComesFromTheConfigurationAndTheCommandLineWins()
    {
        KafkaOptions kafka = ReadAll(
            ["--kafka-set", "client.id=mine"],
            ("Kafka:BootstrapServers", "one:9092"), ("Kafka:GroupProtocol", "consumer"), ("Kafka:Settings:client.id", "theirs"), ("Kafka:Settings:linger.ms", "7")).Kafka!;

        Assert.Equal("one:9092", kafka.BootstrapServers);
        Assert.Equal(KafkaGroupProtocol.Consumer, kafka.GroupProtocol);
        Assert.Equal([("client.id", "mine"), ("linger.ms", "7")], kafka.Settings.Select(setting => (setting.Key, setting.Value)).Order());
    }

    [Theory]
    [InlineData("one:9092")]
    [InlineData("one")]
    [InlineData("SASL_SSL://one.example.com:9093, 10.0.0.1:9092")]
    [InlineData("[::1]:9092")]
    public void AddressesAreTakenAsTheClientTakesThem(string servers) => Assert.Equal(servers, ReadAll(["--kafka", servers]).Kafka!.BootstrapServers);

    [Theory]
    [InlineData("--kafka", "one:port")]
    [InlineData("--kafka", "one:9092,")]
    [InlineData("--kafka", "http://one:9092/path")]
    [InlineData("--group-protocol", "new")]
    [InlineData("--replication-factor", "many")]
    [InlineData("--replication-factor", "99999")]
    public void AValueForKafkaThatCannotBeReadIsNamed(string option, string text)
    {
        UsageException error = Assert.Throws<UsageException>(() => ReadAll(option == "--kafka" ? [option, text] : ["--kafka", "one:9092", option, text]));
        Assert.StartsWith($"{option} '{text}': ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--kafka-set client.id=me", "--kafka-set is for Kafka")]
    [InlineData("--group-protocol classic", "--group-protocol is for Kafka")]
    public void WhatIsForKafkaNeedsACluster(string arguments, string message)
    {
        UsageException error = Assert.Throws<UsageException>(() => ReadAll(arguments.Split(' ')));
        Assert.StartsWith(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("secret")]
    [InlineData("=secret")]
    public void AClientSettingWithoutItsNameIsRefusedWithoutItsValue(string pair)
    {
        UsageException error = Assert.Throws<UsageException>(() => ReadAll(["--kafka", "one:9092", "--kafka-set", pair]));
        Assert.Contains("NAME=VALUE", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnUnknownNameUnderKafkaIsRefused()
    {
        UsageException error = Assert.Throws<UsageException>(() => ReadAll([], ("Kafka:Servers", "one:9092")));
        Assert.StartsWith("The configuration has no setting KStreamSharp:Kafka:Servers. There are: ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("flights", "flights")]
    [InlineData("", null)]
    public void TheStatefulSetComesFromTheConfiguration(string text, string? name) => Assert.Equal(name, ReadAll([], ("Kubernetes:StatefulSet", text)).StatefulSet);

    [Fact]
    public void AnUnknownNameUnderKubernetesIsRefused()
    {
        UsageException error = Assert.Throws<UsageException>(() => ReadAll([], ("Kubernetes:Set", "flights")));
        Assert.StartsWith("The configuration has no setting KStreamSharp:Kubernetes:Set. There are: ", error.Message, StringComparison.Ordinal);
    }

    private static StreamOptions Read(string[] args, params (string Key, string Value)[] configured) => ReadAll(args, configured).Stream;

    private static HostOptions ReadAll(string[] args, params (string Key, string Value)[] configured)
    {
        HostSettings settings = new();
        Command command = new("test");
        foreach (Option option in settings.Options)
        {
            command.Options.Add(option);
        }

        IConfiguration configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(configured.Select(entry => KeyValuePair.Create<string, string?>($"KStreamSharp:{entry.Key}", entry.Value)))
            .Build();
        return settings.Read(command.Parse(args), configuration);
    }
}
