using System.Text;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>Topics that meet by key must be partitioned alike; what is not is refused before anything is lost.</summary>
public class PartitioningTests
{
    private static readonly KeyedTopic<string, string> Left = Topic.Keyed<string, string>("left");
    private static readonly KeyedTopic<string, string> Right = Topic.Keyed<string, string>("right");
    private static readonly KeyedTopic<string, string> Joined = Topic.Keyed<string, string>("joined");

    [Fact]
    public void AKeyInAPartitionOfAnotherPartitionerStopsAJoinWithBothFixes()
    {
        using EmbeddedBroker broker = Broker(4, 4);
        Assert.Equal(1, Murmur2.Partition("k1"u8, 4));
        broker.Produce("right", "k1"u8.ToArray(), "r"u8.ToArray(), partition: 3);

        StreamException error = Assert.Throws<StreamException>(() => Run(broker, Join()));

        Assert.Equal(ExitCode.Broker, error.Code);
        Assert.Contains("Offset 0 of right[3]", error.Message, StringComparison.Ordinal);
        Assert.Contains("Murmur2 puts into partition 1", error.Message, StringComparison.Ordinal);
        Assert.Contains("InputOptions.Partitioner of step 'right'", error.Message, StringComparison.Ordinal);
        Assert.Contains(".Repartition(", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TopicsOfOneOtherPartitionerMeetWhenBothSaySo()
    {
        using EmbeddedBroker broker = Broker(4, 4);
        foreach (string topic in (string[])["left", "right"])
        {
            broker.Produce(topic, "k1"u8.ToArray(), Encoding.UTF8.GetBytes(topic), partition: (int)(Crc32.Hash("k1"u8) % 4));
        }

        Run(broker, Join(new InputOptions { Partitioner = TopicPartitioner.Crc32 }, new InputOptions { Partitioner = TopicPartitioner.Crc32 }));

        Assert.Equal("left+right", Encoding.UTF8.GetString(Assert.Single(broker.ReadAll("joined")).Value!));
    }

    [Fact]
    public void ATopicOfAnotherPartitionerMeetsBehindARepartitionTopic()
    {
        using EmbeddedBroker broker = Broker(4, 4);
        broker.Produce("left", "k1"u8.ToArray(), "left"u8.ToArray());
        broker.Produce("right", "k1"u8.ToArray(), "right"u8.ToArray(), partition: 3);
        Dataflow flow = new("join");
        Output(flow.Input("left", Left).Join("join", flow.Input("right", Right).Repartition("again")));

        Run(broker, flow);

        Assert.Single(broker.ReadAll("joined"));
    }

    [Fact]
    public void DifferentPartitionersAreRefusedAtTheStart()
    {
        using EmbeddedBroker broker = Broker(4, 4);

        StreamException error = Assert.Throws<StreamException>(() => Run(broker, Join(null, new InputOptions { Partitioner = TopicPartitioner.Crc32 })));

        Assert.Contains("left by Murmur2, right by Crc32", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DifferentPartitionCountsAreRefusedAtTheStart()
    {
        using EmbeddedBroker broker = Broker(4, 2);

        StreamException error = Assert.Throws<StreamException>(() => Run(broker, Join()));

        Assert.Contains("step 'join' have different partition counts: left 4, right 2", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ASingleInputMayBePartitionedInAnyWay()
    {
        using EmbeddedBroker broker = Broker(4, 4);
        broker.Produce("left", "k1"u8.ToArray(), "a"u8.ToArray(), partition: 3);
        Dataflow flow = new("single");
        flow.Input("left", Left).StatefulMap("last", (ref string? last, string value) => last = value).Output("out", Joined);

        Run(broker, flow);

        Assert.Single(broker.ReadAll("joined"));
    }

    [Fact]
    public void AnInputThatIsDeletedUnderWayStopsTheInstance()
    {
        using EmbeddedBroker broker = Broker(2, 2);
        string folder = Directory.CreateTempSubdirectory("kstream-watch-").FullName;
        DriverClock clock = new(DateTimeOffset.UnixEpoch.AddYears(50));
        using (Instance instance = Instance.Open(Join(), broker, new StreamOptions { StateDir = folder }, logging: null, clock))
        {
            instance.TopicWatch.Step();
            broker.DeleteTopic("right");
            instance.TopicWatch.Step();
            clock.Advance(TimeSpan.FromMinutes(1));

            Assert.Contains("'right'", Assert.Throws<StreamException>(instance.TopicWatch.Step).Message, StringComparison.Ordinal);

            broker.CreateTopic("right", 3);
            clock.Advance(TimeSpan.FromMinutes(1));
            Assert.Contains("had 2 partitions when this instance started and has 3 now", Assert.Throws<StreamException>(instance.TopicWatch.Step).Message, StringComparison.Ordinal);
        }

        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void ATopicThatMayNotBeLookedAtAnyMoreDoesNotStopTheInstance()
    {
        using EmbeddedBroker broker = Broker(2, 2);
        bool isRefused = false;
        WatchedBroker watched = new(broker)
        {
            Described = _ =>
            {
                if (isRefused)
                {
                    throw new BrokerException(Consequence.Stop, "not allowed");
                }
            },
        };
        string folder = Directory.CreateTempSubdirectory("kstream-watch-").FullName;
        DriverClock clock = new(DateTimeOffset.UnixEpoch.AddYears(50));
        Lines lines = new();
        using (Instance instance = Instance.Open(Join(), watched, new StreamOptions { StateDir = folder }, lines, clock))
        {
            isRefused = true;
            clock.Advance(TimeSpan.FromMinutes(1));
            instance.TopicWatch.Step();
        }

        Assert.Contains(lines.All, line => line.Contains("trying again in 1 min: not allowed", StringComparison.Ordinal));
        Directory.Delete(folder, recursive: true);
    }

    [Theory]
    [InlineData("123456789", 0xcbf43926)]
    [InlineData("", 0)]
    public void CrcIsThatOfZlib(string text, uint expected) => Assert.Equal(expected, Crc32.Hash(Encoding.ASCII.GetBytes(text)));

    private static EmbeddedBroker Broker(int left, int right)
    {
        EmbeddedBroker broker = EmbeddedBroker.InMemory();
        broker.CreateTopic("left", left);
        broker.CreateTopic("right", right);
        broker.CreateTopic("joined", 4);
        return broker;
    }

    private static Dataflow Join(InputOptions? left = null, InputOptions? right = null)
    {
        Dataflow flow = new("join");
        Output(flow.Input("left", Left, left).Join("join", flow.Input("right", Right, right)));
        return flow;
    }

    private static void Output(KeyedStream<string, (string, string)> joined) =>
        joined.MapValue("text", sides => $"{sides.Item1}+{sides.Item2}").Output("out", Joined);

    private static void Run(EmbeddedBroker broker, Dataflow flow)
    {
        flow.Seal();
        string folder = Directory.CreateTempSubdirectory("kstream-partitioning-").FullName;
        try
        {
            using Instance instance = Instance.Open(flow, broker, new StreamOptions { StateDir = folder, UntilEnd = true }, logging: null, TimeProvider.System);
            for (int turn = 0; turn < 100_000 && !instance.IsDone; turn++)
            {
                instance.StepMembership();
                instance.Restorers[0].Step();
                foreach (ShardWorker worker in instance.Workers)
                {
                    worker.Step();
                }
            }

            Assert.True(instance.IsDone);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
