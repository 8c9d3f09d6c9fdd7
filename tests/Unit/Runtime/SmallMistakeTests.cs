using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>What only a mutant of the engine (<c>tests/Mutants</c>) had shown that nothing looked at.</summary>
public class SmallMistakeTests
{
    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");
    private static readonly KeyedTopic<string, int?> Out = Topic.Keyed<string, int?>("out");
    private static readonly KeyedTopic<string, int?> Copies = Topic.Keyed<string, int?>("copies");

    /// <summary>The first records of a turn are gathered, the next one fails: all are read again.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void WhatATurnHadGatheredIsForgottenByAnAbort(bool keyed)
    {
        Dataflow flow = new("gathered");
        KeyedStream<string, int> input = flow.Input("in", In);
        if (keyed)
        {
            input.StatefulBatch("sum", () => new Sum()).Output("write", Out);
        }
        else
        {
            input.KeyRemove("values").FlatMapBatch("batch", batch => batch).KeyOn("key", _ => "k").MapValue("value", value => (int?)value).Output("write", Out);
        }

        input.MapValue("copy", value => (int?)value).Output("copies", Copies);
        using Cluster cluster = new(flow, shards: 1);
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        int appended = 0;
        cluster.Broker.WriterFaults = (_, call, _) =>
        {
            if (call == "Append" && ++appended == 2)
            {
                throw new BrokerException(Consequence.Abort, "A record is not taken.");
            }
        };
        Produce(cluster, 3);
        cluster.Until(() => cluster.Outputs(Copies).Count() == 3, "all are read");

        Assert.True(appended > 2);
        Assert.Equal(3, cluster.Outputs(Out).Sum(output => output.Value!.Value));
    }

    [Fact]
    public void APurgeLeavesWhatIsNotCommitted()
    {
        Dataflow flow = new("purge");
        flow.Input("in", In).Repartition("again").StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("write", Out);
        using Cluster cluster = new(flow, shards: 1) { RecordsPerTurnMax = 1 };
        cluster.Adjust = options => options with { Slices = new TurnSlices { Purge = 1 } };
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        Produce(cluster, 20);
        TopicPartition again = new("purge-again.repartition", 0);

        cluster.Until(
            () =>
            {
                cluster.Broker.TryGetCommittedOffsets("purge", [again], out long?[] committed);
                Assert.InRange(cluster.Broker.StartOffset(again), 0, committed[0] ?? 0);
                return cluster.Outputs(Out).Count() == 20;
            },
            "all are counted");

        Assert.Equal(Enumerable.Range(1, 20), cluster.Outputs(Out).Select(output => output.Value!.Value));
        Assert.InRange(cluster.Broker.StartOffset(again), 1, long.MaxValue);
    }

    [Fact]
    public void AnAbortTakesTheWatermarkBack()
    {
        Dataflow flow = new("watermark");
        flow.Input("in", In).MapValue("copy", value => (int?)value).Output("write", Out);
        using Cluster cluster = new(flow, shards: 1);
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        Produce(cluster, 1);
        cluster.Until(() => cluster.Outputs(Out).Any(), "there is a commit");
        Shard shard = member.Instance!.Workers.SelectMany(worker => worker.Shards).Single();
        long committed = shard.Flow.Watermark;
        long? afterAbort = null;
        bool aborted = false;
        cluster.Clock.Advance(TimeSpan.FromSeconds(1));
        cluster.StopsAt = (_, step) => !aborted && step == "commit.1" ? throw new BrokerException(Consequence.Abort, "A record is not taken.") : false;
        Produce(cluster, 1);

        cluster.Until(
            () =>
            {
                aborted |= member.Instance!.Parts.Counters.TransactionFailures[(int)Consequence.Abort] > 0;
                afterAbort ??= aborted ? shard.Flow.Watermark : null;
                return cluster.Outputs(Out).Count() == 2;
            },
            "the second record is committed after all");

        Assert.Equal(committed, afterAbort);
        Assert.True(shard.Flow.Watermark > committed);
    }

    /// <summary>Between the last record of the run and its end lies what was aborted, so one batch has both and the next run's first.</summary>
    [Fact]
    public void ARunDoesNotTakeTheRecordAtItsEnd()
    {
        Dataflow flow = new("ends");
        flow.Input("in", In).FoldFinal("count", () => 0, (count, _) => count + 1).MapValue("value", count => (int?)count).Output("write", Out);
        using Cluster cluster = new(flow, shards: 1);
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        bool more = false;
        cluster.StopsAt = (_, step) =>
        {
            if (step == "run.1" && !more)
            {
                more = true;
                Produce(cluster, 1);
            }

            return false;
        };
        cluster.End();
        using (TransactionalWriter writer = cluster.Broker.CreateWriter("another", TimeSpan.FromMinutes(1)))
        {
            writer.Initialize();
            writer.Begin();
            Produce(cluster, 1);
            writer.Append(new("in", 0), new(0, "k"u8, true, [0, 0, 0, 1], true, Headers.Empty));
            writer.Abort();
        }

        cluster.Until(() => member.IsDone, "the run is done");

        Assert.True(more);
        Assert.Equal([1], cluster.Outputs(Out).Select(output => output.Value!.Value));
    }

    [Fact]
    public void AShardThatRunsIsBroughtToDiskNowAndThen()
    {
        Dataflow flow = new("flushed");
        flow.Input("in", In).StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("write", Out);
        using Cluster cluster = new(flow, shards: 1);
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        for (int commit = 1; commit <= 10; commit++)
        {
            Produce(cluster, 1);
            cluster.Until(() => cluster.Outputs(Out).Count() == commit, "it is counted");
        }

        for (int round = 0; round < 100; round++)
        {
            // Not in one leap: that would cost the membership, and a shard that is closed is flushed.
            cluster.Round(milliseconds: 700);
        }

        Produce(cluster, 1);
        cluster.Until(() => cluster.Outputs(Out).Count() == 11, "the last one is counted");

        member.Crash();
        member.Open();
        cluster.Until(() => member.Running == 1, "the shard runs again");

        Assert.InRange(member.Instance!.Status.RecordsRestored, 0, 5);
    }

    /// <summary>Committed positions of topics that the group does not subscribe to expire where nobody commits them again.</summary>
    [Fact]
    public void AnIdleShardIsCommittedNowAndThen()
    {
        Dataflow flow = new("idle");
        flow.Input("in", In).MapValue("copy", value => (int?)value).Output("write", Out);
        using Cluster cluster = new(flow, shards: 1);
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        long commits = member.Instance!.Status.Commits;
        for (int round = 0; round < 50; round++)
        {
            cluster.Round();
        }

        Assert.Equal(commits, member.Instance!.Status.Commits);
        for (int second = 0; second < 6 * 3_600; second++)
        {
            // The membership must not sleep for longer than its session.
            cluster.Clock.Advance(TimeSpan.FromSeconds(1));
            member.Do(instance => instance.StepMembership());
        }

        cluster.Until(() => member.Instance!.Status.Commits == commits + 1, "it is committed once more", rounds: 50);
    }

    /// <summary>A logic that stays due: its hint is looked at, and deleted, in every commit.</summary>
    [Fact]
    public void ATimeThatStaysTheSameIsStillThereAfterACommit()
    {
        int rang = 0;
        Dataflow flow = new("due");
        flow.Input("in", In).Stateful("due", () => new AlwaysDue(() => rang++)).Output("write", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", 1);
        driver.Turn();
        driver.Commit();
        for (int turn = 1; turn <= 4; turn++)
        {
            driver.Turn();
            driver.Commit();
            Assert.Equal(turn, rang);
        }

        driver.Crash();
        driver.Restart();
        driver.Turn();
        driver.Turn();
        Assert.InRange(rang, 5, 6);
    }

    private static void Produce(Cluster cluster, int records) =>
        cluster.Broker.Produce("in", Enumerable.Repeat(new NewRecord("k"u8.ToArray(), [0, 0, 0, 1]), records));

    private sealed class Sum : StatefulBatchLogic<string, int, int?, int>
    {
        public override int Snapshot() => 0;

        public override StateAction OnBatch(IReadOnlyList<int> values, StatefulContext<string, int?> context)
        {
            context.Emit(values.Sum());
            return StateAction.Retain;
        }
    }

    private sealed class AlwaysDue(Action rings) : StatefulLogic<string, int, int?, int>
    {
        public override int Snapshot() => 0;

        public override DateTimeOffset? NotifyAt() => DateTimeOffset.UnixEpoch;

        public override StateAction OnItem(int value, StatefulContext<string, int?> context) => StateAction.Retain;

        public override StateAction OnNotify(StatefulContext<string, int?> context)
        {
            rings();
            return StateAction.Retain;
        }
    }
}
