using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>With the at-least-once guarantee outputs may repeat; states and positions do not.</summary>
public class AtLeastOnceTests
{
    [Theory]
    [InlineData("commit.0")]
    [InlineData("commit.1")]
    [InlineData("commit.3")]
    public void ACrashAfterTheOutputsRepeatsThemAndKeepsTheStateExact(string step)
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 1, Guarantee.AtLeastOnce);
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        ledger.Push(cluster, "a1", 1);
        ledger.Push(cluster, "a1", 2);
        cluster.StopsAt = (_, at) => at == step;
        cluster.Until(() => !member.IsUp, "it stopped");
        Assert.Equal([1, 2], cluster.Outputs(LedgerFlow.Counts).Select(output => output.Value!.Value));

        cluster.StopsAt = (_, _) => false;
        member.Open();
        ledger.Push(cluster, "a1", 3);
        cluster.Until(() => cluster.Outputs(LedgerFlow.Counts).Any(output => output.Value == 3), "the third is counted");

        Assert.Equal([1, 2, 1, 2, 3], cluster.Outputs(LedgerFlow.Counts).Select(output => output.Value!.Value));
    }

    /// <summary>As a process that is woken in the midst of a turn: its shard has another owner, and it hears of that before it goes on.</summary>
    [Fact]
    public void AnOutputOfAShardThatAnotherOwnsByNowIsNotWritten()
    {
        KeyedTopic<string, int> input = Topic.Keyed<string, int>("in");
        KeyedTopic<string, int?> output = Topic.Keyed<string, int?>("out");
        Cluster? cluster = null;
        Cluster.Member? former = null;
        Cluster.Member? heir = null;
        Dataflow flow = new("late");
        flow.Input("in", input)
            .StatefulMap("count", (ref int? count, int _) =>
            {
                if (heir is null)
                {
                    former!.IsDeaf = true;
                    cluster!.Clock.Advance(TimeSpan.FromSeconds(3));
                    heir = cluster.Add("heir");
                    cluster.Until(() => cluster.Outputs(output).Count() == 2, "the heir has counted");
                    former.IsDeaf = false;
                    former.TurnPart(0);
                }

                return count = (count ?? 0) + 1;
            })
            .Output("write", output);
        using (cluster = new(flow, shards: 1, Guarantee.AtLeastOnce))
        {
            former = cluster.Add("former");
            cluster.Until(() => former.Running == 1, "the shard runs");
            Push(2);
            cluster.Until(() => heir is { Running: 1 } && !former.IsBusy, "the heir has the shard");

            Push(1);
            cluster.Until(() => cluster.Outputs(output).Any(written => written.Value == 3), "the third is counted");

            Assert.Equal([1, 2, 3], cluster.Outputs(output).Select(written => written.Value!.Value));
        }

        void Push(int records) => cluster.Broker.Produce("in", Enumerable.Repeat(new NewRecord("k"u8.ToArray(), [0, 0, 0, 1]), records));
    }

    [Fact]
    public void OutputsAreVisibleBeforeTheCommit()
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 1, Guarantee.AtLeastOnce);
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        cluster.StopsAt = (_, at) => at == "commit.0";
        ledger.Push(cluster, "a1", 1);

        cluster.Until(() => !member.IsUp, "it stopped before the transaction");

        Assert.Single(cluster.Outputs(LedgerFlow.Counts));
    }
}
