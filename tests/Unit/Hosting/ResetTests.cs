using KStreamSharp.Hosting;
using KStreamSharp.Testing;
using KStreamSharp.Tests.Runtime;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

/// <summary>An application brought back to its beginning: all of it, or only its positions; and what is left when that is cut off.</summary>
public sealed class ResetTests : IDisposable
{
    private const string App = "ledger";
    private const int Shards = 3;

    private readonly LedgerFlow _ledger = new();
    private readonly Cluster _cluster;
    private readonly Plans _plans = new();
    private readonly MemorySnapshotStore _store = new();
    private readonly Cluster.Member _here;
    private readonly Cluster.Member _elsewhere;
    private readonly string _stateDir;
    private readonly List<string> _told = [];

    public ResetTests()
    {
        _cluster = new Cluster(_ledger.Flow, Shards)
        {
            Steps = _plans,
            Adjust = options => options with { Snapshots = new SnapshotOptions { Store = _store, Interval = TimeSpan.FromSeconds(1) } },
        };
        _here = _cluster.Add("here");
        _elsewhere = _cluster.Add("elsewhere");
        _stateDir = Path.GetDirectoryName(_here.Instance!.Parts.Folder.Path)!;
        _cluster.Until(() => _here.Running > 0 && _elsewhere.Running > 0, "both have shards");
        Push(30);
        Settle(30);
        Assert.Equal(Counts(1), Counted());
        _cluster.Until(() => _store.Objects.Keys.Count(name => name.EndsWith(".manifest", StringComparison.Ordinal)) >= Shards, "the shards have snapshots");
    }

    public void Dispose() => _cluster.Dispose();

    [Fact]
    public void AResetApplicationBeginsAnewWhateverWasKeptElsewhere()
    {
        Stop();
        using (LocalFolder folder = LocalFolder.Take(_stateDir, App))
        {
            Reset reset = new(_cluster.Broker, _cluster.Flow, App, folder, _store);
            Assert.Equal(
                [
                    "delete topic ledger-sum.repartition",
                    "delete topic ledger-total.repartition",
                    "delete topic ledger-changelog",
                    "delete topic ledger-shards",
                    $"delete all snapshots of ledger ({_store.Objects.Count} objects, {_store.Objects.Values.Sum(one => one.Length):N0} bytes)",
                    $"delete group ledger with its positions in {3 * Shards} partitions",
                    $"delete folder {Path.Combine(_stateDir, App)}",
                    "keep inputs and outputs: the flow will read its inputs from their start (StartAt) and write its results once more",
                ],
                reset.Look());
            reset.Run(_told.Add);
        }

        Assert.Equal(7, _told.Count);
        AssertNothingIsLeft();
        Assert.Empty(Whole().Look());

        _plans.Reasons.Clear();
        Open();
        Settle(60);
        Assert.Equal(Counts(2), Counted());
        Assert.Contains(_plans.Reasons, reason => reason.Contains("the local state cannot be used: the changelog topic was made anew since it was written", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public void AResetThatIsCutOffIsFinishedByAnotherAndNothingStartsBetweenThem(int step)
    {
        Stop();
        Reset cut = Whole(StopAt($"reset.{step}"));
        cut.Look();
        Assert.Throws<InstanceStoppedException>(() => cut.Run(_told.Add));

        if (step < 8)
        {
            foreach (Cluster.Member member in _cluster.Members)
            {
                StreamException refusal = Assert.Throws<StreamException>(member.Open);
                Assert.Equal(ExitCode.State, refusal.Code);
                Assert.StartsWith($"A reset of application '{App}' was begun and is not finished", refusal.Message, StringComparison.Ordinal);
            }

            Reset finishing = Whole();
            Assert.Equal("finish an earlier reset, which was cut off", finishing.Look()[0]);
            finishing.Run(_told.Add);
        }

        AssertNothingIsLeft();
        Open();
        Settle(60);
        Assert.Equal(Counts(2), Counted());
    }

    [Fact]
    public void AnApplicationWithLiveMembersIsNotReset()
    {
        StreamException error = Assert.Throws<StreamException>(() => Whole().CheckMembers());
        Assert.Equal(ExitCode.Broker, error.Code);
        Assert.Contains("has 2 live members", error.Message, StringComparison.Ordinal);

        _here.Stop();
        _elsewhere.Crash();
        Assert.Contains("has 1 live member.", Assert.Throws<StreamException>(() => Keep(StartAt.Earliest).CheckMembers()).Message, StringComparison.Ordinal);
        _cluster.Round(3_000);
        Whole().CheckMembers();
    }

    [Fact]
    public void AFolderInWhichAnInstanceIsAtWorkIsNotReset()
    {
        StreamException error = Assert.Throws<StreamException>(() => LocalFolder.Take(_stateDir, App));
        Assert.Equal(ExitCode.State, error.Code);
        Assert.Contains($"in use by process {Environment.ProcessId}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnInstanceThatStartsMeanwhileStopsTheReset()
    {
        Stop();
        Reset reset = Whole(step =>
        {
            if (step == "reset.1")
            {
                GroupMember late = _cluster.Broker.JoinGroup(new GroupOptions { Group = App, Topic = InternalTopics.Shards(App), InstanceId = null, Voided = _ => { } });
                late.Poll();
            }
        });
        reset.Look();
        Assert.Contains("has 1 live member.", Assert.Throws<StreamException>(() => reset.Run(_told.Add)).Message, StringComparison.Ordinal);
        Assert.Empty(_told);
    }

    [Fact]
    public void TopicsOfStepsThatTheFlowHasNoLongerAreDeletedTooAndNoOneElses()
    {
        Stop();
        _cluster.Broker.CreateTopic(new TopicSpec("ledger-two-sum.repartition", 1, TopicCleanup.Keep));
        Dataflow small = new(App);
        small.Input("entries", LedgerFlow.Entries).StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("out", LedgerFlow.Counts);
        small.Seal();
        using LocalFolder folder = LocalFolder.Take(_stateDir, App);
        _store.Objects["ledger-two/1.manifest"] = [];
        Reset reset = new(_cluster.Broker, small, App, folder, _store);
        reset.Look();
        reset.Run(_told.Add);
        Assert.Equal(["ledger-two/1.manifest"], _store.Objects.Keys);
        Assert.Null(_cluster.Broker.DescribeTopic("ledger-sum.repartition"));
        Assert.Null(_cluster.Broker.DescribeTopic("ledger-total.repartition"));
        Assert.NotNull(_cluster.Broker.DescribeTopic("ledger-two-sum.repartition"));
    }

    [Fact]
    public void SnapshotsWhoseStoreIsNotNamedStayAndNothingIsRestoredFromThem()
    {
        Stop();
        int objects = _store.Objects.Count;
        using (LocalFolder folder = LocalFolder.Take(_stateDir, App))
        {
            Reset reset = new(_cluster.Broker, _cluster.Flow, App, folder);
            Assert.Contains("keep the snapshots, which are of no use any more: their store is not named (--snapshots)", reset.Look());
            reset.Run(_told.Add);
        }

        Assert.Equal(objects, _store.Objects.Count);
        Open();
        Settle(60);
        Assert.Equal(Counts(2), Counted());
    }

    [Fact]
    public void AStoreThatDoesNotAnswerLeavesAResetToBeFinished()
    {
        Stop();
        Reset reset = Whole();
        reset.Look();
        int left = 2;
        _store.Before = (call, _) => call == "Delete" && left-- == 0 ? throw new IOException("no answer.") : Task.CompletedTask;
        StreamException error = Assert.Throws<StreamException>(() => reset.Run(_told.Add));
        Assert.Equal("Snapshots cannot be deleted: no answer. Mend that, then reset again.", error.Message);
        Assert.NotEmpty(_store.Objects);
        Assert.Throws<StreamException>(_here.Open);

        _store.Before = (_, _) => Task.CompletedTask;
        Reset again = Whole();
        again.Look();
        again.Run(_told.Add);
        AssertNothingIsLeft();
    }

    [Fact]
    public void StatesAreKeptAndTheInputIsReadOnceMore()
    {
        Stop();
        PositionsReset reset = Keep(StartAt.Earliest);
        Assert.Equal(
            ["move the positions of group ledger in topic entries to the earliest records", "keep the states, with a new commit marker of each shard in topic ledger-changelog"],
            reset.Look());
        reset.Run(_told.Add);
        Assert.Equal(["moved the positions of group ledger in topic entries to 0, 0, 0"], _told);
        Assert.Equal(0, _cluster.Broker.CountMembers(App));

        _plans.Reasons.Clear();
        Open();
        Settle(60);
        Assert.Equal(Counts(2, keptState: true), Counted());
        Assert.All(_plans.Reasons, reason => Assert.StartsWith("local state at offset", reason, StringComparison.Ordinal));
    }

    [Fact]
    public void StatesAreKeptAndWhatWasNotReadYetIsPassedOver()
    {
        Stop();
        _cluster.Broker.Produce("entries", "a1"u8.ToArray(), [0, 0, 0, 9], partition: 0);
        Keep(StartAt.Latest).Run(_told.Add);
        Assert.DoesNotContain("to 0, 0, 0", Assert.Single(_told), StringComparison.Ordinal);

        Open();
        Push(30);
        Settle(60);
        Assert.Equal(Counts(1), Counted());
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    public void AMoveThatIsCutOffHasHappenedOrNot(int step, bool moved)
    {
        Stop();
        Assert.Throws<InstanceStoppedException>(() => Keep(StartAt.Earliest, StopAt($"keep.{step}")).Run(_told.Add));

        Open();
        Settle(moved ? 60 : 30);
        Assert.Equal(moved ? Counts(2, keptState: true) : Counts(1), Counted());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AMoveWhoseAnswerIsLostIsAskedForAgain(bool done)
    {
        Stop();
        int lost = 0;
        _cluster.Broker.WriterFaults = (id, call, after) =>
        {
            if (id == $"{App}/reset" && call == nameof(TransactionalWriter.Commit) && after == done && lost++ == 0)
            {
                throw new BrokerException(Consequence.Retry, "no answer");
            }
        };
        Keep(StartAt.Earliest).Run(_told.Add);
        _cluster.Broker.WriterFaults = null;
        Assert.True(lost > 0);

        Open();
        Settle(60);
        Assert.Equal(Counts(2, keptState: true), Counted());
    }

    [Fact]
    public void AnInstanceThatJoinsMeanwhileStopsTheMoveAndLosesNothing()
    {
        Stop();
        StreamException error = Assert.Throws<StreamException>(() => Keep(StartAt.Earliest, step =>
        {
            if (step == "keep.2")
            {
                _here.Open();
                _cluster.Round();
            }
        }).Run(_told.Add));
        Assert.Contains("has joined the group meanwhile. Nothing was changed.", error.Message, StringComparison.Ordinal);

        Push(30);
        Settle(60);
        Assert.Equal(Counts(1), Counted());
    }

    [Fact]
    public void PositionsThatSomeoneMovedAreMended()
    {
        Stop();
        _cluster.Broker.SetCommittedOffset(App, new("entries", 0), 1);
        Open();
        Assert.Contains("someone moved the group's positions", Assert.Throws<StreamException>(() => _cluster.Until(() => false, "it refuses")).Message, StringComparison.Ordinal);
        Crash();

        Keep(StartAt.Latest).Run(_told.Add);
        Open();
        Push(30);
        Settle(60);
        Assert.Equal(Counts(1), Counted());
    }

    [Fact]
    public void StatesThatAreGoneCannotBeKept()
    {
        Stop();
        _cluster.Broker.DeleteTopic(InternalTopics.Changelog(App));
        Assert.Empty(Keep(StartAt.Earliest).Look());
        _cluster.Broker.CreateTopic(new TopicSpec(InternalTopics.Changelog(App), Shards, TopicCleanup.Compact));
        Assert.Contains("its states are gone", Assert.Throws<StreamException>(() => Keep(StartAt.Earliest).Run(_told.Add)).Message, StringComparison.Ordinal);

        Reset half = Whole(StopAt("reset.1"));
        half.Look();
        Assert.Throws<InstanceStoppedException>(() => half.Run(_told.Add));
        Assert.Contains("not finished", Assert.Throws<StreamException>(() => Keep(StartAt.Earliest).Look()).Message, StringComparison.Ordinal);
    }

    /// <summary>The next run is another one, with ends of its own: it reads what came since the cut one began.</summary>
    [Fact]
    public void ARunThatWasUnderWayIsOverAndTheNextOneReadsEverything()
    {
        for (int rounds = 1; rounds <= 12; rounds++)
        {
            _cluster.End();
            for (int round = 0; round < rounds; round++)
            {
                _cluster.Round();
            }

            Push(10);
            Crash();
            Keep(StartAt.Earliest).Run(_told.Add);
            int before = _cluster.Outputs(LedgerFlow.Counts).Count();
            Open();
            _cluster.Until(() => _here.IsDone && _elsewhere.IsDone, "a run after the move is done");
            Assert.Equal(before + _ledger.Pushed, _cluster.Outputs(LedgerFlow.Counts).Count());
            Stop();
            _cluster.GoOn();
            Open();
            _cluster.Until(() => _here.Running + _elsewhere.Running == Shards, "the shards run");
        }

        // Whatever of the cut runs was committed, no count is skipped or told twice.
        foreach (IGrouping<string, (string Key, int? Value)> key in _cluster.Outputs(LedgerFlow.Counts).GroupBy(count => count.Key))
        {
            Assert.Equal(Enumerable.Range(1, key.Count()), key.Select(count => count.Value!.Value));
        }
    }

    private static Action<string> StopAt(string step) => at =>
    {
        if (at == step)
        {
            throw new InstanceStoppedException(at);
        }
    };

    private Reset Whole(Action<string>? reached = null)
    {
        // The folder is free at once, as after the end of a process.
        using LocalFolder folder = _here.IsUp ? LocalFolder.Take(_stateDir, "none") : LocalFolder.Take(_stateDir, App);
        return new Reset(_cluster.Broker, _cluster.Flow, App, folder, _store, reached);
    }

    private PositionsReset Keep(StartAt to, Action<string>? reached = null) => new(_cluster.Broker, _cluster.Flow, App, to, reached);

    private void Push(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _ledger.Push(_cluster, $"{(char)('a' + (i % 10))}{i % 10}", i);
        }
    }

    private void Stop()
    {
        _here.Stop();
        _elsewhere.Stop();
    }

    private void Crash()
    {
        _here.Crash();
        _elsewhere.Crash();
        _cluster.Round(3_000);
    }

    private void Open()
    {
        foreach (Cluster.Member member in _cluster.Members.Where(member => !member.IsUp))
        {
            member.Open();
        }
    }

    private void Settle(int counts)
    {
        _cluster.Until(() => _cluster.Outputs(LedgerFlow.Counts).Count() >= counts, $"{counts} counts");
        for (int round = 0; round < 20; round++)
        {
            _cluster.Round();
        }
    }

    private void AssertNothingIsLeft()
    {
        foreach (string topic in (string[])["ledger-shards", "ledger-changelog", "ledger-sum.repartition", "ledger-total.repartition", InternalTopics.Reset(App)])
        {
            Assert.Null(_cluster.Broker.DescribeTopic(topic));
        }

        Assert.Empty(_store.Objects);
        Assert.True(_cluster.Broker.TryGetCommittedOffsets(App, [.. Enumerable.Range(0, Shards).Select(shard => new TopicPartition("entries", shard))], out long?[] positions));
        Assert.All(positions, Assert.Null);
        Assert.False(Directory.Exists(Path.Combine(_stateDir, App)));
    }

    /// <summary>What was counted of each key, in order.</summary>
    private string[] Counted() =>
        [.. _cluster.Outputs(LedgerFlow.Counts).GroupBy(count => count.Key).OrderBy(key => key.Key, StringComparer.Ordinal).Select(key => $"{key.Key}: {string.Join(" ", key.Select(count => count.Value))}")];

    /// <summary>What is counted when all that was pushed is read a number of times, each time from an empty state or from that of the time before.</summary>
    private string[] Counts(int times, bool keptState = false)
    {
        int each = _ledger.Pushed / 10;
        IEnumerable<int> counts = Enumerable.Range(0, times).SelectMany(time => Enumerable.Range(1 + (keptState ? time * each : 0), each));
        return [.. Enumerable.Range(0, 10).Select(i => $"{(char)('a' + i)}{i}: {string.Join(" ", counts)}")];
    }

    /// <summary>Remembers why each takeover began where it did.</summary>
    private sealed class Plans : EngineSteps
    {
        public List<string> Reasons { get; } = [];

        public override Takeover NewTakeover(InstanceContext parts, int shard, long number) => new Told(parts, shard, number, Reasons);

        private sealed class Told(InstanceContext parts, int shard, long number, List<string> reasons) : Takeover(parts, shard, number)
        {
            protected override RestorePlan Plan(LocalState? local, IReadOnlyList<SnapshotEntry> snapshots, IReadOnlyDictionary<string, string> damaged, ChangelogState changelog)
            {
                RestorePlan plan = base.Plan(local, snapshots, damaged, changelog);
                reasons.Add(plan.Reason);
                return plan;
            }
        }
    }
}
