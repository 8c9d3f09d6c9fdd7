using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Processes that join, leave, restart and die.</summary>
[Needs<KafkaCluster>]
public sealed class MembershipOnKafkaTests(KafkaCluster cluster, ITestOutputHelper output) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    /// <summary>The faults of the random test; KSTREAM_ROUNDS asks for more.</summary>
    private static readonly int Rounds = int.Parse(Environment.GetEnvironmentVariable("KSTREAM_ROUNDS") ?? "8", System.Globalization.CultureInfo.InvariantCulture);

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-members-").FullName;
    private int _folders;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void ARollingRestartWithIdsOfTheirOwnMovesNoShard()
    {
        using CountTopics topics = new(cluster.Address, partitions: 4);
        InstanceProcess[] processes = [Start(topics, "a"), Start(topics, "b")];
        try
        {
            topics.Load(500);
            topics.Until(Limit, () => processes.All(process => process.Shards is { Length: 5 }), () => "the two do not share the shards", processes);
            string?[] before = [.. processes.Select(process => process.Shards)];
            for (int i = 0; i < processes.Length; i++)
            {
                processes[i].Terminate();
                Assert.Equal(0, processes[i].AwaitExit(Limit));
                processes[i].Dispose();
                processes[i] = Start(topics, i == 0 ? "a" : "b");
                topics.Load(200);
                InstanceProcess other = processes[1 - i];
                topics.Until(
                    Limit,
                    () =>
                    {
                        Assert.Equal(before[1 - i], other.Shards);
                        return processes[i].Shards == before[i] && topics.Counted == topics.Loaded;
                    },
                    () => "the restarted process does not go on with its shards",
                    processes);
            }

            topics.AssertExact();
        }
        finally
        {
            Array.ForEach(processes, process => process.Dispose());
        }
    }

    /// <summary>
    /// Protocol <c>consumer</c> takes both for members, so that they find out by fencing each other, worker by worker; <c>classic</c>
    /// tells one of them, while its workers fence the other's. So both may end at once.
    /// </summary>
    [Theory]
    [InlineData(KafkaGroupProtocol.Classic)]
    [InlineData(KafkaGroupProtocol.Consumer)]
    public void OfTwoProcessesWithOneIdOneEndsWithAClearError(KafkaGroupProtocol protocol)
    {
        using CountTopics topics = new(cluster.Address, partitions: 2);
        using InstanceProcess first = Start(topics, "same", protocol);
        topics.Load(100);
        topics.AwaitAll(Limit, first);
        using InstanceProcess second = Start(topics, "same", protocol);

        topics.Until(
            Limit,
            () =>
            {
                // What is not committed fences nobody.
                topics.Load(10);
                return first.HasExited || second.HasExited;
            },
            () => "both go on");

        InstanceProcess ended = first.HasExited ? first : second;
        InstanceProcess other = first.HasExited ? second : first;
        Assert.Equal((int)ExitCode.Broker, ended.AwaitExit(Limit));
        Assert.Contains("instance id 'same'", ended.ToString(), StringComparison.Ordinal);
        using InstanceProcess heir = Start(topics, "another", protocol);
        if (!other.HasExited)
        {
            other.Kill();
        }

        topics.Load(100);
        topics.AwaitAll(Limit, heir);
        topics.AssertExact();
    }

    /// <summary>The seconds until the shards of a killed process produce again; printed, since they depend on the machine.</summary>
    [Theory]
    [InlineData("another takes over", KafkaGroupProtocol.Classic)]
    [InlineData("restarted under its id", KafkaGroupProtocol.Classic)]
    [InlineData("another takes over", KafkaGroupProtocol.Consumer)]
    [InlineData("restarted under its id", KafkaGroupProtocol.Consumer)]
    public void TheShardsOfAKilledProcessProduceAgain(string how, KafkaGroupProtocol protocol)
    {
        using CountTopics topics = new(cluster.Address, partitions: 4);
        using InstanceProcess stays = Start(topics, "stays", protocol);
        InstanceProcess killed = Start(topics, "killed", protocol);
        try
        {
            topics.Load(500);
            topics.Until(Limit, () => stays.Shards is { Length: 5 } && killed.Shards is { Length: 5 } && topics.Counted == topics.Loaded, () => "the two do not share the shards", stays, killed);
            topics.Load(2_000);
            killed.Kill();
            long began = TimeProvider.System.GetTimestamp();
            if (how == "restarted under its id")
            {
                killed.AwaitExit(Limit);
                killed.Dispose();
                killed = Start(topics, "killed", protocol);
            }

            topics.Load(500);
            topics.AwaitAll(Limit, stays);
            output.WriteLine($"{protocol}, {how}: {TimeProvider.System.GetElapsedTime(began).TotalSeconds:0.0} s until its shards produced again (session time-out: 6 s for classic, the broker's for consumer)");
            topics.AssertExact();
        }
        finally
        {
            killed.Dispose();
        }
    }

    /// <summary>SIGKILL at random moments, SIGSTOP beyond the session time-out, orderly stops; on the same folder or an empty one.</summary>
    [Theory]
    [InlineData(1, KafkaGroupProtocol.Classic)]
    [InlineData(2, KafkaGroupProtocol.Consumer)]
    public void ProcessesThatDieSleepAndRestartAtRandomCountEveryRecordOnce(int seed, KafkaGroupProtocol protocol)
    {
        Random random = new(seed);
        using CountTopics topics = new(cluster.Address, partitions: 4);
        string[] names = ["a", "b", "c"];
        InstanceProcess?[] processes = [.. names.Select(name => (InstanceProcess?)Start(topics, name, protocol))];
        try
        {
            topics.Load(500);
            for (int round = 0; round < Rounds; round++)
            {
                int victim = random.Next(names.Length);
                int goal = topics.Counted + random.Next(100, 400);
                topics.Load(500);
                topics.Until(Limit, () => topics.Counted >= Math.Min(goal, topics.Loaded), () => $"stuck at {topics.Counted} of {topics.Loaded}");
                string did;
                switch (random.Next(4))
                {
                    case 0:
                        did = "terminated";
                        topics.Until(Limit, () => processes[victim]!.Shards is not null, () => "it does not start", processes[victim]!);
                        processes[victim]!.Terminate();
                        Assert.True(processes[victim]!.AwaitExit(Limit) == 0, processes[victim]!.ToString());
                        processes[victim]!.Dispose();
                        processes[victim] = Start(topics, names[victim], protocol);
                        break;
                    case 1:
                        did = "paused";
                        processes[victim]!.Pause();
                        int behind = topics.Loaded;
                        topics.Load(200);
                        topics.Until(Limit, () => topics.Counted >= behind + 200, () => "the others do not take over");
                        processes[victim]!.Wake();
                        break;
                    default:
                        did = "killed";
                        processes[victim]!.Kill();
                        Assert.Equal(137, processes[victim]!.AwaitExit(Limit));
                        processes[victim]!.Dispose();
                        processes[victim] = Start(topics, names[victim], protocol, emptyFolder: random.Next(2) == 0);
                        break;
                }

                output.WriteLine($"round {round}: {names[victim]} {did}; {topics.Counted} of {topics.Loaded} counted");
            }

            // After the last change every process has shards, and records of them.
            topics.Until(Limit, () => processes.All(process => process!.Shards is { Length: > 2 }), () => "a process has no shard", processes!);
            long[] before = [.. processes.Select(process => process!.Records)];
            topics.Load(600);
            topics.AwaitAll(Limit, processes!);
            topics.Until(Limit, () => processes.Zip(before).All(pair => pair.First!.Records > pair.Second), () => "a process that is up does nothing", processes!);
            topics.AwaitSettled(Limit, processes!);
            topics.AssertExact();
            output.WriteLine($"{topics.Loaded} records: each counted once, positions at the end, no transaction open");
        }
        finally
        {
            Array.ForEach(processes, process => process?.Dispose());
        }
    }

    private InstanceProcess Start(CountTopics topics, string name, KafkaGroupProtocol protocol = KafkaGroupProtocol.Classic, bool emptyFolder = false)
    {
        string folder = Path.Combine(_folder, emptyFolder || name == "same" ? $"{name}-{++_folders}" : name);
        return new(topics, cluster.Address, name, folder, "--protocol", protocol.ToString());
    }
}
