using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>Turns that do much, or take long: a commit falls between two slices, or a transaction grows too old before it is committed.</summary>
public sealed class LongTurnTests : IDisposable
{
    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");
    private static readonly KeyedTopic<string, int> Out = Topic.Keyed<string, int>("out");
    private static readonly ValueTopic<int> Values = Topic.Values<int>("values");

    private Cluster? _cluster;
    private int _calls;

    public void Dispose() => _cluster?.Dispose();

    /// <summary>The step behind a slice's results.</summary>
    public enum Behind
    {
        FlatMapBatch,
        StatefulBatch,
        Diamond,
    }

    [Theory]
    [InlineData(Behind.FlatMapBatch, "commit.6")]
    [InlineData(Behind.StatefulBatch, "commit.6")]
    [InlineData(Behind.Diamond, "commit.6")]
    [InlineData(Behind.FlatMapBatch, "commit.3")]
    [InlineData(Behind.StatefulBatch, "commit.3")]
    [InlineData(Behind.Diamond, "commit.3")]
    public void WhatASliceOfTheEndOfInputEmitsIsInTheSameCommitAsTheSlice(Behind behind, string crash)
    {
        Dataflow flow = new("slices");
        KeyedStream<string, int> input = flow.Input("in", In);
        KeyedStream<string, int> largest = input.MaxFinal("max");
        switch (behind)
        {
            case Behind.FlatMapBatch:
                largest.KeyRemove("unkey").FlatMapBatch("batch", batch => batch).Output("write", Values);
                break;
            case Behind.StatefulBatch:
                largest.StatefulBatch<int, int>("batch", () => new Passing(() => { })).KeyRemove("unkey").Output("write", Values);
                break;
            default:
                // One branch of the diamond has ended long before the other one's last slice.
                largest.KeyRemove("unkey").Merge("both", input.Filter("none", (_, _) => false).KeyRemove("unkey-none")).FlatMapBatch("batch", batch => batch).Output("write", Values);
                break;
        }

        using Cluster cluster = new(flow, shards: 2);
        cluster.Adjust = options => options with { CommitInterval = TimeSpan.Zero, Slices = new TurnSlices { EndOfInput = 2 } };
        Cluster.Member member = cluster.Add("one");
        for (int key = 0; key < 25; key++)
        {
            Produce(cluster, key, key);
        }

        cluster.Until(() => member.Instance!.Status.RecordsIn == 25, "all are read");
        int commits = 0;
        cluster.StopsAt = (_, step) => step == crash && commits++ % 3 == 2 && commits < 60;
        cluster.End();
        cluster.Until(
            () =>
            {
                if (!member.IsUp)
                {
                    member.Open();
                }

                return member.IsDone;
            },
            "the run is done");

        Assert.True(commits > 5, "the instance crashed between slices");
        Assert.Equal(Enumerable.Range(0, 25), cluster.Broker.ReadAll("values").Select(record => Values.Value.Deserialize(record.Value, new("values", RecordPart.Value))).Order());
    }

    [Fact]
    public void ACommitWhileAStepHoldsItemsIsRefused()
    {
        Dataflow flow = new("holds");
        flow.Input("in", In).KeyRemove("unkey").FlatMapBatch("batch", batch => batch).Output("write", Values);
        using Cluster cluster = new(flow, shards: 1);
        Cluster.Member member = cluster.Add("one");
        cluster.Until(() => member.Running == 1, "the shard runs");
        Produce(cluster, 1, 1);
        cluster.Until(() => cluster.Broker.ReadAll("values").Any(), "one is through");
        Shard shard = member.Instance!.Workers.SelectMany(worker => worker.Shards).Single();
        ((Port<int>)((FlatMapBatchNode<int, int>)shard.Flow.Nodes.Single()).Port).Push(5, default);
        shard.Touched = true;

        InvalidOperationException error = Assert.Throws<InvalidOperationException>(() => member.Do(instance => instance.Workers.ToList().ForEach(worker => worker.StepCommit())));

        Assert.Contains("'batch'", error.Message, StringComparison.Ordinal);
    }

    /// <summary>40 keys of 100 ms in one batch, and a transaction may be open for 1 s.</summary>
    [Theory]
    [InlineData(100)]
    [InlineData(850)]
    public void SlowBatchesAreDoneInSmallerTurns(int milliseconds)
    {
        Cluster cluster = Slow(input => input.StatefulBatch<int, int>("batch", () => new Passing(() => Work(milliseconds))));

        cluster.Until(() => cluster.Outputs(Out).Count() == 40, "all are out", rounds: 600);

        Assert.Equal(40, cluster.Outputs(Out).Select(output => output.Key).Distinct().Count());
        Assert.InRange(_calls, 40, 120);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(850)]
    public void SlowElementsOfABatchAreDoneInSmallerTurns(int milliseconds)
    {
        Cluster cluster = Slow(input => input.KeyRemove("unkey").FlatMapBatch("batch", batch => batch.Select(value =>
        {
            Work(milliseconds);
            return value;
        })).KeyOn("key", value => $"k{value}").MapValue("value", value => value), "slow-batch");

        cluster.Until(() => cluster.Outputs(Out).Count() == 40, "all are out", rounds: 900);

        Assert.InRange(_calls, 40, 120);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(850)]
    public void SlowNotificationsCarryOverTheCommit(int milliseconds)
    {
        Cluster cluster = Slow(input => input.Stateful<int, int>("notify", () => new Notified(() => _cluster!.Clock.GetUtcNow(), () => Work(milliseconds))));

        cluster.Until(() => cluster.Outputs(Out).Count() == 40, "all are out", rounds: 900);

        Assert.Equal(40, cluster.Outputs(Out).Select(output => output.Key).Distinct().Count());
        Assert.InRange(_calls, 40, 60);
    }

    [Fact]
    public void KeysThatAreAlwaysDueDoNotKeepTheOthersFromTheirNotification()
    {
        Cluster cluster = Slow(input => input.Stateful<int, int>("notify", () => new AlwaysDue(() => _cluster!.Clock.GetUtcNow(), () => Work(60))));

        cluster.Until(() => cluster.Outputs(Out).Select(output => output.Key).Distinct().Count() == 40, "each was called", rounds: 60);
    }

    /// <summary>A step has done with the run, another one is in the midst of its end; then the instance starts again, after the timers' time.</summary>
    [Theory]
    [InlineData("commit.6")]
    [InlineData("abort")]
    public void AStepThatHasEndedFiresNoTimersAfterARestart(string how)
    {
        Dataflow flow = new("ended");
        KeyedStream<string, int> timed = flow.Input("in", In).Stateful<int, int>("timed", () => new EndingWithTimer(() => _cluster!.Clock.GetUtcNow()));
        timed.Output("write", Out);
        timed.Stateful<int, int>("second", () => new Ending(() => { })).KeyRemove("unkey").Output("write-second", Values);
        _cluster = new(flow, shards: 1);
        Cluster cluster = _cluster;
        cluster.Adjust = options => options with { CommitInterval = TimeSpan.Zero, Slices = new TurnSlices { EndOfInput = 2 } };
        Cluster.Member member = cluster.Add("one");
        for (int key = 0; key < 25; key++)
        {
            Produce(cluster, key, key);
        }

        cluster.Until(() => member.Instance!.Status.RecordsIn == 25, "all are read");
        cluster.End();
        cluster.Until(() => cluster.Broker.ReadAll("values").Count() >= 5, "the second step ends");
        Assert.False(member.IsDone);
        if (how == "abort")
        {
            cluster.Broker.WriterFaults = (_, call, after) =>
            {
                if (call == nameof(TransactionalWriter.Commit) && !after)
                {
                    cluster.Broker.WriterFaults = null;
                    cluster.Clock.Advance(TimeSpan.FromHours(2));
                    throw new BrokerException(Consequence.Abort, "aborted by the test");
                }
            };
        }
        else
        {
            member.Crash();
            cluster.Clock.Advance(TimeSpan.FromHours(2));
            member.Open();
        }

        cluster.Until(() => member.IsDone, "the run is done");

        Assert.Equal(Enumerable.Range(0, 25), cluster.Outputs(Out).Select(output => output.Value).Order());
        Assert.Equal(25, cluster.Broker.ReadAll("values").Count());
    }

    [Theory]
    [InlineData(100)]
    [InlineData(850)]
    public void SlowWorkAtTheEndOfInputCarriesOverTheCommit(int milliseconds)
    {
        Cluster cluster = Slow(input => input.Stateful<int, int>("ends", () => new Ending(() => Work(milliseconds))));
        cluster.End();

        cluster.Until(() => cluster.Members[0].IsDone, "the run is done", rounds: 900);

        Assert.Equal(40, cluster.Outputs(Out).Count());
        Assert.InRange(_calls, 40, 50);
    }

    /// <summary>A slice of many quick keys, and for each of them slow work in a batch behind.</summary>
    [Fact]
    public void SlowBatchesBehindTheEndOfInputAreDoneInSmallerSlices()
    {
        Cluster cluster = Slow(input => input.MaxFinal("max").StatefulBatch<int, int>("batch", () => new Passing(() => Work(100))));
        cluster.End();

        cluster.Until(() => cluster.Members[0].IsDone, "the run is done", rounds: 900);

        Assert.Equal(40, cluster.Outputs(Out).Count());
        Assert.InRange(_calls, 40, 120);
    }

    /// <summary>Outputs that a broker does not take are no slow step: they are waited for, and written in the end.</summary>
    [Fact]
    public void ACommitThatWaitsForItsBrokerIsNoStepThatOutlivesTheTransaction()
    {
        Cluster cluster = Slow(input => input, commitInterval: 100);
        int failures = 0;
        cluster.Broker.WriterFaults = (_, call, done) =>
        {
            if (call == "SendOffsets" && !done && cluster.Members[0].Running > 0 && failures < 10)
            {
                failures++;
                cluster.Clock.Advance(TimeSpan.FromSeconds(1.2));
                throw new BrokerException(Consequence.Abort, "no answer");
            }
        };

        cluster.Until(() => cluster.Outputs(Out).Count() == 40, "all are out", rounds: 900);

        Assert.Equal(10, failures);
    }

    /// <summary>The first does not make the transaction old enough to be committed, the second outlives it.</summary>
    [Fact]
    public void ASlowRecordBehindAnotherIsDoneInATransactionOfItsOwn()
    {
        Cluster cluster = Slow(input => input.StatefulMap("count", (ref int? count, int value) =>
        {
            Work(value % 2 == 0 ? 250 : 900);
            return count = (count ?? 0) + 1;
        }).MapValue("value", count => count!.Value), commitInterval: 300);

        cluster.Until(() => cluster.Outputs(Out).Count() == 40, "all are out", rounds: 900);

        Assert.InRange(_calls, 40, 100);
    }

    [Theory]
    [InlineData("item")]
    [InlineData("batch")]
    [InlineData("notify")]
    [InlineData("eof")]
    public void ACallThatAloneOutlivesTheTransactionIsAnErrorThatNamesStepAndKey(string call)
    {
        Action work = () => Work(1_200);
        Cluster cluster = Slow(input => call switch
        {
            "item" => Put(input).StatefulMap("slow", (ref int? count, int _) =>
            {
                work();
                return count = (count ?? 0) + 1;
            }).MapValue("value", count => count!.Value),
            "batch" => input.StatefulBatch<int, int>("slow", () => new Passing(work)),
            "notify" => input.Stateful<int, int>("slow", () => new Notified(() => _cluster!.Clock.GetUtcNow(), work)),
            _ => input.Stateful<int, int>("slow", () => new Ending(work)),
        });
        if (call == "eof")
        {
            cluster.End();
        }

        StreamException error = Assert.Throws<StreamException>(() => cluster.Until(() => cluster.Members[0].IsDone, "the run is done", rounds: 900));

        Assert.Equal(ExitCode.UserCode, error.Code);
        Assert.Contains("Step 'slow'", error.Message, StringComparison.Ordinal);
        Assert.Matches("key 'k[0-9]+'", error.Message);
        Assert.Contains("TransactionTimeout", error.Message, StringComparison.Ordinal);
        Assert.Empty(cluster.Outputs(Out));
    }

    /// <summary>A paused process finds its transaction over, too; that is no slow step.</summary>
    [Fact]
    public void AfterASlowTimeTurnsAreLargeAgain()
    {
        Cluster cluster = Slow(input => input.StatefulBatch<int, int>("batch", () => new Passing(() => Work(_calls < 60 ? 100 : 0))));
        cluster.Until(() => cluster.Outputs(Out).Count() == 40, "the slow ones are out", rounds: 600);
        _calls = 60;
        for (int key = 0; key < 2_000; key++)
        {
            Produce(cluster, key, key);
        }

        cluster.Until(() => cluster.Outputs(Out).Count() == 2_040, "the quick ones are out", rounds: 120);
    }

    /// <summary>A flow of one slow step over one shard with 40 keys waiting.</summary>
    private Cluster Slow(Func<KeyedStream<string, int>, KeyedStream<string, int>> step, string name = "slow", int commitInterval = 100)
    {
        Dataflow flow = new(name);
        step(flow.Input("in", In)).Output("write", Out);
        _cluster = new(flow, shards: 1) { RecordsPerTurnMax = 50 };
        _cluster.Adjust = options => options with { Workers = 1, CommitInterval = TimeSpan.FromMilliseconds(commitInterval) };
        for (int key = 0; key < 40; key++)
        {
            Produce(_cluster, key, key);
        }

        _cluster.Add("one");
        return _cluster;
    }

    /// <summary>Put out before the next step is called.</summary>
    private static KeyedStream<string, int> Put(KeyedStream<string, int> stream)
    {
        stream.Output("write-first", Out);
        return stream;
    }

    /// <summary>What a slow step does: time passes, and membership, on its own thread, goes on.</summary>
    private void Work(int milliseconds)
    {
        _calls++;
        for (int left = milliseconds; left > 0; left -= 50)
        {
            _cluster!.Clock.Advance(TimeSpan.FromMilliseconds(Math.Min(left, 50)));
            foreach (ShardWorker worker in _cluster.Members.SelectMany(member => member.Instance?.Workers ?? []))
            {
                worker.Tick();
            }
        }
    }

    private static void Produce(Cluster cluster, int key, int value) =>
        cluster.Broker.Produce("in", System.Text.Encoding.UTF8.GetBytes($"k{key}"), Bytes(value), partition: key % cluster.Shards);

    private static byte[] Bytes(int value)
    {
        System.Buffers.ArrayBufferWriter<byte> buffer = new();
        In.Value.Serialize(value, buffer, new("in", RecordPart.Value));
        return buffer.WrittenSpan.ToArray();
    }

    private abstract class Logic : StatefulLogic<string, int, int, int>
    {
        protected int Value { get; set; }

        public override void Resume(int state) => Value = state;

        public override int Snapshot() => Value;

        public override StateAction OnItem(int value, StatefulContext<string, int> context)
        {
            Value = value;
            return StateAction.Retain;
        }
    }

    private sealed class Ending(Action work) : Logic
    {
        public override StateAction OnEof(StatefulContext<string, int> context)
        {
            // The broker's transaction begins with what is emitted.
            context.Emit(Value);
            work();
            return StateAction.Discard;
        }
    }

    /// <summary>Every key wants to be called a second after its item.</summary>
    private sealed class Notified(Func<DateTimeOffset> now, Action work) : Logic
    {
        private DateTimeOffset? _at;

        public override StateAction OnItem(int value, StatefulContext<string, int> context)
        {
            Value = value;
            return StateAction.Retain;
        }

        public override DateTimeOffset? NotifyAt() => _at ??= now() + TimeSpan.FromMilliseconds(10);

        public override StateAction OnNotify(StatefulContext<string, int> context)
        {
            // The broker's transaction begins with what is emitted.
            context.Emit(Value);
            work();
            return StateAction.Discard;
        }
    }

    /// <summary>Every key wants to be called again at once.</summary>
    private sealed class AlwaysDue(Func<DateTimeOffset> now, Action work) : Logic
    {
        public override DateTimeOffset? NotifyAt() => now();

        public override StateAction OnNotify(StatefulContext<string, int> context)
        {
            context.Emit(Value);
            work();
            return StateAction.Retain;
        }
    }

    /// <summary>Emits at the end of the input; a notification that comes after it would show as −1.</summary>
    private sealed class EndingWithTimer(Func<DateTimeOffset> now) : Logic
    {
        private DateTimeOffset? _at;

        public override DateTimeOffset? NotifyAt() => _at ??= now() + TimeSpan.FromHours(1);

        public override StateAction OnNotify(StatefulContext<string, int> context)
        {
            context.Emit(-1);
            return StateAction.Retain;
        }

        public override StateAction OnEof(StatefulContext<string, int> context)
        {
            context.Emit(Value);
            return StateAction.Retain;
        }
    }

    private sealed class Passing(Action work) : StatefulBatchLogic<string, int, int, int>
    {
        private int _sum;

        public override void Resume(int state) => _sum = state;

        public override int Snapshot() => _sum;

        public override StateAction OnBatch(IReadOnlyList<int> values, StatefulContext<string, int> context)
        {
            _sum += values.Sum();
            foreach (int value in values)
            {
                context.Emit(value);
            }

            work();

            return StateAction.Retain;
        }
    }
}
