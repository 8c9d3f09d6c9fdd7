using System.Buffers.Binary;
using System.Text;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The engine on Kafka, instances inside this process.</summary>
[Needs<KafkaCluster>]
public sealed class EngineTests(KafkaCluster cluster, ITestOutputHelper output) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    private readonly KafkaBroker _broker = new(new KafkaOptions { BootstrapServers = cluster.Address });
    private readonly string _app = $"engine-{Guid.NewGuid().ToString("N")[..12]}";
    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-kafka-").FullName;

    public void Dispose()
    {
        _broker.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task AFiniteRunCountsEveryRecordOnce()
    {
        CreateTopics(partitions: 3);
        Load(records: 3_000, keys: 50);
        await using RunningEngine one = Start("one", untilEnd: true);

        await one.Ended();

        Assert.Equal(3_000, one.Engine.Status.RecordsIn);
        AssertCounted(records: 3_000, keys: 50);
    }

    [Fact]
    public async Task ASecondRunGoesOnWhereTheFirstEnded()
    {
        CreateTopics(partitions: 2);
        Load(records: 500, keys: 10);
        await using (RunningEngine first = Start("one", untilEnd: true))
        {
            await first.Ended();
        }

        Load(records: 500, keys: 10);
        await using RunningEngine second = Start("two", untilEnd: true);
        await second.Ended();

        Assert.Equal(500, second.Engine.Status.RecordsIn);
        AssertCounted(records: 1_000, keys: 10);
    }

    [Theory]
    [InlineData(KafkaGroupProtocol.Classic)]
    [InlineData(KafkaGroupProtocol.Consumer)]
    public async Task TwoInstancesShareAndTheOneThatStaysTakesOver(KafkaGroupProtocol protocol)
    {
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address, GroupProtocol = protocol });
        CreateTopics(partitions: 4);
        Load(records: 1_000, keys: 40);
        await using RunningEngine one = Start("one", broker: broker);
        await using RunningEngine two = Start("two", broker: broker);
        await Until(() => one.Shards == 2 && two.Shards == 2, "the two share the shards", one, two);
        await Until(() => one.Engine.Status.RecordsIn + two.Engine.Status.RecordsIn >= 1_000, "all is read", one, two);

        Load(records: 1_000, keys: 40);
        await one.Stop();
        await Until(() => two.Shards == 4, "the second has everything", two);
        Load(records: 1_000, keys: 40);
        await Until(() => Committed() >= 3_000, "everything is committed", two);
        await two.Stop();

        AssertCounted(records: 3_000, keys: 40);
    }

    [Fact]
    public async Task AFiniteInstanceBesideAnEndlessOneEndsAndSaysWhy()
    {
        CreateTopics(partitions: 2);
        Load(records: 100, keys: 10);
        await using RunningEngine endless = Start("endless");
        await Until(() => endless.Shards == 2 && Committed() == 100, "the shards run", endless);
        await using (RunningEngine finite = Start("finite", untilEnd: true))
        {
            StreamException error = await Assert.ThrowsAsync<StreamException>(finite.Ended);
            Assert.Equal(ExitCode.Usage, error.Code);
            Assert.StartsWith("Instance 'endless' runs shard ", error.Message, StringComparison.Ordinal);
        }

        Load(records: 100, keys: 10);
        await Until(() => endless.Shards == 2 && Committed() == 200, "the endless one goes on with all shards", endless);
        await endless.Stop();
        await using RunningEngine again = Start("finite", untilEnd: true);
        await again.Ended();
        AssertCounted(records: 200, keys: 10);
    }

    /// <summary>One partition is far behind; the abort comes while its buffer is full and the client has paused it.</summary>
    [Fact]
    public async Task AShardWithABacklogGoesOnAfterAnAbort()
    {
        CreateTopics(partitions: 4);
        Load(records: 400, keys: 40);
        LoadBacklog(records: 100_000);
        KafkaReader? workers = null;
        WatchedBroker broker = new(_broker)
        {
            MadeReader = made => workers = Thread.CurrentThread.Name == "kstream-worker-0" ? (KafkaReader)made : workers,
        };
        bool wasAborted = false;
        await using RunningEngine one = Start(
            "one",
            broker: broker,
            workers: 1,

            // While it commits, the client fetches; so it has more than is processed.
            commitInterval: TimeSpan.FromMilliseconds(1),
            reached: step =>
            {
                if (step == "commit.3" && !wasAborted && workers is not null && workers.IsPaused(new(Input, 0)))
                {
                    wasAborted = true;
                    throw new BrokerException(Consequence.Abort, "The test asks for an abort.");
                }
            });

        await Until(() => Committed() == 100_400, "all is committed", one);

        Assert.True(wasAborted, "the buffer was never full at a commit");
        await one.Stop();
        Assert.Equal(Enumerable.Range(1, 100_000), Read(new(Output, 0)).Where(record => record.Key == "behind").Select(record => BinaryPrimitives.ReadInt32BigEndian(record.Value)));
    }

    private string Input => $"{_app}-in";

    private string Output => $"{_app}-out";

    private void CreateTopics(int partitions)
    {
        _broker.CreateTopic(new TopicSpec(Input, partitions, TopicCleanup.Keep));
        _broker.CreateTopic(new TopicSpec(Output, partitions, TopicCleanup.Keep));
    }

    private RunningEngine Start(string instance, bool untilEnd = false, Broker? broker = null, int workers = 2, TimeSpan? commitInterval = null, Action<string>? reached = null)
    {
        Dataflow flow = new(_app);
        flow.Input("in", Topic.Keyed(Input, Serde.Utf8, Serde.Utf8))
            .StatefulMap("count", (ref int? count, string _) => count = (count ?? 0) + 1)
            .Output("out", Topic.Keyed(Output, Serde.Utf8, Serde.For<int?>()));
        StreamOptions options = new() { InstanceId = instance, StateDir = Path.Combine(_folder, instance), UntilEnd = untilEnd, Workers = workers };
        options = options with { CommitInterval = commitInterval ?? options.CommitInterval };
        return new(new StreamEngine(flow, broker ?? _broker, options, new TestLogging(instance, output)) { Reached = reached });
    }

    /// <summary>Keys k0, k1, ... in turn.</summary>
    private void Load(int records, int keys)
    {
        int partitions = _broker.DescribeTopic(Input)!.Partitions;
        using OutputWriter writer = _broker.CreateOutputWriter();
        for (int i = 0; i < records; i++)
        {
            byte[] key = Encoding.UTF8.GetBytes($"k{i % keys}");
            writer.Append(new(Input, Murmur2.Partition(key, partitions)), new(1_700_000_000_000 + i, key, true, "v"u8, true, Headers.Empty));
        }

        writer.Flush();
    }

    /// <summary>Records of one key in partition 0, far more than a reader keeps, and so small that a fetch brings thousands.</summary>
    private void LoadBacklog(int records)
    {
        using OutputWriter writer = _broker.CreateOutputWriter();
        for (int i = 0; i < records; i++)
        {
            writer.Append(new(Input, 0), new(1_700_000_000_000 + i, "behind"u8, true, "v"u8, true, Headers.Empty));
        }

        writer.Flush();
    }

    /// <summary>Every key's outputs are 1, 2, 3 ... in order, and the group's positions are at the end of the input.</summary>
    private void AssertCounted(int records, int keys)
    {
        Dictionary<string, List<int>> counts = [];
        foreach (TopicPartition partition in Partitions(Output))
        {
            foreach ((string key, byte[] value) in Read(partition))
            {
                (counts.TryGetValue(key, out List<int>? seen) ? seen : counts[key] = []).Add(BinaryPrimitives.ReadInt32BigEndian(value));
            }
        }

        Assert.Equal(keys, counts.Count);
        Assert.All(counts.Values, seen => Assert.Equal(Enumerable.Range(1, records / keys), seen));
        Assert.Equal(records, Committed());
    }

    private long Committed() => _broker.TryGetCommittedOffsets(_app, Partitions(Input), out long?[] offsets) ? offsets.Sum(offset => offset ?? 0) : -1;

    private TopicPartition[] Partitions(string topic) => [.. Enumerable.Range(0, _broker.DescribeTopic(topic)!.Partitions).Select(number => new TopicPartition(topic, number))];

    private List<(string Key, byte[] Value)> Read(TopicPartition partition)
    {
        using Reader reader = _broker.CreateReader(readCommitted: true);
        reader.Assign(partition, 0);
        long end = _broker.EndOffset(partition, committedOnly: false);
        List<(string Key, byte[] Value)> records = [];
        while (reader.Position(partition) < end)
        {
            if (reader.Read(partition, 1_000) is not { } batch)
            {
                reader.Wait(TimeSpan.FromMilliseconds(100));
                continue;
            }

            for (int i = 0; i < batch.Count; i++)
            {
                records.Add((Encoding.UTF8.GetString(batch[i].Key), batch[i].Value.ToArray()));
            }
        }

        return records;
    }

    /// <summary>Waits for a condition; an engine that ends meanwhile says why.</summary>
    private async Task Until(Func<bool> condition, string what, params RunningEngine[] engines)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(Limit);
        using PeriodicTimer turns = new(TimeSpan.FromMilliseconds(50));
        while (!condition())
        {
            foreach (RunningEngine engine in engines.Where(engine => engine.Run.IsCompleted))
            {
                await engine.Run;
                Assert.Fail($"An engine ended before: {what}.");
            }

            try
            {
                await turns.WaitForNextTickAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"Not so within {Limit.TotalSeconds} s: {what}.");
            }
        }
    }

    private sealed class RunningEngine : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();

        public RunningEngine(StreamEngine engine)
        {
            Engine = engine;
            Run = engine.RunAsync(_stop.Token);
        }

        public StreamEngine Engine { get; }

        public Task Run { get; }

        public int Shards => Engine.Status.Shards.Count(shard => shard.State == ShardState.Running);

        public Task Ended() => Run.WaitAsync(Limit, TestContext.Current.CancellationToken);

        public async Task Stop()
        {
            await _stop.CancelAsync();
            await Ended();
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await Run.WaitAsync(Limit, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Engine.Dispose();
            _stop.Dispose();
        }
    }
}
