using Xunit;

namespace KStreamSharp.Tests.Flow;

/// <summary>A flow that is put together wrongly is refused where it is wrong, by the step's id.</summary>
public class FlowErrorTests
{
    private readonly Dataflow _flow = new("shop");
    private readonly KeyedStream<string, int> _orders;
    private readonly Stream<string> _lines;

    public FlowErrorTests()
    {
        _orders = _flow.Input("orders", Topic.Keyed<string, int>("orders"));
        _lines = _flow.Input("lines", Topic.Values<string>("lines"));
    }

    /// <summary>Each way to add a step, with the id given.</summary>
    public static TheoryData<string, Action<KeyedStream<string, int>, Stream<string>, string>> Steps()
    {
        TheoryData<string, Action<KeyedStream<string, int>, Stream<string>, string>> steps = [];
        void Add(string name, Action<KeyedStream<string, int>, Stream<string>, string> add) => steps.Add(name, add);

        Add("Map", (_, lines, id) => lines.Map(id, line => line));
        Add("MapValue", (orders, _, id) => orders.MapValue(id, order => order));
        Add("FlatMap", (_, lines, id) => lines.FlatMap(id, line => line.Split(' ')));
        Add("FlatMapBatch", (_, lines, id) => lines.FlatMapBatch(id, batch => batch));
        Add("Filter", (_, lines, id) => lines.Filter(id, _ => true));
        Add("FilterMap", (_, lines, id) => lines.FilterMap(id, line => line));
        Add("Branch", (_, lines, id) => lines.Branch(id, _ => true));
        Add("Merge", (_, lines, id) => lines.Merge(id, lines));
        Add("KeyOn", (_, lines, id) => lines.KeyOn(id, line => line));
        Add("KeyRemove", (orders, _, id) => orders.KeyRemove(id));
        Add("Redistribute", (_, lines, id) => lines.Redistribute(id));
        Add("Repartition", (orders, _, id) => orders.Repartition(id));
        Add("Inspect", (_, lines, id) => lines.Inspect(id));
        Add("Raises", (_, lines, id) => lines.Raises(id));
        Add("Output", (orders, _, id) => orders.Output(id, Topic.Keyed<string, int>("out")));
        Add("EnrichCached", (_, lines, id) => lines.EnrichCached<string, string, string>(id, key => key, (cache, line) => cache.Get(line)));
        Add("StatefulMap", (orders, _, id) => orders.StatefulMap(id, (ref int? total, int order) => total = order));
        Add("ReduceFinal", (orders, _, id) => orders.ReduceFinal(id, (x, y) => x + y));
        Add("FoldFinal", (orders, _, id) => orders.FoldFinal(id, () => 0, (x, y) => x + y));
        Add("CountFinal", (_, lines, id) => lines.CountFinal(id, line => line));
        Add("Collect", (orders, _, id) => orders.Collect(id, TimeSpan.FromSeconds(1), 2));
        Add("Join", (orders, _, id) => orders.Join(id, orders));
        Add("JoinFinal", (orders, _, id) => orders.JoinFinal(id, [orders, orders]));
        Add("StatefulMapBehindKeyOn", (_, lines, id) => lines.KeyOn("by", line => line).StatefulMap(id, (ref int? total, string line) => total = 1));
        Add("JoinBehindKeyOn", (orders, lines, id) => orders.Join(id, lines.KeyOn("by", line => line)));
        return steps;
    }

    [Theory]
    [MemberData(nameof(Steps))]
    public void AnIdIsNotEmpty(string name, Action<KeyedStream<string, int>, Stream<string>, string> add)
    {
        FlowException error = Assert.Throws<FlowException>(() => add(_orders, _lines, ""));
        Assert.Contains("step needs an id", error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(name);
    }

    [Theory]
    [MemberData(nameof(Steps))]
    public void AnIdHasNoDot(string name, Action<KeyedStream<string, int>, Stream<string>, string> add)
    {
        FlowException error = Assert.Throws<FlowException>(() => add(_orders, _lines, "my.step"));
        Assert.Contains("'my.step'", error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(name);
    }

    [Theory]
    [MemberData(nameof(Steps))]
    public void AnIdHasNoSpace(string name, Action<KeyedStream<string, int>, Stream<string>, string> add)
    {
        FlowException error = Assert.Throws<FlowException>(() => add(_orders, _lines, "my step"));
        Assert.Contains("'my step'", error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(name);
    }

    [Theory]
    [MemberData(nameof(Steps))]
    public void AnIdIsTakenOnce(string name, Action<KeyedStream<string, int>, Stream<string>, string> add)
    {
        FlowException error = Assert.Throws<FlowException>(() => add(_orders, _lines, "lines"));
        Assert.Contains("Step 'lines' exists twice in flow 'shop'", error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(name);
    }

    [Fact]
    public void AnIdIsTakenByAStepOfTheEngineToo()
    {
        _orders.Repartition("across");
        _lines.Redistribute("spread");
        Assert.Contains("Step 'across' exists twice", Assert.Throws<FlowException>(() => _lines.Map("across", line => line)).Message, StringComparison.Ordinal);
        Assert.Contains("Step 'spread' exists twice", Assert.Throws<FlowException>(() => _lines.Redistribute("spread")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnInputsIdIsCheckedToo()
    {
        Assert.Contains("'a.b'", Assert.Throws<FlowException>(() => _flow.Input("a.b", Topic.Values<int>("a"))).Message, StringComparison.Ordinal);
        Assert.Contains("Step 'orders' exists twice", Assert.Throws<FlowException>(() => _flow.Input("orders", Topic.Values<int>("a"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TwoInputsDoNotReadOneTopic()
    {
        FlowException error = Assert.Throws<FlowException>(() => _flow.Input("again", Topic.Keyed<string, int>("orders")));
        Assert.Equal("Step 'again' reads topic 'orders', which step 'orders' reads already. Use its stream twice instead.", error.Message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a.b")]
    [InlineData("a b")]
    public void AFlowsIdIsPlain(string id) => Assert.Throws<FlowException>(() => new Dataflow(id));

    [Fact]
    public void AStreamOfAnotherFlowIsRefused()
    {
        Dataflow other = new("other");
        KeyedStream<string, int> foreign = other.Input("foreign", Topic.Keyed<string, int>("foreign"));
        Stream<string> foreignLines = other.Input("foreign-lines", Topic.Values<string>("foreign-lines"));
        KeyedStream<string, string> foreignByLine = foreignLines.KeyOn("by", line => line);

        Action[] wrong =
        [
            () => _orders.Merge("meet", foreign),
            () => _lines.Merge("meet", foreignLines),
            () => _orders.Join("meet", foreign),
            () => _orders.JoinRunning("meet", _orders, foreign),
            () => _orders.JoinFinal("meet", [foreign]),
            () => _orders.Join("meet", foreignByLine),
        ];

        Assert.All(wrong, add => Assert.Equal(
            "Step 'meet' of flow 'shop' was given a stream of flow 'other'. A flow uses its own streams only.", Assert.Throws<FlowException>(add).Message));
        foreign.Output("out", Topic.Keyed<string, int>("out"));
        Assert.DoesNotContain("repartition", other.Describe().ToText(), StringComparison.Ordinal);
    }

    [Fact]
    public void AFlowNeedsAnInput() =>
        Assert.Equal("Flow 'empty' has no input. Add one with Input(...).", Assert.Throws<FlowException>(() => new Dataflow("empty").Check()).Message);

    [Fact]
    public void AFlowNeedsSomethingThatCanBeSeen()
    {
        _orders.MapValue("double", order => 2 * order);
        FlowException error = Assert.Throws<FlowException>(_flow.Check);
        Assert.Equal("Flow 'shop' does nothing that can be seen: it has no output, inspect or raises step. Add one, for example Output(...).", error.Message);
        Assert.Throws<FlowException>(() => _flow.Describe());
        Assert.Throws<FlowException>(() => new Testing.FlowDriver(_flow));
        _lines.Raises("none");
        _flow.Check();
    }

    [Fact]
    public void AStepDoesNotComeAfterTheStart()
    {
        _orders.Output("out", Topic.Keyed<string, int>("out"));
        using Testing.FlowDriver driver = new(_flow);
        FlowException error = Assert.Throws<FlowException>(() => _lines.Map("late", line => line));
        Assert.Equal("Step 'late' comes too late: flow 'shop' has been started. Build the whole flow first.", error.Message);
    }

    [Fact]
    public void OutputsAreNoTasks()
    {
        Action[] wrong =
        [
            () => _lines.Map("async", async line => await Task.FromResult(line)),
            () => _orders.Map("async", async (key, _) => await Task.FromResult(key)),
            () => _orders.MapValue("async", order => new ValueTask<int>(order)),
            () => _orders.MapValue("async", _ => Task.CompletedTask),
            () => _orders.MapValue("async", _ => default(ValueTask)),
            () => _lines.FlatMap("async", line => new[] { Task.FromResult(line) }),
            () => _lines.FlatMapBatch("async", batch => batch.Select(Task.FromResult)),
            () => _orders.FlatMapValue("async", order => new[] { Task.FromResult(order) }),
            () => _lines.FilterMap("async", async line => await Task.FromResult(line)),
            () => _orders.FilterMapValue("async", async order => await Task.FromResult(order)),
            () => _lines.KeyOn("async", async line => await Task.FromResult(line)),
            () => _lines.CountFinal("async", async line => await Task.FromResult(line)),
            () => _lines.EnrichCached<string, Task<string>, string>("async", Task.FromResult, (_, line) => line),
            () => _orders.StatefulMap("async", (ref int? total, int order) => Task.FromResult(total = order)),
            () => _orders.StatefulFlatMap("async", (ref int? total, int order) => new[] { Task.FromResult(total = order) }),
            () => _orders.FoldFinal("async", () => Task.FromResult(0), async (total, order) => await total + order),
            () => _lines.Map("async", Letters),
        ];
        Assert.All(wrong, add =>
        {
            FlowException error = Assert.Throws<FlowException>(add);
            Assert.StartsWith("Step 'async' would put out tasks", error.Message, StringComparison.Ordinal);
            Assert.Contains("do without 'async'", error.Message, StringComparison.Ordinal);
        });
    }

    [Fact]
    public void AStateComesBackAsItWas()
    {
        Action[] wrong =
        [
            () => _orders.StatefulMap("state", (ref Hidden? state, int order) => order),
            () => _orders.StatefulFlatMap("state", (ref Hidden? state, int order) => new[] { order }),
            () => _orders.FoldFinal("state", () => new Hidden(), (all, _) => all),
            () => _orders.MapValue("hidden", _ => new Hidden()).ReduceFinal("state", (x, _) => x),
            () => _orders.MapValue("hidden2", _ => new Hidden()).Collect("state", TimeSpan.FromSeconds(1), 2),
            () => _orders.Join("state", _orders.MapValue("hidden3", _ => new Hidden())),
        ];
        Assert.All(wrong, add =>
        {
            FlowException error = Assert.Throws<FlowException>(add);
            Assert.StartsWith("Step 'state' cannot keep its state: Hidden keeps something in the field '_count', which is not written.", error.Message, StringComparison.Ordinal);
        });
    }

    [Fact]
    public void WhatCrossesATopicComesBackAsItWas()
    {
        KeyedStream<string, Hidden> hidden = _lines.Map("hide", _ => new Hidden()).KeyOn("by", _ => "k");
        Assert.StartsWith("Step 'across.repartition' cannot send its values", Assert.Throws<FlowException>(() => hidden.Repartition("across")).Message, StringComparison.Ordinal);
        Assert.StartsWith("Step 'spread' cannot send its items", Assert.Throws<FlowException>(() => hidden.KeyRemove("values").Redistribute("spread")).Message, StringComparison.Ordinal);
        Assert.Contains(
            "'count.repartition' cannot send its keys", Assert.Throws<FlowException>(() => _lines.CountFinal("count", _ => new Hidden())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void KeysThatMeetHaveOneSerde()
    {
        KeyedStream<string, int> json = _flow.Input("json", Topic.Keyed<string, int>("json", Serde.Json<string>()));
        Action[] wrong = [() => _orders.Join("meet", json), () => _orders.JoinRunning("meet", [_orders, json]), () => _orders.Merge("meet", json)];
        Assert.All(wrong, add => Assert.StartsWith(
            "The upstreams of step 'meet' write their keys by different serdes", Assert.Throws<FlowException>(add).Message, StringComparison.Ordinal));
        _orders.Join("meet", json.KeyOn("as-text", (key, _) => key));
    }

    [Fact]
    public void AJoinKnowsItsModes() =>
        Assert.Equal("Step 'meet' has no insert mode 99; there are First, Last and Product.", Assert.Throws<FlowException>(() => _orders.Join("meet", _orders, (JoinInsert)99)).Message);

    [Fact]
    public void NumbersThatMakeNoSenseAreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _orders.Collect("collect", TimeSpan.FromSeconds(1), 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => _orders.Collect("collect", TimeSpan.FromSeconds(-1), 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => _lines.EnrichCached<string, string, string>("enrich", key => key, (cache, line) => line, TimeSpan.FromSeconds(-1)));
    }

    [Fact]
    public void ATopicsNameIsOneThatKafkaTakes() => Assert.All(
        ["", "a b", "a/b", "..", new string('a', 250)], name => Assert.ThrowsAny<ArgumentException>(() => Topic.Values<int>(name)));

    private static async IAsyncEnumerable<char> Letters(string line)
    {
        await Task.CompletedTask;
        foreach (char letter in line)
        {
            yield return letter;
        }
    }

    private sealed class Hidden
    {
        private int _count;

        public void Add() => _count++;

        public override string ToString() => $"{_count}";
    }
}
