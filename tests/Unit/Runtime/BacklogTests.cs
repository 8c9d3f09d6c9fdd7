using System.Text;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>Shards that are far behind, so that their reader's buffers are full and paused when something happens to them.</summary>
public class BacklogTests
{
    private const int Shards = 4;
    private const int Backlog = 600;

    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");
    private static readonly KeyedTopic<string, int?> Out = Topic.Keyed<string, int?>("out");

    [Fact]
    public void AShardGoesOnAfterAnAbort()
    {
        using Cluster cluster = NewCluster();
        Behind(cluster, partition: 0);

        FailOnce(cluster, Consequence.Abort);

        AssertAllCounted(cluster, Backlog);
    }

    [Fact]
    public void AShardGoesOnWithANewWriter()
    {
        using Cluster cluster = NewCluster();
        Behind(cluster, partition: 0);

        FailOnce(cluster, Consequence.NewWriter);

        AssertAllCounted(cluster, Backlog);
    }

    [Fact]
    public void AShardGoesOnWhenItComesBackToItsWorker()
    {
        using Cluster cluster = NewCluster();
        AllButOneBehind(cluster);

        MoveAndComeBack(cluster);

        AssertAllCounted(cluster, (Shards - 1) * Backlog);
    }

    [Fact]
    public void ARunThatEndsInTheMidstOfABacklogLeavesTheRestToTheNext()
    {
        using Cluster cluster = NewCluster();
        Behind(cluster, partition: 0);
        Cluster.Member member = cluster.Members[0];
        cluster.End();
        cluster.Until(() => member.Instance!.Ledger.Current.InProgress, "the run is announced");
        Behind(cluster, partition: 0);
        cluster.Until(() => member.IsDone, "the first run is done");
        Assert.Equal(Backlog, cluster.Outputs(Out).Count());

        member.Crash();
        member.Open();
        cluster.Until(() => member.IsDone, "the second run is done");

        Assert.Equal(Enumerable.Range(1, 2 * Backlog), cluster.Outputs(Out).Select(output => output.Value!.Value));
    }

    /// <summary>The fault that Kafka's client invites to: these tests must see it.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AReaderThatForgetsItsPausesIsFoundOut(bool comesBack)
    {
        using Cluster cluster = NewCluster(forgetsPauses: true);
        AllButOneBehind(cluster);

        if (comesBack)
        {
            MoveAndComeBack(cluster);
        }
        else
        {
            FailOnce(cluster, Consequence.Abort);
        }

        Assert.Throws<TimeoutException>(() => AssertAllCounted(cluster, (Shards - 1) * Backlog));
    }

    private static Cluster NewCluster(bool forgetsPauses = false)
    {
        Dataflow flow = new("backlog");
        flow.Input("in", In).StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("write", Out);
        Cluster cluster = new(flow, Shards) { Adjust = options => options with { Workers = 1 } };
        cluster.Broker.Prefetch = new EmbeddedPrefetch { RecordsMax = 40, FetchMax = 20, ForgetsPauses = forgetsPauses };
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == Shards, "the shards run");
        return cluster;
    }

    /// <summary>One key, whose records are all in one partition.</summary>
    private static void Behind(Cluster cluster, int partition) =>
        cluster.Broker.Produce("in", Enumerable.Repeat(new NewRecord(Encoding.UTF8.GetBytes($"behind-{partition}"), [0, 0, 0, 1], Partition: partition), Backlog));

    /// <summary>The reader looks for records of the one without any, and finds those of the others, until they are full.</summary>
    private static void AllButOneBehind(Cluster cluster)
    {
        for (int partition = 0; partition < Shards - 1; partition++)
        {
            Behind(cluster, partition);
        }
    }

    /// <summary>The third commit from now fails: the buffers are full then.</summary>
    private static void FailOnce(Cluster cluster, Consequence consequence)
    {
        int commits = 0;
        cluster.StopsAt = (_, step) => step == "commit.3" && ++commits == 3 ? throw new BrokerException(consequence, "The test asks for it.") : false;
        cluster.Until(() => commits >= 3, "a commit has failed");
        Assert.True(cluster.Outputs(Out).Count() < Backlog / 2, "most of the backlog is left");
    }

    /// <summary>Another instance takes half of the shards and dies with them.</summary>
    private static void MoveAndComeBack(Cluster cluster)
    {
        Cluster.Member stays = cluster.Members[0];
        cluster.Until(() => cluster.Outputs(Out).Any(), "there is a commit");
        Cluster.Member other = cluster.Add("other");
        cluster.Until(() => other.Running == Shards / 2, "half of the shards have moved");
        other.Crash();
        cluster.Until(() => stays.Running == Shards, "they have come back");
        Assert.True(cluster.Outputs(Out).Count() < (Shards - 1) * Backlog / 2, "most of the backlog is left");
    }

    private static void AssertAllCounted(Cluster cluster, int records)
    {
        cluster.Until(() => cluster.Outputs(Out).Count() == records, "all are counted", rounds: 500);
        Assert.All(cluster.Outputs(Out).GroupBy(output => output.Key), key => Assert.Equal(Enumerable.Range(1, Backlog), key.Select(output => output.Value!.Value)));
    }
}
