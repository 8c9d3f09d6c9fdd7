using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>An instance stops at a numbered step, with what RocksDB had not flushed thrown away; the outputs are those of a run without it.</summary>
public class CrashTests
{
    /// <summary>How the work goes on after the crash.</summary>
    public enum Heir
    {
        SameInstanceSameFolder,
        SameInstanceEmptyFolder,
        AnotherInstance,
    }

    public static TheoryData<string, Heir> Steps
    {
        get
        {
            TheoryData<string, Heir> data = [];
            foreach (string step in (string[])["takeover.1", "takeover.2", "takeover.3", "takeover.4", "takeover.5", "begin", "turn", "commit.1", "commit.2", "commit.3", "commit.4", "commit.5", "commit.6"])
            {
                foreach (Heir heir in Enum.GetValues<Heir>())
                {
                    data.Add(step, heir);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Steps))]
    public void AStopAtAStepLosesAndDoublesNothing(string step, Heir heir)
    {
        int all = Run(step, heir, stopAt: -1);
        Assert.True(all > 0, $"{step} was never reached");
        foreach (int stopAt in (int[])[0, all / 2, all - 1])
        {
            Assert.True(Run(step, heir, stopAt) > stopAt, $"{step} was not reached {stopAt + 1} times");
        }
    }

    /// <summary>Answers how often the step was reached by the instance that is to stop there.</summary>
    private static int Run(string step, Heir heir, int stopAt)
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 3);
        int reached = 0;
        Cluster.Member first = cluster.Add("first");
        cluster.StopsAt = (member, at) => member == first && at == step && reached++ == stopAt;
        cluster.Add("second");
        for (int i = 0; i < 60; i++)
        {
            ledger.Push(cluster, $"{(char)('a' + (i % 5))}{i % 11}", i);
            if (i % 3 == 0)
            {
                cluster.Round();
                Revive(cluster, first, heir);
            }
        }

        cluster.End();
        cluster.Until(
            () =>
            {
                Revive(cluster, first, heir);
                return cluster.Members.TrueForAll(member => !member.IsUp || member.IsDone);
            },
            "the run is done");
        ledger.AssertExact(cluster, ended: true);
        return reached;
    }

    private static void Revive(Cluster cluster, Cluster.Member first, Heir heir)
    {
        if (first.IsUp)
        {
            return;
        }

        switch (heir)
        {
            case Heir.SameInstanceSameFolder:
                first.Open();
                break;
            case Heir.SameInstanceEmptyFolder:
                first.LoseFolder();
                first.Open();
                break;
            default:
                break;
        }
    }
}
