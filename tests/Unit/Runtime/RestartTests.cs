using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

public class RestartTests
{
    [Theory]
    [InlineData("turn")]
    [InlineData("commit.1")]
    [InlineData("commit.2")]
    [InlineData("commit.3")]
    [InlineData("commit.4")]
    public void AnInstanceThatRestartsUnderItsIdDoesNotWaitForTheTransactionItLeftOpen(string step)
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 2);
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 2, "the shards run");
        ledger.Push(cluster, "a1", 1);
        bool touched = false;
        cluster.StopsAt = (_, at) => (touched |= at == "turn") && at == step;
        cluster.Until(() => !member.IsUp, "it stopped");

        cluster.StopsAt = (_, _) => false;
        member.Open();
        for (int turn = 0; turn < 30; turn++)
        {
            cluster.Round(milliseconds: 0);
        }

        Assert.Equal(2, member.Running);
    }
}
