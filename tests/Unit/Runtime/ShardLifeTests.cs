using KStreamSharp.Testing;
using RocksDbSharp;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>What a running shard must not do whatever its surroundings are: skip records, outlive its transaction, refuse its own past.</summary>
public class ShardLifeTests
{
    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");
    private static readonly KeyedTopic<string, int> More = Topic.Keyed<string, int>("more");
    private static readonly KeyedTopic<string, int?> Out = Topic.Keyed<string, int?>("out");

    /// <summary>The commit of a run's end is answered before its marker has reached the shards topic.</summary>
    [Fact]
    public void ARunWhoseEndIsNotSeenYetIsNotJoinedAgain()
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 2);
        TopicPartition late = new(InternalTopics.Shards("ledger"), 1);
        Cluster.Member first = cluster.Add("first");
        cluster.Until(() => first.Running == 2, "the shards run");
        PushToBoth(cluster, ledger, 10);
        cluster.End();
        cluster.Until(() => first.Instance!.Ledger.Current.InProgress, "the run has begun");
        cluster.Broker.HoldMarkers(late);
        cluster.Until(() => first.Instance!.Workers.All(worker => worker.Shards.All(shard => shard is { Run.Done: true, Touched: false })), "every shard has done the run");
        first.Crash();

        PushToBoth(cluster, ledger, 10);
        Cluster.Member second = cluster.Add("second");
        for (int round = 0; round < 200; round++)
        {
            cluster.Round();
        }

        Assert.False(second.IsDone);
        cluster.Broker.ReleaseMarkers(late);
        cluster.Until(() => second.IsDone, "a run of its own is done");
        Assert.Equal(ledger.Pushed, cluster.Outputs(LedgerFlow.Counts).Count());
    }

    /// <summary>As after a pause: the takeover goes on before the instance hears that the shard has another owner, who commits.</summary>
    [Fact]
    public void AnInstanceThatLosesAShardDuringItsTakeoverDoesNotTakeTheNewOwnersCommitsForDamage()
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 1);
        Cluster.Member former = cluster.Add("former");
        Cluster.Member? owner = null;
        ledger.Push(cluster, "a1", 0);
        cluster.Until(() => cluster.Outputs(LedgerFlow.Counts).Any(), "there is a commit");
        former.Crash();
        int looks = 0;
        cluster.StopsAt = (member, step) =>
        {
            if (member == former && step == "takeover.1")
            {
                looks++;
                if (owner is null)
                {
                    former.IsDeaf = true;
                    cluster.Clock.Advance(TimeSpan.FromSeconds(3));
                    owner = cluster.Add("owner");
                }

                ledger.Push(cluster, "a1", looks);
                cluster.Until(() => cluster.Outputs(LedgerFlow.Counts).Count() == looks + 1, "the owner has committed");
                former.IsDeaf = looks < 4;
            }

            return false;
        };

        former.Open();
        cluster.Until(() => looks == 4 && former.Instance!.Parts.Table.Status.Count == 0, "the former owner has let go of the shard");
        Assert.Equal(1, owner!.Running);
        cluster.End();
        cluster.Until(() => owner.IsDone && former.IsDone, "the run is done");
        ledger.AssertExact(cluster, ended: true);
    }

    /// <summary>As after a pause: its position lies below what the new owner has processed and deleted.</summary>
    [Fact]
    public void AWokenInstanceOnAPurgedRepartitionTopicLetsGoOfTheShard()
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 1) { Adjust = options => options with { Slices = new TurnSlices { Purge = 1 } } };
        Cluster.Member former = cluster.Add("former");
        PushToBoth(cluster, ledger, 10);
        cluster.Until(() => cluster.Outputs(LedgerFlow.Sums).Count() == ledger.Pushed, "there are commits");
        former.IsAsleep = true;
        former.IsDeaf = true;
        cluster.Clock.Advance(TimeSpan.FromSeconds(3));
        Cluster.Member owner = cluster.Add("owner");
        long before = cluster.Broker.StartOffset(new("ledger-sum.repartition", 0));
        PushToBoth(cluster, ledger, 10);
        cluster.Until(() => cluster.Outputs(LedgerFlow.Sums).Count() == ledger.Pushed, "the owner has processed");
        Assert.True(cluster.Broker.StartOffset(new("ledger-sum.repartition", 0)) > before);

        former.IsAsleep = false;
        for (int turn = 0; turn < 5; turn++)
        {
            former.Turn();
        }

        Assert.Equal(1, former.Running);
        former.IsDeaf = false;
        cluster.Until(() => former.Instance!.Parts.Table.Status.Count == 0, "the former owner has let go of the shard");
        cluster.End();
        cluster.Until(() => owner.IsDone && former.IsDone, "the run is done");
        ledger.AssertExact(cluster, ended: true);
    }

    [Fact]
    public void WhatIsReadPastTheEndOfARunIsProcessedByTheNextRun()
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 2) { RecordsPerTurnMax = 100 };
        Cluster.Member first = cluster.Add("first");
        Cluster.Member second = cluster.Add("second");
        cluster.Until(() => first.Running == 1 && second.Running == 1, "each has a shard");
        PushToBoth(cluster, ledger, 10);
        cluster.End();
        Cluster.Member announcer = Owner(cluster, 0);
        Cluster.Member other = announcer == first ? second : first;

        // The run is announced and committed, then more comes, then the other one reads: its batch goes past the end.
        announcer.Turn();
        cluster.Clock.Advance(TimeSpan.FromMilliseconds(200));
        announcer.Turn();
        PushToBoth(cluster, ledger, 10);
        cluster.Until(() => announcer.IsDone && other.IsDone, "the first run is done");

        // The next run begins before the other one has left.
        announcer.Crash();
        announcer.Open();
        cluster.Until(() => announcer.IsDone, "the second run is done");
        ledger.AssertExact(cluster, ended: false);
        Assert.Equal(ledger.Pushed, cluster.Outputs(LedgerFlow.Counts).Count());
    }

    /// <summary>A group that takes both for members, as that of protocol <c>consumer</c>, does not end one of them.</summary>
    [Fact]
    public void AnotherProcessOfTheSameInstanceIdEndsOneOfTheTwo()
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 1);
        cluster.Adjust = options => options with { Workers = 1 };
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        using TransactionalWriter twin = cluster.Broker.CreateWriter("ledger/one/0", TimeSpan.FromMinutes(1));
        int fenced = 0;

        StreamException error = Assert.Throws<StreamException>(() =>
        {
            for (; fenced < 10; fenced++)
            {
                int before = cluster.Outputs(LedgerFlow.Counts).Count();
                twin.Initialize();
                ledger.Push(cluster, "a1", 1);
                cluster.Until(() => cluster.Outputs(LedgerFlow.Counts).Count() > before, "it goes on");
            }
        });

        Assert.Equal(2, fenced);
        Assert.Equal(ExitCode.Broker, error.Code);
        Assert.Contains("Another live process of application 'ledger' uses instance id 'one'", error.Message, StringComparison.Ordinal);
    }

    /// <summary>A broker may hold a transaction open that it ends for nobody; those who wait for it say so.</summary>
    [Fact]
    public void AShardThatWaitsForPositionsSaysSo()
    {
        LedgerFlow ledger = new();
        Lines lines = new();
        using Cluster cluster = new(ledger.Flow, shards: 1) { Logging = lines };
        using TransactionalWriter other = cluster.Broker.CreateWriter("other", TimeSpan.FromHours(1));
        other.Initialize();
        other.Begin();
        other.SendOffsets("ledger", [new(new(LedgerFlow.Entries.Name, 0), 1)], new GroupToken("", -1));
        Cluster.Member member = cluster.Add("one");

        cluster.Until(() => lines.Any("the restore waits for the positions of group 'ledger'"), "the wait is in the log");
        Assert.Equal(0, member.Running);

        other.Abort();
        cluster.Until(() => member.Running == 1, "the shard runs");
    }

    [Fact]
    public void SlowStepsDoNotOutliveTheTransaction()
    {
        Cluster? cluster = null;
        Dataflow flow = new("slow");
        flow.Input("in", In)
            .StatefulMap("count", (ref int? count, int _) =>
            {
                cluster!.Clock.Advance(TimeSpan.FromMilliseconds(90));
                cluster.Members[0].Instance!.Workers[0].Tick();
                return count = (count ?? 0) + 1;
            })
            .Output("write", Out);
        using (cluster = new(flow, shards: 3) { RecordsPerTurnMax = 50 })
        {
            cluster.Adjust = options => options with { Workers = 1 };
            Cluster.Member member = cluster.Add("one");
            cluster.Until(() => member.Running == 3, "the shards run");
            for (int i = 0; i < 60; i++)
            {
                cluster.Broker.Produce("in", "k"u8.ToArray(), [0, 0, 0, 1], partition: i % 3);
            }

            cluster.Until(() => cluster.Outputs(Out).Count() == 60, "all are counted", rounds: 60);
            Assert.Equal(60, member.Instance!.Status.RecordsIn);
        }
    }

    [Fact]
    public void AStaleTokenIsNoReasonToEnd()
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 2);
        Cluster.Member first = cluster.Add("first");
        cluster.Until(() => first.Instance!.Workers.Sum(worker => worker.Mailbox.Load) > 0, "a shard is on its way");

        // Another one joins: the group's generation moves on, and the first has not heard of it yet.
        cluster.Add("second").Do(instance => instance.StepMembership());
        for (int i = 0; i < 100; i++)
        {
            first.Do(instance =>
            {
                foreach (ShardWorker worker in instance.Workers)
                {
                    worker.Step();
                }
            });
        }

        cluster.Until(() => cluster.Members.TrueForAll(member => member.Running == 1), "each has a shard");
    }

    /// <summary>What goes back waits for the broker, which may be away for longer than a step may hang.</summary>
    [Fact]
    public void ToGoBackIsNoTurnThatMayStall()
    {
        Cluster.Member? first = null;
        List<long> turns = [];
        Lines lines = new() { Added = line => turns.AddRange(line.Contains("Transaction aborted", StringComparison.Ordinal) ? first!.Instance!.Workers.Select(worker => worker.TurnBegan) : []) };
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 2) { Logging = lines };
        first = cluster.Add("first");
        cluster.Until(() => first.Running == 2, "the shards run");
        ledger.Push(cluster, "a1", 0);

        cluster.StopsAt = (_, step) => step == "commit.1" && turns.Count == 0 ? throw new BrokerException(Consequence.Abort, "The broker is away.") : false;
        cluster.Until(() => cluster.Outputs(LedgerFlow.Counts).Any(), "there is a commit after all");

        Assert.NotEmpty(turns);
        Assert.All(turns, began => Assert.Equal(0, began));
    }

    [Fact]
    public void AnInstanceForWhichThereIsNoShardIsAMemberWithNothingToDo()
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 1);
        Cluster.Member first = cluster.Add("first");
        cluster.Until(() => first.Running == 1, "the shard runs");
        Cluster.Member second = cluster.Add("second");
        second.Do(instance => instance.StepMembership());
        Assert.False(second.Instance!.Status.IsMember, "the first may be about to give it the shard");

        cluster.Clock.Advance(2 * second.Instance.Parts.Options.RevocationBudget);
        cluster.Until(() => second.Instance!.Status.IsMember, "the second knows that it has nothing");

        Assert.Equal((1, 0), (first.Running, second.Running));
    }

    [Fact]
    public void AnInputThatComesBackGoesOnWhereItWas()
    {
        using Cluster cluster = new(Flow(withMore: true), shards: 1);
        Cluster.Member member = cluster.Add("one");
        Produce(cluster, "in", 3);
        Produce(cluster, "more", 4);
        cluster.Until(() => cluster.Outputs(Out).Count() == 7, "both are read");
        Reopen(cluster, member, Flow(withMore: false));
        Produce(cluster, "in", 2);
        Produce(cluster, "more", 2);
        cluster.Until(() => cluster.Outputs(Out).Count() == 9, "one is read");

        Reopen(cluster, member, Flow(withMore: true));

        cluster.Until(() => cluster.Outputs(Out).Count() == 11, "the rest of the other is read");
        Assert.Equal([1, 2, 3, 4, 5], cluster.Outputs(Out).Where(output => output.Key == "in").Select(output => output.Value!.Value));
        Assert.Equal([1, 2, 3, 4, 5, 6], cluster.Outputs(Out).Where(output => output.Key == "more").Select(output => output.Value!.Value));
    }

    [Fact]
    public void ARepartitionTopicIsPurgedOverManyShortLives()
    {
        Dataflow flow = new("purge");
        flow.Input("in", In).Repartition("again").StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("write", Out);
        using Cluster cluster = new(flow, shards: 1) { RecordsPerTurnMax = 1000 };
        Cluster.Member member = cluster.Add("one");
        for (int life = 1; life <= 3; life++)
        {
            Produce(cluster, "in", 4_000);
            cluster.Until(() => cluster.Outputs(Out).Count() == life * 4_000, "all are counted");
            Reopen(cluster, member, flow);
        }

        cluster.Until(() => member.Running == 1, "the shard runs");
        Assert.True(cluster.Broker.StartOffset(new("purge-again.repartition", 0)) >= 10_000);
    }

    [Fact]
    public void ARunOverAnInputThatWasMadeAnewIsRefused()
    {
        Dataflow flow = new("anew");
        flow.Input("in", In).StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("write", Out);
        using Cluster cluster = new(flow, shards: 1);
        Cluster.Member member = cluster.Add("one");
        Produce(cluster, "in", 5);
        cluster.Until(() => cluster.Outputs(Out).Count() == 5, "all are counted");
        member.Stop();
        cluster.Broker.DeleteTopic("in");
        cluster.Broker.CreateTopic("in", 1);
        Produce(cluster, "in", 2);
        cluster.End();
        member.Open();

        StreamException error = Assert.Throws<StreamException>(() => cluster.Until(() => member.IsDone, "the run is done"));

        Assert.Contains("Topic 'in' of step 'in' was deleted and made anew", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnInstanceThatEndsDoesNotWaitForABrokerThatIsGone()
    {
        LedgerFlow ledger = new();
        using Cluster cluster = new(ledger.Flow, shards: 1);
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        ledger.Push(cluster, "a1", 1);
        member.Do(instance => instance.Workers[0].StepTurn());
        cluster.Broker.WriterFaults = (_, call, _) =>
        {
            if (call == "Commit")
            {
                cluster.Clock.Advance(TimeSpan.FromSeconds(1));
                throw new BrokerException(Consequence.Retry, "no answer");
            }
        };
        member.Instance!.Parts.EndingSince = cluster.Clock.GetTimestamp();

        StreamException error = Assert.Throws<StreamException>(() => member.Instance.Workers[0].Finish());

        Assert.Equal(ExitCode.Broker, error.Code);
        cluster.Broker.WriterFaults = null;
        member.Crash();
        member.Open();
        cluster.Until(() => cluster.Outputs(LedgerFlow.Counts).Any(), "it is counted after the restart");
        ledger.AssertExact(cluster, ended: false);
    }

    [Fact]
    public void ACommitThatIsTriedAgainForLongIsSaidNowAndThen()
    {
        LedgerFlow ledger = new();
        List<string> warnings = [];
        using Cluster cluster = new(ledger.Flow, shards: 1) { Says = (_, line) => warnings.Add(line) };
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        warnings.Clear();
        int left = 50;
        cluster.Broker.WriterFaults = (_, call, after) =>
        {
            if (call == "Commit" && !after && left-- > 0)
            {
                cluster.Clock.Advance(TimeSpan.FromSeconds(1));
                throw new BrokerException(Consequence.Retry, "no answer.");
            }
        };
        ledger.Push(cluster, "a1", 1);
        member.Do(instance =>
        {
            instance.Workers[0].StepTurn();
            instance.Workers[0].StepCommit();
        });

        string[] waits = [.. warnings.Where(line => line.StartsWith("The transaction of ledger/one/0 has waited ", StringComparison.Ordinal))];
        Assert.Equal(2, waits.Length);
        Assert.StartsWith("The transaction of ledger/one/0 has waited 5 s for the broker and keeps trying", waits[0], StringComparison.Ordinal);
        Assert.EndsWith("no answer.", waits[1], StringComparison.Ordinal);
    }

    [Fact]
    public void ADamagedFolderIsNotTakenForTheEndOfTheKeys()
    {
        string folder = Directory.CreateTempSubdirectory("kstream-damage-").FullName;
        try
        {
            using StateLimits limits = new(1 << 20, 1 << 20, 1 << 20, evictAlways: false);
            using (ShardStore store = ShardStore.Open(folder, limits))
            {
                using StoreBatch batch = store.NewBatch();
                Random random = new(1);
                byte[] value = new byte[1000];
                for (int i = 0; i < 5_000; i++)
                {
                    random.NextBytes(value);
                    batch.Put("count", BitConverter.GetBytes(i), value);
                }

                store.Write(batch);
            }

            string table = new DirectoryInfo(folder).GetFiles("*.sst").MaxBy(file => file.Length)!.FullName;
            byte[] bytes = File.ReadAllBytes(table);
            bytes.AsSpan(bytes.Length / 2, 100).Clear();
            File.WriteAllBytes(table, bytes);
            using ShardStore damaged = ShardStore.Open(folder, limits);

            StreamException error = Assert.ThrowsAny<StreamException>(() =>
            {
                using Iterator keys = damaged.Iterate("count");
                for (keys.SeekToFirst(); keys.Valid(); keys.Next())
                {
                }

                damaged.Check(keys);
            });

            Assert.Equal(ExitCode.State, error.Code);
            Assert.Contains(folder, error.Message, StringComparison.Ordinal);
            Assert.ThrowsAny<StreamException>(() =>
            {
                for (int i = 0; i < 5_000; i++)
                {
                    damaged.Get("count", BitConverter.GetBytes(i));
                }
            });
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static Dataflow Flow(bool withMore)
    {
        Dataflow flow = new("inputs");
        KeyedStream<string, int> entries = flow.Input("in", In);
        if (withMore)
        {
            entries = entries.Merge("both", flow.Input("more", More));
        }

        entries.StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("write", Out);
        flow.Seal();
        return flow;
    }

    private static void Reopen(Cluster cluster, Cluster.Member member, Dataflow flow)
    {
        member.Stop();
        cluster.Flow = flow;
        member.Open();
    }

    private static void Produce(Cluster cluster, string topic, int records) =>
        cluster.Broker.Produce(topic, Enumerable.Repeat(new NewRecord(System.Text.Encoding.UTF8.GetBytes(topic), [0, 0, 0, 1]), records));

    private static void PushToBoth(Cluster cluster, LedgerFlow ledger, int keys)
    {
        for (int i = 0; i < keys; i++)
        {
            ledger.Push(cluster, $"{(char)('a' + (i % 3))}{i}", i);
        }
    }

    private static Cluster.Member Owner(Cluster cluster, int shard) =>
        cluster.Members.Single(member => member.Instance!.Workers.Any(worker => worker.Shards.Any(running => running.Id == shard)));
}
