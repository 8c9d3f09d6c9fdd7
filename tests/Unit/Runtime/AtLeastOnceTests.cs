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
