using System.CommandLine;
using KStreamSharp.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
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
        Assert.Equal("--workers cannot be used: 0 is not between 1 and 1024.", error.Message);
    }

    [Fact]
    public void AValueOutOfRangeIsNamedAsItWasGiven()
    {
        StreamException error = Assert.Throws<StreamException>(() => Read([], ("Workers", "0")));
        Assert.StartsWith("KStreamSharp:Workers cannot be used: ", error.Message, StringComparison.Ordinal);
        HostOptions options = ReadAll(["--snapshots", "here", "--snapshots-kept", "0"]);
        error = Assert.Throws<StreamException>(() => options.Check(options.Stream with { Snapshots = options.Snapshots.Open(new Dictionary<string, Func<Uri, ISnapshotStore>>()) }));
        Assert.StartsWith("--snapshots-kept cannot be used: ", error.Message, StringComparison.Ordinal);
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
    [InlineData("*:8081", "[::]:8081")]
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
    public void APodDoesNotRunOnABrokerOfItsOwnUnlessItIsSaid()
    {
        UsageException error = Assert.Throws<UsageException>(() => BrokerCalls.Open(ReadAll([], ("Kubernetes:StatefulSet", "counts")), NullLoggerFactory.Instance));

        Assert.Contains("pod of StatefulSet 'counts'", error.Message, StringComparison.Ordinal);
        Assert.Contains("KStreamSharp:Kafka:BootstrapServers", error.Message, StringComparison.Ordinal);
        Assert.True(ReadAll([], ("Kubernetes:StatefulSet", "counts"), ("Broker", "embedded")).IsEmbedded);
        using KafkaBroker kafka = Assert.IsType<KafkaBroker>(BrokerCalls.Open(ReadAll([], ("Kubernetes:StatefulSet", "counts"), ("Kafka:BootstrapServers", "k:9092")), NullLoggerFactory.Instance));
        Assert.Contains("give one of them", Assert.Throws<UsageException>(() => ReadAll(["--broker", "embedded", "--kafka", "k:9092"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutAnyWordTheDefaultsHold() => Assert.Equal(new StreamOptions(), Read([]));

    [Fact]
    public void AnUnknownNameInTheConfigurationIsRefusedAndTheKnownOnesAreNamed()
    {
        UsageException error = Assert.Throws<UsageException>(() => Read([], ("StateDirectory", "here")));
        Assert.StartsWith("The configuration has no setting KStreamSharp:StateDirectory. The nearest is KStreamSharp:StateDir. There are: Kafka:BootstrapServers, ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Kafka", "KStreamSharp:Kafka is a group and takes no value of its own. Perhaps KStreamSharp:Kafka:BootstrapServers is meant. ")]
    [InlineData("Snapshots", "KStreamSharp:Snapshots is a group and takes no value of its own. Perhaps KStreamSharp:Snapshots:Store is meant. ")]
    [InlineData("Kubernetes", "KStreamSharp:Kubernetes is a group and takes no value of its own. ")]
    [InlineData("Kafka:Settings", "KStreamSharp:Kafka:Settings is a group and takes no value of its own. Perhaps KStreamSharp:Kafka:Settings:NAME is meant. ")]
    [InlineData("Kafka:BootstrapServers:0", "KStreamSharp:Kafka:BootstrapServers is one value, and the configuration has KStreamSharp:Kafka:BootstrapServers:0 below it. Give several brokers as one value, separated by commas.")]
    [InlineData("StateDir:Path", "KStreamSharp:StateDir is one value, and the configuration has KStreamSharp:StateDir:Path below it.")]
    [InlineData("UntilEnd:0", "KStreamSharp:UntilEnd is one value, ")]
    [InlineData("Kafka:Settings:ssl:ca", "KStreamSharp:Kafka:Settings:ssl:ca is not understood: ")]
    [InlineData("BootstrapServers", "The configuration has no setting KStreamSharp:BootstrapServers. The nearest is KStreamSharp:Kafka:BootstrapServers. ")]
    [InlineData("Kafka:Servers:0", "The configuration has no setting KStreamSharp:Kafka:Servers:0. The nearest is KStreamSharp:Kafka:BootstrapServers. ")]
    [InlineData("Snapshot:Stroe", "The configuration has no setting KStreamSharp:Snapshot:Stroe. ")]
    [InlineData("Snapshots:Stroe", "The configuration has no setting KStreamSharp:Snapshots:Stroe. The nearest is KStreamSharp:Snapshots:Store. ")]
    [InlineData("", "KStreamSharp is a group and takes no value of its own. ")]
    public void WhatIsNotUnderstoodIsRefusedByItsFullName(string key, string message)
    {
        IConfiguration configuration = new ConfigurationBuilder().AddInMemoryCollection([new($"KStreamSharp:{key}".TrimEnd(':'), "secret")]).Build();
        UsageException error = Assert.Throws<UsageException>(() => HostSettings.Read(configuration));
        Assert.StartsWith(message, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("StateDir")]
    [InlineData("AppId")]
    [InlineData("UntilEnd")]
    [InlineData("Kafka:BootstrapServers")]
    [InlineData("Snapshots:Store")]
    public void AnEmptyValueIsNamed(string key)
    {
        UsageException error = Assert.Throws<UsageException>(() => ReadAll([], (key, " ")));
        Assert.Equal($"KStreamSharp:{key} is empty. Give it a value, or leave it out for its default.", error.Message);
    }

    [Fact]
    public void AnEmptyValueOfTheCommandLineIsNamed() =>
        Assert.Equal("--snapshots is empty. Give it a value, or leave it out for its default.", Assert.Throws<UsageException>(() => ReadAll(["--snapshots", ""])).Message);

    [Fact]
    public void AGroupWithNothingInItSaysNothing()
    {
        using MemoryStream json = new([.. """{"KStreamSharp":{"Kafka":{"Settings":{}},"Snapshots":{}}}"""u8]);
        Assert.Null(HostSettings.Read(new ConfigurationBuilder().AddJsonStream(json).Build()).Kafka);
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
        Assert.StartsWith("The configuration has no setting KStreamSharp:Kafka:Servers. The nearest is KStreamSharp:Kafka:BootstrapServers. There are: ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("flights", "flights")]
    [InlineData("", null)]
    public void TheStatefulSetComesFromTheConfiguration(string text, string? name) => Assert.Equal(name, ReadAll([], ("Kubernetes:StatefulSet", text)).StatefulSet);

    [Fact]
    public void AnUnknownNameUnderKubernetesIsRefused()
    {
        UsageException error = Assert.Throws<UsageException>(() => ReadAll([], ("Kubernetes:Set", "flights")));
        Assert.StartsWith("The configuration has no setting KStreamSharp:Kubernetes:Set. The nearest is KStreamSharp:Kubernetes:StatefulSet. There are: ", error.Message, StringComparison.Ordinal);
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
