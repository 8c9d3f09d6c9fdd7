using Confluent.Kafka;
using Confluent.Kafka.Admin;
using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Topics that are really deleted and made anew, and a broker whose defaults would change what internal topics keep.</summary>
[Needs<KafkaCluster>]
public sealed class TopicsMadeAnewOnKafkaTests(KafkaCluster cluster) : IDisposable
{
    private static readonly DateTimeOffset Old = new(2023, 11, 14, 22, 13, 20, TimeSpan.Zero);

    private readonly TempFolder _folder = new();
    private readonly string _name = $"anew-{Guid.NewGuid().ToString("N")[..12]}";

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task AnInputThatWasMadeAnewIsRefusedAndReadOnAfterAResetOfThePositions()
    {
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address });
        MakeTopics(broker);
        Write(broker, 3);
        await Run(broker);
        Assert.Equal([1, 2, 3], Sums(broker));

        broker.DeleteTopic(_name);
        broker.CreateTopic(new TopicSpec(_name, 2, TopicCleanup.Delete));
        Write(broker, 5);
        StreamException error = await Assert.ThrowsAsync<StreamException>(() => Run(broker));
        Assert.Contains($"Topic '{_name}' of step 'in' was deleted and made anew", error.Message, StringComparison.Ordinal);
        Assert.Equal([1, 2, 3], Sums(broker));

        string[] reset = ["reset", "anew", "--kafka", cluster.Address, "--app-id", _name, "--state-dir", _folder.Path, "--keep-state", "--to", "earliest", "--yes"];
        Assert.Equal(0, await KStreamHost.RunAsync(reset, host => host.AddFlow(Flow())));
        await Run(broker);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], Sums(broker));
    }

    [Fact]
    public async Task AChangelogThatWasDeletedIsNotMadeAgain()
    {
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address });
        MakeTopics(broker);
        Write(broker, 3);
        await Run(broker);

        broker.DeleteTopic(InternalTopics.Changelog(_name));
        Assert.Contains("was deleted", (await Assert.ThrowsAsync<StreamException>(() => Run(broker))).Message, StringComparison.Ordinal);
        Assert.Null(broker.DescribeTopic(InternalTopics.Changelog(_name)));

        broker.CreateTopic(new TopicSpec(InternalTopics.Changelog(_name), 2, TopicCleanup.Compact));
        Assert.Contains("was deleted and made anew", (await Assert.ThrowsAsync<StreamException>(() => Run(broker))).Message, StringComparison.Ordinal);
    }

    [Fact]
    [Needs<DockerEngine>]
    public async Task ItemsKeepTheTimestampsOfTheirRecordsWhateverTheBrokersDefaultsAre()
    {
        await using OwnBroker own = await OwnBroker.Start("PLAINTEXT", ("KAFKA_LOG_MESSAGE_TIMESTAMP_TYPE", "LogAppendTime"), ("KAFKA_LOG_MESSAGE_TIMESTAMP_BEFORE_MAX_MS", "604800000"));
        own.AwaitAnswer();
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = own.Address });
        MakeTopics(broker);
        Write(broker, 3);
        await Run(broker);

        using TopicReader<string, int?> reader = new(broker, Topic.Keyed<string, int?>($"{_name}-out"));
        Assert.All(reader.ReadToEnd(), record => Assert.Equal(Old, record.Timestamp));
    }

    /// <summary>Compaction that waits longer than the engine lets it, and small messages: by the broker's defaults no topic could be made, or no state be written.</summary>
    [Fact]
    public async Task TheBrokersDefaultsDoNotStopTheApplication()
    {
        await using OwnBroker own = await OwnBroker.Start("PLAINTEXT", ("KAFKA_LOG_CLEANER_MIN_COMPACTION_LAG_MS", "604800000"), ("KAFKA_MESSAGE_MAX_BYTES", "1000"));
        own.AwaitAnswer();
        TestLogging log = new("broker", TestContext.Current.TestOutputHelper!);
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = own.Address }, log);
        MakeTopics(broker);
        Write(broker, 3);
        await Run(broker);
        Assert.Equal([1, 2, 3], Sums(broker));
        Assert.DoesNotContain(log.Lines, line => line.Contains(".max.ms", StringComparison.Ordinal));
    }

    [Fact]
    public async Task AnInternalTopicThatIsThereIsLookedAt()
    {
        TestLogging log = new("broker", TestContext.Current.TestOutputHelper!);
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address }, log);
        MakeTopics(broker);
        using (IAdminClient admin = new AdminClientBuilder([new("bootstrap.servers", cluster.Address)]).Build())
        {
            Dictionary<string, string> settings = new() { ["retention.ms"] = "-1", ["message.timestamp.before.max.ms"] = "9223372036854775807", ["message.timestamp.after.max.ms"] = "3600000" };
            await admin.CreateTopicsAsync([new TopicSpecification { Name = $"{_name}-sum.repartition", NumPartitions = 2, Configs = settings }]);
        }

        Write(broker, 3);
        await Run(broker);
        Assert.Equal([1, 2, 3], Sums(broker));
        Assert.Contains($"Topic '{_name}-sum.repartition' has message.timestamp.after.max.ms=3600000", Assert.Single(log.Lines, line => line.Contains(".max.ms", StringComparison.Ordinal)), StringComparison.Ordinal);
    }

    private Dataflow Flow()
    {
        Dataflow flow = new("anew");
        flow.Input("in", Topic.Keyed<string, int>(_name)).KeyOn("group", (key, _) => key).StatefulMap("sum", (ref int? sum, int value) => sum = (sum ?? 0) + value).Output("out", Topic.Keyed<string, int?>($"{_name}-out"));
        flow.Seal();
        return flow;
    }

    private void MakeTopics(KafkaBroker broker)
    {
        broker.CreateTopic(new TopicSpec(_name, 2, TopicCleanup.Keep));
        broker.CreateTopic(new TopicSpec($"{_name}-out", 2, TopicCleanup.Keep));
    }

    private void Write(KafkaBroker broker, int count)
    {
        using TopicWriter<string, int> writer = new(broker, Topic.Keyed<string, int>(_name));
        for (int i = 0; i < count; i++)
        {
            writer.Append("k", 1, Old);
        }

        writer.Flush();
    }

    private async Task Run(KafkaBroker broker)
    {
        using StreamEngine engine = new(Flow(), broker, new StreamOptions { AppId = _name, StateDir = _folder.Path, UntilEnd = true });
        await engine.RunAsync(TestContext.Current.CancellationToken);
    }

    private int?[] Sums(KafkaBroker broker)
    {
        using TopicReader<string, int?> reader = new(broker, Topic.Keyed<string, int?>($"{_name}-out"));
        return [.. reader.ReadToEnd().Select(record => record.Value)];
    }
}
