using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>Records that cannot be decoded, and code of the user that throws: where, and nothing committed.</summary>
public class BadRecordTests
{
    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");
    private static readonly KeyedTopic<string, int> Out = Topic.Keyed<string, int>("out");

    /// <summary>What is wrong, the key, the value, and what the message says.</summary>
    public static TheoryData<string, byte[]?, byte[]?, string> Bad() => new()
    {
        { "no key", null, [0, 0, 0, 1], "the record has no key, which a keyed input needs" },
        { "key", [0xff], [0, 0, 0, 1], "" },
        { "value", "k"u8.ToArray(), [1, 2, 3], "Int32 takes 4 bytes; there are 3." },
        { "no value", "k"u8.ToArray(), null, "the value is absent, and int has no null (declare it as int? to take it)" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void ABadRecordStopsTheFlowAndNothingIsCommitted(string what, byte[]? key, byte[]? value, string why)
    {
        using FlowDriver driver = new(Sum(new InputOptions()));
        driver.Push(In, "k", 1);
        driver.Run();
        driver.Push(In, "k", 2);
        driver.PushBytes("in", key, value);
        StreamException error = Assert.Throws<StreamException>(driver.Run);

        Assert.Equal(ExitCode.BadRecord, error.Code);
        Assert.StartsWith("Step 'in' cannot read offset 2 of in[0]:", error.Message, StringComparison.Ordinal);
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Contains("InputOptions.BadRecords", error.Message, StringComparison.Ordinal);
        Assert.Equal([("k", 1)], driver.Pairs(Out));
        Assert.NotEmpty(what);

        driver.Crash();
        driver.Restart();
        Assert.Throws<StreamException>(driver.Run);
        driver.Crash();
        driver.Restart(Sum(new InputOptions { BadRecords = BadRecords.Skip }));
        driver.Push(In, "k", 4);
        driver.Run();
        Assert.Equal([("k", 1), ("k", 3), ("k", 7)], driver.Pairs(Out));
    }

    [Fact]
    public void AKeyThatIsNullInJsonIsABadRecord()
    {
        KeyedTopic<Name, int> names = Topic.Keyed<Name, int>("names", Serde.Json<Name>(strict: false));
        Dataflow flow = new("names");
        flow.Input("in", names).Raises("none");
        using FlowDriver driver = new(flow);
        driver.PushBytes("names", "null"u8.ToArray(), [0, 0, 0, 1]);
        StreamException error = Assert.Throws<StreamException>(driver.Run);
        Assert.Equal(ExitCode.BadRecord, error.Code);
        Assert.Contains("the record's key is null", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATopicOfValuesHandsNoNullToAMapperThatHasNone()
    {
        ValueTopic<string> lines = Topic.Values<string>("lines");
        Dataflow flow = new("lengths");
        flow.Input("in", lines).Map("length", line => $"{line.Length}").Output("out", Topic.Values<string>("lengths"));
        using FlowDriver driver = new(flow);
        driver.PushBytes("lines", null, null);
        StreamException error = Assert.Throws<StreamException>(driver.Run);
        Assert.Equal(ExitCode.BadRecord, error.Code);
        Assert.Contains("the value is absent, and the topic is declared by Topic.Values<string> (declare it by Topic.ValuesOrNull to take nulls)", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATopicOfValuesTakesNullsWhereItIsDeclaredSo()
    {
        ValueTopic<string?> lines = Topic.ValuesOrNull<string>("lines");
        ValueTopic<int?> numbers = Topic.Values<int?>("numbers");
        ValueTopic<string> output = Topic.Values<string>("shown");
        Dataflow flow = new("nulls");
        flow.Input("lines", lines).Map("length", line => line is null ? "none" : $"{line.Length}")
            .Merge("all", flow.Input("numbers", numbers).Map("show", number => number is null ? "nothing" : $"{number}"))
            .Output("out", output);
        using FlowDriver driver = new(flow);
        driver.PushBytes("lines", null, null);
        driver.Push(lines, "four");
        driver.PushBytes("numbers", null, null);
        driver.Push(numbers, 7);
        driver.Run();
        Assert.Equal(["4", "7", "none", "nothing"], driver.Outputs(output).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void ACommitAfterABadRecordDoesNotPassIt()
    {
        using FlowDriver driver = new(Sum(new InputOptions()));
        driver.Push(In, "k", 1);
        driver.PushBytes("in", null, [0, 0, 0, 1]);
        driver.Push(In, "k", 2);
        Assert.Throws<StreamException>(driver.Turn);
        driver.Crash();
        driver.Restart(Sum(new InputOptions { BadRecords = BadRecords.Skip }));
        driver.Run();
        Assert.Equal([("k", 1), ("k", 3)], driver.Pairs(Out));
    }

    [Fact]
    public void SkippedRecordsAreGoneForGood()
    {
        Dataflow flow = Sum(new InputOptions { BadRecords = BadRecords.Skip });
        using FlowDriver driver = new(flow);
        driver.PushBytes("in", null, [0, 0, 0, 1]);
        driver.PushBytes("in", "k"u8.ToArray(), []);
        driver.Push(In, "k", 1);
        driver.PushBytes("in", "k"u8.ToArray(), null);
        driver.Run();
        driver.Crash();
        driver.Restart(Sum(new InputOptions()));
        driver.Push(In, "k", 1);
        driver.Run();
        Assert.Equal([("k", 1), ("k", 2)], driver.Pairs(Out));
    }

    [Fact]
    public void SkippedRecordsAreCounted()
    {
        string folder = Directory.CreateTempSubdirectory("kstream-skip-").FullName;
        try
        {
            using EmbeddedBroker broker = EmbeddedBroker.InMemory();
            broker.CreateTopic("in", 1);
            broker.CreateTopic("out", 1);
            broker.Produce("in", null, [0, 0, 0, 1]);
            broker.Produce("in", "k"u8.ToArray(), [0, 0, 0, 1]);
            broker.Produce("in", "k"u8.ToArray(), [1]);
            using Instance instance = Instance.Open(
                Sum(new InputOptions { BadRecords = BadRecords.Skip }), broker, new StreamOptions { StateDir = folder, Workers = 1, UntilEnd = true }, logging: null, TimeProvider.System);
            for (int turn = 0; turn < 10_000 && !instance.IsDone; turn++)
            {
                instance.StepMembership();
                instance.Restorers[0].Step();
                instance.Workers[0].Step();
            }

            Assert.Equal((3, 2), (instance.Status.RecordsIn, instance.Status.RecordsSkipped));
            Assert.Single(broker.ReadAll("out", readCommitted: true));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Steps whose code throws at the value 13.</summary>
    public static TheoryData<string, Func<KeyedStream<string, int>, KeyedStream<string, int>>> Throwing()
    {
        static int Checked(int value) => value == 13 ? throw new InvalidOperationException("unlucky") : value;

        TheoryData<string, Func<KeyedStream<string, int>, KeyedStream<string, int>>> steps = [];
        void Add(string name, Func<KeyedStream<string, int>, KeyedStream<string, int>> step) => steps.Add(name, step);
        Add("MapValue", stream => stream.MapValue("bad", Checked));
        Add("Map", stream => stream.Map("bad", (_, value) => Checked(value)).KeyOn("k", _ => "k"));
        Add("Filter", stream => stream.Filter("bad", (_, value) => Checked(value) > 0));
        Add("FlatMapLazy", stream => stream.FlatMapValue("bad", value => Enumerable.Repeat(value, 1).Select(Checked)));
        Add("FilterMapValue", stream => stream.FilterMapValue("bad", value => (int?)Checked(value)));
        Add("KeyOn", stream => stream.KeyOn("bad", (key, value) => $"{key}{Checked(value)}").KeyOn("k", (_, _) => "k"));
        Add("NullKey", stream => stream.KeyOn("bad", (key, value) => value == 13 ? null! : key));
        Add("Branch", stream => stream.Branch("bad", (_, value) => Checked(value) > 0).Trues);
        Add("Inspect", stream => stream.Inspect("bad", (_, _, value) => Checked(value)));
        Add("StatefulMap", stream => stream.StatefulMap("bad", (ref int? last, int value) => (last = Checked(value)).Value));
        Add("StatefulFlatMapLazy", stream => stream.StatefulFlatMap("bad", (ref int? last, int value) => { last = value; return Enumerable.Repeat(value, 1).Select(Checked); }));
        Add("AfterAStatefulStep", stream => stream.StatefulMap("good", (ref int? last, int value) => (last = value).Value).MapValue("bad", Checked));
        Add("EnrichCached", stream => stream.KeyRemove("v").EnrichCached<int, int, int>("bad", Checked, (cache, value) => cache.Get(value)).KeyOn("k", _ => "k"));
        Add("OutputSerde", stream => stream.MapValue("x", value => value == 13 ? new Name("\ud800") : new Name("x")).MapValue("bad", name => Checked(name.Text == "x" ? 1 : 13)));
        return steps;
    }

    [Theory]
    [MemberData(nameof(Throwing))]
    public void CodeThatThrowsStopsTheFlowAndARestartResumesBeforeTheRecord(string name, Func<KeyedStream<string, int>, KeyedStream<string, int>> step)
    {
        Dataflow flow = new("throws");
        step(flow.Input("in", In)).Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", 1);
        driver.Run();
        int before = driver.Outputs(Out).Count;
        driver.Push(In, "k", 2);
        driver.Push(In, "k", 13);
        StreamException error = Assert.Throws<StreamException>(driver.Run);

        Assert.Equal(ExitCode.UserCode, error.Code);
        Assert.StartsWith("Step 'bad' failed on offset 2 of in", error.Message, StringComparison.Ordinal);
        Assert.Contains("Nothing of it is committed; a restart resumes before this record.", error.Message, StringComparison.Ordinal);
        Assert.IsType<InvalidOperationException>(error.InnerException);
        Assert.Equal(before, driver.Outputs(Out).Count);
        Assert.NotEmpty(name);

        Dataflow mended = new("throws");
        mended.Input("in", In).Output("out", Out);
        driver.Crash();
        driver.Restart(mended);
        driver.Run();
        Assert.Equal([2, 13], driver.Outputs(Out).Skip(before).Select(record => record.Value));
    }

    [Fact]
    public void CodeThatThrowsInABatchNamesItsStep()
    {
        Dataflow flow = new("batch");
        flow.Input("in", In).KeyRemove("values").FlatMapBatch("bad", batch => batch.Select(value => 1 / value)).Output("out", Topic.Values<int>("out"));
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", 0);
        StreamException error = Assert.Throws<StreamException>(driver.Turn);
        Assert.Equal(ExitCode.UserCode, error.Code);
        Assert.StartsWith("Step 'bad' failed in shard 0", error.Message, StringComparison.Ordinal);
    }

    /// <summary>What throws, and how the message names the call.</summary>
    public static TheoryData<string, string> Calls() => new()
    {
        { "OnNotify", "Step 'bad' failed in shard 0, in a notification of key 'key-17': InvalidOperationException: boom" },
        { "NotifyAt", "Step 'bad' failed in shard 0, when asked (NotifyAt) for the next notification of key 'key-17': InvalidOperationException: boom" },
        { "OnEof", "Step 'bad' failed in shard 0, at the end of the input for key 'key-17': InvalidOperationException: boom" },
        { "behind", "Step 'behind' failed in shard 0, in a notification of key 'key-17' of step 'bad': InvalidOperationException: boom" },
    };

    [Theory]
    [MemberData(nameof(Calls))]
    public void CodeThatThrowsBetweenRecordsNamesTheCallAndTheKey(string call, string message)
    {
        Dataflow flow = new("timers");
        flow.Input("in", In).Stateful("bad", () => new ThrowingWhen(call))
            .MapValue("behind", value => value == 17 && call == "behind" ? throw new InvalidOperationException("boom") : value)
            .Output("out", Out);
        using FlowDriver driver = new(flow);
        foreach (int number in new[] { 3, 17, 41 })
        {
            driver.Push(In, $"key-{number}", number);
        }

        StreamException error = Assert.Throws<StreamException>(() =>
        {
            driver.Run();
            driver.Advance(TimeSpan.FromMinutes(2));
            driver.Run();
            driver.End();
        });
        Assert.Equal(ExitCode.UserCode, error.Code);
        Assert.StartsWith(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void CodeThatThrowsInABatchOfAKeyNamesTheKey()
    {
        Dataflow flow = new("batches");
        flow.Input("in", In).StatefulBatch("bad", () => new ThrowingBatch()).Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "key-3", 1);
        driver.Push(In, "key-17", 0);
        StreamException error = Assert.Throws<StreamException>(driver.Turn);
        Assert.StartsWith("Step 'bad' failed in shard 0, in a batch of key 'key-17': DivideByZeroException", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AStateThatCannotBeSavedNamesItsStepAndKey()
    {
        Dataflow flow = new("states");
        flow.Input("in", In).StatefulMap("bad", (ref string? state, int value) => { state = value == 13 ? "\ud800" : "fine"; return value; }).Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", 1);
        driver.Run();
        driver.Push(In, "lone", 13);
        StreamException error = Assert.Throws<StreamException>(driver.Run);
        Assert.Equal(ExitCode.UserCode, error.Code);
        Assert.StartsWith("Step 'bad' failed to save the state of key 'lone' in shard 0:", error.Message, StringComparison.Ordinal);
        Assert.Single(driver.Outputs(Out));
    }

    [Fact]
    public void RaisesStopsAtAnItem()
    {
        Dataflow flow = new("raises");
        flow.Input("in", In).Filter("thirteen", (_, value) => value == 13).Raises("never");
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", 1);
        driver.Run();
        driver.Push(In, "k", 13);
        Assert.StartsWith("Step 'never' failed on offset 1", Assert.Throws<StreamException>(driver.Run).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RemovingFromACacheWhatItLacksStops()
    {
        Dataflow flow = new("cache");
        flow.Input("in", Topic.Values<string>("lines")).EnrichCached<string, string, string>("enrich", key => key, (cache, key) => { cache.Remove(key); return key; }).Raises("none");
        using FlowDriver driver = new(flow);
        driver.Push(Topic.Values<string>("lines"), "x");
        StreamException error = Assert.Throws<StreamException>(driver.Run);
        Assert.Contains("Step 'enrich' failed", error.Message, StringComparison.Ordinal);
        Assert.IsType<KeyNotFoundException>(error.InnerException);
    }

    private static Dataflow Sum(InputOptions options)
    {
        Dataflow flow = new("sum");
        flow.Input("in", In, options).StatefulMap("sum", (ref int? sum, int value) => (sum = (sum ?? 0) + value).Value).Output("out", Out);
        return flow;
    }

    private sealed record Name(string Text);

    private sealed class ThrowingWhen(string call) : StatefulLogic<string, int, int, int>
    {
        private int _value;
        private DateTimeOffset? _due;

        public override StateAction OnItem(int value, StatefulContext<string, int> context)
        {
            _value = value;
            _due = context.Now.AddMinutes(1);
            return StateAction.Retain;
        }

        public override StateAction OnNotify(StatefulContext<string, int> context)
        {
            _due = null;
            context.Emit(Checked(nameof(OnNotify), _value));
            return StateAction.Retain;
        }

        public override StateAction OnEof(StatefulContext<string, int> context)
        {
            Checked(nameof(OnEof), _value);
            return StateAction.Discard;
        }

        public override DateTimeOffset? NotifyAt() => Checked(nameof(NotifyAt), _value) == 0 ? null : _due;

        public override void Resume(int state) => _value = state;

        public override int Snapshot() => _value;

        private int Checked(string where, int value) => where == call && value == 17 ? throw new InvalidOperationException("boom") : value;
    }

    private sealed class ThrowingBatch : StatefulBatchLogic<string, int, int, int>
    {
        public override StateAction OnBatch(IReadOnlyList<int> values, StatefulContext<string, int> context)
        {
            context.Emit(1 / values[0]);
            return StateAction.Retain;
        }

        public override void Resume(int state)
        {
        }

        public override int Snapshot() => 1;
    }
}
