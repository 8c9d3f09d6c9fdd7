using System.Text;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Topics that do not fit, and a step that hangs: the instance ends, says what is wrong and what to do.</summary>
[Needs<KafkaCluster>]
public sealed class RefusalTests(KafkaCluster cluster, ITestOutputHelper output) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly KafkaBroker _broker = new(new KafkaOptions { BootstrapServers = cluster.Address });
    private readonly string _app = $"refused-{Guid.NewGuid().ToString("N")[..12]}";
    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-refused-").FullName;

    public void Dispose()
    {
        _broker.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task AnInputThatIsMissingIsNamedWithItsStep()
    {
        CreateTopic("left", 2);
        CreateTopic("out", 2);

        StreamException error = await Refused(Join());

        Assert.Equal((ExitCode.Broker, $"Topic '{_app}-right' of input step 'right' does not exist. Create it first."), (error.Code, error.Message));
    }

    [Fact]
    public void ATopicThatIsGoneIsNamed()
    {
        BrokerException error;
        do
        {
            // It may be a new one, of which the broker has not heard.
            error = Assert.Throws<BrokerException>(() => _broker.EndOffset(new($"{_app}-gone", 0), committedOnly: false));
        }
        while (error.Consequence == Consequence.Retry);

        Assert.Equal(Consequence.Stop, error.Consequence);
        Assert.Contains($"topic '{_app}-gone' does not exist", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task InputsThatMeetWithDifferentPartitionCountsAreNamedWithTheFix()
    {
        CreateTopic("left", 2);
        CreateTopic("right", 3);
        CreateTopic("out", 2);

        StreamException error = await Refused(Join());

        Assert.Contains($"step 'join' have different partition counts: {_app}-left 2, {_app}-right 3. Put .Repartition(", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task KeysOfAnotherPartitionerStopAJoinWithBothFixes()
    {
        foreach (string topic in (string[])["left", "right", "out"])
        {
            CreateTopic(topic, 4);
        }

        // As a producer does that uses librdkafka's default.
        using (IProducer<string, string> producer = new ProducerBuilder<string, string>(new ProducerConfig { BootstrapServers = cluster.Address }).Build())
        {
            Assert.Contains(Enumerable.Range(0, 20), i => Murmur2.Partition(Encoding.UTF8.GetBytes($"k{i}"), 4) != Crc32.Hash(Encoding.UTF8.GetBytes($"k{i}")) % 4);
            for (int i = 0; i < 20; i++)
            {
                producer.Produce($"{_app}-right", new Message<string, string> { Key = $"k{i}", Value = "v" });
            }

            producer.Flush(Limit);
        }

        StreamException error = await Refused(Join());

        Assert.Equal(ExitCode.Broker, error.Code);
        Assert.Matches($@"^Offset \d+ of {_app}-right\[\d\] has a key that Murmur2 puts into partition \d\.", error.Message);
        Assert.Contains("(InputOptions.Partitioner of step 'right'), or put .Repartition(\"...\") behind step 'right'", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("changelog", 3, TopicCleanup.Compact)]
    [InlineData("changelog", 2, TopicCleanup.Keep)]
    [InlineData("again.repartition", 3, TopicCleanup.Keep)]
    [InlineData("again.repartition", 2, TopicCleanup.Delete)]
    [InlineData("shards", 2, TopicCleanup.Delete)]
    internal async Task AnInternalTopicThatExistsOtherwiseIsNamedWithWhatIsNeeded(string topic, int partitions, TopicCleanup cleanup)
    {
        foreach (string name in (string[])["left", "right", "out"])
        {
            CreateTopic(name, 2);
        }

        _broker.CreateTopic(new TopicSpec($"{_app}-{topic}", partitions, cleanup));

        StreamException error = await Refused(Join());

        Assert.Equal(ExitCode.Broker, error.Code);
        Assert.StartsWith($"Topic '{_app}-{topic}' exists with {partitions} partitions and cleanup {cleanup}; the application needs 2 and ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task PartitionsThatAreAddedToAnInputUnderWayAreFoundAtTheNextLook()
    {
        foreach (string topic in (string[])["left", "right", "out"])
        {
            CreateTopic(topic, 2);
        }

        ManualClock clock = new();
        using Instance instance = Instance.Open(Join(), _broker, new StreamOptions { InstanceId = "one", StateDir = _folder }, new TestLogging("one", output), clock);
        clock.Advance(TimeSpan.FromMinutes(1));
        instance.TopicWatch.Step();
        using (IAdminClient admin = new AdminClientBuilder(new AdminClientConfig { BootstrapServers = cluster.Address }).Build())
        {
            await admin.CreatePartitionsAsync([new PartitionsSpecification { Topic = $"{_app}-right", IncreaseTo = 3 }]);
        }

        StreamException? error = null;
        await Until(() =>
        {
            // The broker that is asked may hear of it a moment later.
            clock.Advance(TimeSpan.FromMinutes(1));
            error = Record.Exception(instance.TopicWatch.Step) as StreamException;
            return error is not null;
        });
        Assert.Equal(ExitCode.Broker, error!.Code);
        Assert.StartsWith($"Topic '{_app}-right' of input step 'right' had 2 partitions when this instance started and has 3 now", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AStepThatHangsEndsItsInstanceAndAnotherOneDoesItsWork()
    {
        CreateTopic("in", 2);
        CreateTopic("out", 2);
        using (OutputWriter writer = _broker.CreateOutputWriter())
        {
            writer.Append(new($"{_app}-in", 0), new(1, "k"u8, true, "v"u8, true, Headers.Empty));
            writer.Flush();
        }

        using ManualResetEventSlim never = new();
        using StreamEngine hanging = new(Flow(() => never.Wait(Limit)), _broker, Options("one") with { StallTimeout = TimeSpan.FromSeconds(1) }, new TestLogging("one", output));
        try
        {
            StreamException error = await Assert.ThrowsAsync<StreamException>(() => hanging.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Limit, TestContext.Current.CancellationToken));
            Assert.Equal(ExitCode.Stalled, error.Code);
            Assert.StartsWith("Step 'hang' has been running for more than 00:00:01 (StallTimeout).", error.Message, StringComparison.Ordinal);

            using StreamEngine other = new(Flow(() => { }), _broker, Options("two"), new TestLogging("two", output));
            await other.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Limit, TestContext.Current.CancellationToken);
            Assert.Equal(1, other.Status.RecordsIn);
        }
        finally
        {
            never.Set();
        }

        Dataflow Flow(Action wait)
        {
            Dataflow flow = new(_app);
            flow.Input("in", Topic.Keyed($"{_app}-in", Serde.Utf8, Serde.Utf8))
                .MapValue("hang", value =>
                {
                    wait();
                    return value;
                })
                .Output("out", Topic.Keyed($"{_app}-out", Serde.Utf8, Serde.Utf8));
            return flow;
        }
    }

    private StreamOptions Options(string instance) =>
        new() { InstanceId = instance, StateDir = Path.Combine(_folder, instance), UntilEnd = true, SessionTimeout = TimeSpan.FromSeconds(6) };

    private void CreateTopic(string name, int partitions) => _broker.CreateTopic(new TopicSpec($"{_app}-{name}", partitions, TopicCleanup.Keep));

    /// <summary>A join of two topics, and what comes out of it counted behind a repartition topic.</summary>
    private Dataflow Join()
    {
        Dataflow flow = new(_app);
        KeyedStream<string, string> right = flow.Input("right", Topic.Keyed($"{_app}-right", Serde.Utf8, Serde.Utf8));
        flow.Input("left", Topic.Keyed($"{_app}-left", Serde.Utf8, Serde.Utf8))
            .Join("join", right)
            .MapValue("both", pair => pair.Item1 + pair.Item2)
            .Repartition("again")
            .Output("out", Topic.Keyed($"{_app}-out", Serde.Utf8, Serde.Utf8));
        return flow;
    }

    private async Task<StreamException> Refused(Dataflow flow)
    {
        using StreamEngine engine = new(flow, _broker, Options("one"), new TestLogging("one", output));
        return await Assert.ThrowsAsync<StreamException>(() => engine.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Limit, TestContext.Current.CancellationToken));
    }

    private static async Task Until(Func<bool> condition)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(Limit);
        using PeriodicTimer turns = new(TimeSpan.FromMilliseconds(50));
        while (!condition())
        {
            await turns.WaitForNextTickAsync(limit.Token);
        }
    }
}
