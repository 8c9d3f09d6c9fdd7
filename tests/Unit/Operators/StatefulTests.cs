using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>When a stateful logic is called, with what, and what becomes of its state and its notification.</summary>
public class StatefulTests
{
    private static readonly KeyedTopic<string, string> In = Topic.Keyed<string, string>("in");
    private static readonly KeyedTopic<string, string> Out = Topic.Keyed<string, string>("out");

    /// <summary>The calls of the logics, "key call", in order.</summary>
    private readonly List<string> _calls = [];

    [Fact]
    public void ANewKeyIsNotResumedAndARestartedOneIsOnce()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "a", "x");
        driver.Run();
        Assert.DoesNotContain("a resume x", _calls);
        driver.Crash();
        driver.Restart();
        driver.Push(In, "a", "y");
        driver.Push(In, "a", "z");
        driver.Run();
        Assert.Equal(["a item x", "a snapshot x", "a resume x", "a item y", "a item z", "a snapshot xyz"], _calls);
    }

    [Fact]
    public void ASnapshotIsTakenOncePerCommitOfTheKeysThatWereCalled()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "b", "1");
        driver.Push(In, "a", "1");
        driver.Push(In, "b", "2");
        driver.Turn();
        Assert.DoesNotContain(_calls, call => call.Contains("snapshot", StringComparison.Ordinal));
        driver.Commit();
        driver.Push(In, "a", "2");
        driver.Run();
        driver.Run();
        Assert.Equal(["a snapshot 1", "b snapshot 12", "a snapshot 12"], _calls.Where(call => call.Contains("snapshot", StringComparison.Ordinal)));
    }

    [Fact]
    public void ADiscardedKeyMeetsANewLogicAlsoWithinATurn()
    {
        using FlowDriver driver = new(Probe());
        foreach (string value in new[] { "1", "discard", "2" })
        {
            driver.Push(In, "a", value);
        }

        driver.Run();
        Assert.True(driver.TryGetState("probe", "a", out string? state));
        Assert.Equal("2", state);
        Assert.DoesNotContain(_calls, call => call.Contains("resume", StringComparison.Ordinal));
    }

    [Fact]
    public void ADiscardLastsWithTheCommit()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "a", "1");
        driver.Run();
        driver.Push(In, "a", "discard");
        driver.Turn();
        Assert.False(driver.TryGetState<string, string>("probe", "a", out _));
        driver.Crash();
        driver.Restart();
        Assert.True(driver.TryGetState("probe", "a", out string? state));
        Assert.Equal("1", state);

        driver.Run();
        driver.Crash();
        driver.Restart();
        Assert.False(driver.TryGetState<string, string>("probe", "a", out _));
        driver.Push(In, "a", "2");
        driver.Run();
        Assert.True(driver.TryGetState("probe", "a", out state));
        Assert.Equal("2", state);
    }

    [Fact]
    public void AnOlderNotificationIsGoneWithItsKey()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "a", "at 10");
        driver.Run();
        driver.Push(In, "a", "discard");
        driver.Push(In, "a", "new");
        driver.Run();
        Assert.Empty(driver.Timers<string>("probe"));
        driver.Advance(TimeSpan.FromSeconds(20));
        Assert.DoesNotContain(_calls, call => call.Contains("notify", StringComparison.Ordinal));
    }

    [Fact]
    public void ANotificationFiresWhenItIsDueAndOnce()
    {
        using FlowDriver driver = new(Probe());
        DateTimeOffset start = driver.Now;
        driver.Push(In, "a", "at 10");
        driver.Run();
        Assert.Equal(start.AddSeconds(10), Assert.Single(driver.Timers<string>("probe")).Value);
        driver.Advance(TimeSpan.FromSeconds(10) - TimeSpan.FromTicks(1));
        Assert.Equal(0, Calls("a notify"));
        driver.Advance(TimeSpan.FromTicks(1));
        Assert.Equal(1, Calls("a notify"));
        driver.Advance(TimeSpan.FromDays(1));
        Assert.Equal(1, Calls("a notify"));
        Assert.Empty(driver.Timers<string>("probe"));
    }

    [Fact]
    public void ANewTimeReplacesTheOldOneForwardAndBack()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "a", "at 10");
        driver.Push(In, "b", "at 10");
        driver.Push(In, "c", "at 10");
        driver.Run();
        driver.Push(In, "a", "at 20");
        driver.Push(In, "b", "at 5");
        driver.Push(In, "c", "never");
        driver.Run();
        driver.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal((0, 1, 0), (Calls("a notify"), Calls("b notify"), Calls("c notify")));
        driver.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal((0, 1, 0), (Calls("a notify"), Calls("b notify"), Calls("c notify")));
        driver.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal((1, 1, 0), (Calls("a notify"), Calls("b notify"), Calls("c notify")));
    }

    [Fact]
    public void AnItemOfTheSameTurnPushesADueTimeBackOrCancelsIt()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "a", "at 10");
        driver.Push(In, "b", "at 10");
        driver.Push(In, "c", "at 10");
        driver.Run();
        driver.AdvanceQuietly(TimeSpan.FromSeconds(11));
        driver.Push(In, "a", "at 20");
        driver.Push(In, "b", "never");
        driver.Push(In, "c", "stay");
        driver.Run();
        Assert.Equal((0, 0, 1), (Calls("a notify"), Calls("b notify"), Calls("c notify")));
        Assert.Equal(["a"], driver.Timers<string>("probe").Keys);
        Assert.True(_calls.IndexOf("c item stay") < _calls.IndexOf("c notify"));
    }

    [Fact]
    public void ATimeInThePastFiresInTheNextTurnOncePerTurn()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "a", "at -5");
        driver.Turn();
        Assert.Equal(0, Calls("a notify"));
        driver.Turn();
        Assert.Equal(1, Calls("a notify"));
        driver.Push(In, "b", "always");
        for (int turn = 1; turn <= 4; turn++)
        {
            driver.Turn();
            Assert.Equal(turn - 1, Calls("b notify"));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void TimesOutliveARestart(bool crash)
    {
        using FlowDriver driver = new(Probe());
        DateTimeOffset start = driver.Now;
        driver.Push(In, "soon", "at 10");
        driver.Push(In, "later", "at 60");
        driver.Push(In, "gone", "at 20");
        driver.Run();
        driver.Push(In, "gone", "discard");
        driver.Run();
        if (crash)
        {
            driver.Crash();
        }
        else
        {
            driver.Stop();
        }

        driver.AdvanceQuietly(TimeSpan.FromSeconds(30));
        driver.Restart();
        Assert.Equal(start.AddSeconds(60), driver.Timers<string>("probe")["later"]);
        Assert.DoesNotContain("gone", driver.Timers<string>("probe").Keys);
        driver.Run();
        Assert.Equal((1, 0, 0), (Calls("soon notify"), Calls("later notify"), Calls("gone notify")));
        driver.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal((1, 1, 0), (Calls("soon notify"), Calls("later notify"), Calls("gone notify")));
    }

    [Fact]
    public void ANotificationThatWasNotCommittedFiresAgain()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "a", "at 10");
        driver.Run();
        driver.AdvanceQuietly(TimeSpan.FromSeconds(10));
        driver.Turn();
        driver.Crash();
        driver.Restart();
        Assert.Equal(["a"], driver.Timers<string>("probe").Keys);
        driver.Run();
        Assert.Equal(2, Calls("a notify"));
        Assert.Equal(["a at 10", "a rang"], Values(driver));
        driver.Crash();
        driver.Restart();
        driver.Run();
        Assert.Equal(2, Calls("a notify"));
    }

    [Fact]
    public void ManyTimesThatAreDueTogetherFireInOrderOfTheirKeysInSlices()
    {
        using FlowDriver driver = new(Probe());
        string[] keys = [.. Enumerable.Range(0, 2_500).Select(i => $"{i:0000}")];
        foreach (string key in keys.Reverse())
        {
            driver.Push(In, key, "at 10");
        }

        driver.Run();
        _calls.Clear();
        driver.AdvanceQuietly(TimeSpan.FromSeconds(10));
        driver.Turn();
        Assert.Equal(250, _calls.Count(call => call.EndsWith(" notify", StringComparison.Ordinal)));
        driver.Commit();
        driver.Crash();
        driver.Restart();
        Assert.Equal(2_250, driver.Timers<string>("probe").Count);
        driver.Run();
        Assert.Equal(keys, _calls.Where(call => call.EndsWith(" notify", StringComparison.Ordinal)).Select(call => call.Split(' ')[0]));
        Assert.Equal(keys.Length, driver.Outputs(Out).Count(record => record.Value == "rang"));
    }

    [Fact]
    public void TheEndCallsEveryLiveKeyInOrderAndRetainedStatesResumeInTheNextRun()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "c", "1");
        driver.Push(In, "a", "1");
        driver.Push(In, "d", "discard");
        driver.Push(In, "B", "end discards");
        driver.End();
        Assert.Equal(["B eof", "a eof", "c eof"], _calls.Where(call => call.EndsWith(" eof", StringComparison.Ordinal)));

        _calls.Clear();
        driver.Restart();
        driver.Push(In, "a", "2");
        driver.End();
        Assert.Equal(["a resume 1", "a item 2", "a eof", "c resume 1", "c eof"], _calls.Where(call => !call.Contains("snapshot", StringComparison.Ordinal)));
    }

    [Fact]
    public void TheEndDoesNotFireATimeToComeButOneThatIsDue()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "due", "at 10");
        driver.Push(In, "to-come", "at 20");
        driver.Run();
        driver.AdvanceQuietly(TimeSpan.FromSeconds(10));
        driver.End();
        Assert.Equal((1, 0), (Calls("due notify"), Calls("to-come notify")));
        Assert.True(_calls.IndexOf("due notify") < _calls.IndexOf("due eof"));
        driver.Restart();
        Assert.Equal(["to-come"], driver.Timers<string>("probe").Keys);
    }

    [Fact]
    public void TheEndOfAnEmptyInputIsQuiet()
    {
        using FlowDriver driver = new(Probe(), new FlowDriverOptions { Shards = 3, Instances = 2 });
        driver.End();
        Assert.Empty(_calls);
        Assert.Empty(driver.Outputs(Out));
        driver.Restart();
        driver.End();
    }

    [Fact]
    public void MoreKeysThanASliceEndOnce()
    {
        using FlowDriver driver = new(Probe());
        for (int i = 0; i < 9_000; i++)
        {
            driver.Push(In, $"{i}", "x");
            if (i == 5_000)
            {
                driver.Run();
            }
        }

        driver.End();
        Assert.Equal(9_000, _calls.Where(call => call.EndsWith(" eof", StringComparison.Ordinal)).Distinct().Count());
        Assert.Equal(9_000, _calls.Count(call => call.EndsWith(" eof", StringComparison.Ordinal)));
    }

    [Fact]
    public void ABatchHasAllValuesOfAKeyInATurnKeysAscending()
    {
        Dataflow flow = new("batches");
        flow.Input("in", In).StatefulBatch("batch", () => new BatchProbe(_calls)).Output("out", Out);
        using FlowDriver driver = new(flow);
        foreach ((string key, string value) in new[] { ("b", "1"), ("a", "1"), ("b", "2"), ("é", "1"), ("Z", "1"), ("b", "3") })
        {
            driver.Push(In, key, value);
        }

        driver.Run();
        Assert.Equal(["Z 1", "a 1", "b 1,2,3", "é 1"], _calls);
    }

    [Fact]
    public void OneTimeHoldsForAWholeTurn()
    {
        List<DateTimeOffset> nows = [];
        Dataflow flow = new("nows");
        FlowDriver? driver = null;
        flow.Input("in", In)
            .Inspect("clock", (_, _, _) => driver!.AdvanceQuietly(TimeSpan.FromSeconds(1)))
            .Stateful("probe", () => new NowProbe(nows)).Output("out", Out);
        using (driver = new FlowDriver(flow))
        {
            driver.Push(In, "a", "1");
            driver.Push(In, "b", "1");
            driver.Turn();
            driver.Push(In, "a", "1");
            driver.Turn();
            Assert.Equal([0, 0, 2], nows.Select(now => (now - nows[0]).TotalSeconds));
        }
    }

    [Fact]
    public void AKeyHasAStateOfItsOwnInEachStep()
    {
        Dataflow flow = new("steps");
        KeyedStream<string, string> input = flow.Input("in", In);
        input.StatefulMap("one", (ref string? all, string value) => all += value).StatefulMap("two", (ref string? all, string value) => all += $"({value})").Output("out", Out);
        input.StatefulMap("on", (ref int? count, string _) => $"{count = (count ?? 0) + 1}").Output("count", Topic.Keyed<string, string>("count"));
        using FlowDriver driver = new(flow);
        driver.Push(In, "a", "x");
        driver.Push(In, "a", "y");
        driver.Run();
        driver.Crash();
        driver.Restart();
        driver.Push(In, "a", "z");
        driver.Run();
        Assert.Equal("a (x)(xy)(xyz)", Values(driver)[^1]);
        Assert.True(driver.TryGetState("one", "a", out string? one));
        Assert.True(driver.TryGetState("on", "a", out int on));
        Assert.Equal(("xyz", 3), (one, on));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AStateMayBeChangedInPlaceOrReplaced(bool evict)
    {
        Dataflow flow = new("places");
        KeyedStream<string, string> input = flow.Input("in", In);
        input.StatefulMap("in-place", (ref List<string>? all, string value) =>
        {
            (all ??= []).Add(value);
            return string.Concat(all);
        }).Output("out", Out);
        input.StatefulMap("replaced", (ref List<string>? all, string value) => string.Concat(all = [.. all ?? [], value])).Output("out2", Topic.Keyed<string, string>("out2"));
        using FlowDriver driver = new(flow, new FlowDriverOptions { EvictAlways = evict });
        foreach (string value in new[] { "1", "2", "3" })
        {
            driver.Push(In, "a", value);
            driver.Turn();
        }

        driver.Commit();
        driver.Push(In, "a", "lost");
        driver.Turn();
        driver.Crash();
        driver.Restart();
        driver.Run();
        Assert.Equal(["a 1", "a 12", "a 123", "a 123lost"], Values(driver));
        Assert.Equal(driver.Outputs(Out).Select(record => record.Value), driver.Outputs(Topic.Keyed<string, string>("out2")).Select(record => record.Value));
    }

    [Fact]
    public void ALargeStateIsKeptAndOneTooLargeIsAnErrorWithStepAndKey()
    {
        Dataflow flow = new("large");
        flow.Input("in", In).StatefulMap("big", (ref string? state, string value) =>
        {
            state = new string('x', int.Parse(value, System.Globalization.CultureInfo.InvariantCulture));
            return value;
        }).Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "fat", "1000000");
        driver.Run();
        driver.Crash();
        driver.Restart();
        Assert.True(driver.TryGetState("big", "fat", out string? state));
        Assert.Equal(1_000_000, state!.Length);
        driver.Push(In, "fat", "2000000");
        StreamException error = Assert.Throws<StreamException>(driver.Run);
        Assert.Contains("key 'fat' in step 'big'", error.Message, StringComparison.Ordinal);
        Assert.Equal(["fat 1000000"], Values(driver));
    }

    [Fact]
    public void AStateThatItsSerdeCannotReadNamesStepAndKey()
    {
        using FlowDriver driver = new(Probe());
        driver.Push(In, "a", "words");
        driver.Run();
        driver.Stop();
        Dataflow other = new("probes");
        other.Input("in", In).StatefulMap("probe", (ref int? count, string _) => $"{count = 1}").Output("out", Out);
        driver.Restart(other);
        driver.Push(In, "a", "x");
        StreamException error = Assert.Throws<StreamException>(driver.Run);
        Assert.Equal(ExitCode.State, error.Code);
        Assert.StartsWith("The saved state of key 'a' in step 'probe' cannot be read: Int32 takes 4 bytes; there are 5.", error.Message, StringComparison.Ordinal);
        Assert.Equal(["a words"], Values(driver));
    }

    [Fact]
    public void ANullStateResumesAsNull()
    {
        Dataflow flow = new("nulls");
        List<string> resumed = [];
        flow.Input("in", In).Stateful("null", () => new NullLogic(resumed)).Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "a", "x");
        driver.Run();
        driver.Crash();
        driver.Restart();
        driver.Push(In, "a", "x");
        driver.Run();
        Assert.Equal(["null"], resumed);
    }

    [Fact]
    public void AStepMayHaveASerdeOfItsOwn()
    {
        Dataflow flow = new("serdes");
        flow.Input("in", In).StatefulMap("count", (ref int? count, string _) => $"{count = (count ?? 0) + 1}", Serde.Json<int>()).Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "a", "x");
        driver.Run();
        Assert.True(driver.TryGetState("count", "a", out byte[]? bytes));
        Assert.Equal("1"u8.ToArray(), bytes);
    }

    private static IReadOnlyList<string> Values(FlowDriver driver) => [.. driver.Outputs(Out).Select(record => $"{record.Key} {record.Value}")];

    private int Calls(string call) => _calls.Count(made => made == call);

    private Dataflow Probe()
    {
        Dataflow flow = new("probes");
        flow.Input("in", In).Stateful("probe", () => new ProbeLogic(_calls)).Output("out", Out);
        return flow;
    }

    /// <summary>Remembers what it was told, and does what its values say.</summary>
    private sealed class ProbeLogic(List<string> calls) : StatefulLogic<string, string, string, string>
    {
        private string _key = "?";
        private string _said = "";
        private DateTimeOffset? _at;
        private bool _always;
        private string? _resumed;

        public override void Resume(string state) => _resumed = _said = state;

        public override string Snapshot()
        {
            calls.Add($"{_key} snapshot {_said}");
            return _said;
        }

        public override DateTimeOffset? NotifyAt() => _always ? DateTimeOffset.UnixEpoch : _at;

        public override StateAction OnItem(string value, StatefulContext<string, string> context)
        {
            Enter(context, $"item {value}");
            if (value == "discard")
            {
                return StateAction.Discard;
            }

            _always = value == "always";
            _at = value.StartsWith("at ", StringComparison.Ordinal)
                ? new DateTimeOffset(2024, 1, 1, 0, 0, 0, TimeSpan.Zero).AddSeconds(int.Parse(value[3..], System.Globalization.CultureInfo.InvariantCulture))
                : value == "stay" ? _at : null;
            _said += value;
            context.Emit(value);
            return StateAction.Retain;
        }

        public override StateAction OnNotify(StatefulContext<string, string> context)
        {
            Enter(context, "notify");
            _at = null;
            context.Emit("rang");
            return StateAction.Retain;
        }

        public override StateAction OnEof(StatefulContext<string, string> context)
        {
            Enter(context, "eof");
            return _said == "end discards" ? StateAction.Discard : StateAction.Retain;
        }

        private void Enter(StatefulContext<string, string> context, string call)
        {
            _key = context.Key;
            if (_resumed is not null)
            {
                calls.Add($"{_key} resume {_resumed}");
                _resumed = null;
            }

            calls.Add($"{_key} {call}");
        }
    }

    private sealed class BatchProbe(List<string> calls) : StatefulBatchLogic<string, string, string, int>
    {
        public override int Snapshot() => 0;

        public override StateAction OnBatch(IReadOnlyList<string> values, StatefulContext<string, string> context)
        {
            calls.Add($"{context.Key} {string.Join(',', values)}");
            return StateAction.Discard;
        }
    }

    private sealed class NowProbe(List<DateTimeOffset> nows) : StatefulLogic<string, string, string, int>
    {
        public override int Snapshot() => 0;

        public override StateAction OnItem(string value, StatefulContext<string, string> context)
        {
            nows.Add(context.Now);
            return StateAction.Retain;
        }
    }

    private sealed class NullLogic(List<string> resumed) : StatefulLogic<string, string, string, string?>
    {
        public override void Resume(string? state) => resumed.Add(state ?? "null");

        public override string? Snapshot() => null;

        public override StateAction OnItem(string value, StatefulContext<string, string> context) => StateAction.Retain;
    }
}
