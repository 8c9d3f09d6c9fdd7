using System.Text;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>Keys, values, headers and timestamps from input to output.</summary>
public class RecordTests
{
    private static readonly KeyedTopic<string, string?> In = Topic.Keyed<string, string?>("in");
    private static readonly KeyedTopic<string, string?> Out = Topic.Keyed<string, string?>("out");
    private static readonly DateTimeOffset T0 = new(2020, 5, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly Headers Traced = Headers.Empty.With("trace", "42").With("trace", null);

    [Fact]
    public void AKeyedStreamPassesRecordsAsTheyAre()
    {
        Dataflow flow = new("copy");
        flow.Input("in", In).Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", "v", T0, Traced);
        driver.Push(In, "", "empty key", T0.AddMilliseconds(1.9));
        driver.Push(In, "k", null, T0);
        driver.Push(In, "k", "", T0);
        driver.Run();

        IReadOnlyList<Record<string, string?>> records = driver.Outputs(Out);
        Assert.Equal([("k", "v"), ("", "empty key"), ("k", null), ("k", "")], records.Select(record => (record.Key, record.Value)));
        Assert.Equal([T0, T0.AddMilliseconds(1), T0, T0], records.Select(record => record.Timestamp));
        Assert.Equal(Traced, records[0].Headers);
        Assert.Empty(records[1].Headers);
    }

    [Fact]
    public void WholeRecordsMayLackKeyAndValue()
    {
        RecordTopic<byte[], byte[]> from = Topic.Records<byte[], byte[]>("in");
        RecordTopic<byte[], byte[]> to = Topic.Records<byte[], byte[]>("out");
        Dataflow flow = new("copy");
        flow.Input("in", from).Output("out", to);
        using FlowDriver driver = new(flow);
        driver.PushBytes("in", null, [1], T0, Traced);
        driver.PushBytes("in", [2], null, T0);
        driver.PushBytes("in", [], [], T0);
        driver.PushBytes("in", null, null, T0);
        driver.Run();

        IReadOnlyList<Record<byte[], byte[]>> records = driver.Outputs(to);
        Assert.Equal([null, [2], [], null], records.Select(record => record.Key));
        Assert.Equal([[1], null, [], null], records.Select(record => record.Value));
        Assert.Equal(Traced, records[0].Headers);
        Assert.All(records, record => Assert.Equal(T0, record.Timestamp));
    }

    [Fact]
    public void ANullValueIsAValueWhereTheTypeHasNull()
    {
        KeyedTopic<string, int?> numbers = Topic.Keyed<string, int?>("numbers");
        KeyedTopic<string, string> shown = Topic.Keyed<string, string>("shown");
        Dataflow flow = new("nulls");
        flow.Input("numbers", numbers).StatefulMap("last", (ref string? all, int? number) => all += number?.ToString() ?? "-").Output("shown", shown);
        using FlowDriver driver = new(flow);
        driver.Push(numbers, "a", 1);
        driver.Push(numbers, "a", null);
        driver.Push(numbers, "a", 2);
        driver.Run();
        Assert.Equal(["1", "1-", "1-2"], driver.Outputs(shown).Select(record => record.Value));
    }

    [Fact]
    public void HeadersPassOneToOneSteps()
    {
        Dataflow flow = new("headers");
        KeyedStream<string, string?> input = flow.Input("in", In);
        KeyedStream<string, string?> passed = input
            .MapValue("map-value", value => value)
            .Filter("filter", (_, _) => true)
            .FilterMapValue("filter-map", value => value ?? "none")
            .MapValue("nullable", value => (string?)value)
            .Inspect("inspect", (_, _, _) => { })
            .Branch("branch", (_, _) => true).Trues
            .StatefulMap("stateful-map", (ref int? count, string? value) => { count = 1; return value; })
            .KeyOn("key-on", (key, _) => key)
            .Repartition("repartition")
            .Merge("merge", input);
        passed.Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", "v", T0, Traced);
        driver.Run();
        Assert.Equal(2, driver.Outputs(Out).Count);
        Assert.All(driver.Outputs(Out), record => Assert.Equal(Traced, record.Headers));
        Assert.All(driver.Outputs(Out), record => Assert.Equal(T0, record.Timestamp));
    }

    [Fact]
    public void HeadersEndWhereOneBecomesSeveral()
    {
        Dataflow flow = new("headers");
        KeyedStream<string, string?> input = flow.Input("in", In);
        KeyedStream<string, string?> all = input.FlatMapValue("flat", value => new[] { value })
            .Merge(
                "all",
                input.StatefulFlatMap("stateful-flat", (ref int? count, string? value) => new[] { value }),
                input.Collect("collect", TimeSpan.FromHours(1), 1).MapValue("first", list => list[0]),
                input.Join("join", input).MapValue("second", row => row.Item2),
                input.KeyRemove("values").FlatMap("flat-map", value => new[] { value }).KeyOn("k1", _ => "k"),
                input.KeyRemove("values2").FlatMapBatch("batch", batch => batch).KeyOn("k2", _ => "k"));
        all.Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", "v", T0, Traced);
        driver.Run();
        Assert.Equal(6, driver.Outputs(Out).Count);
        Assert.All(driver.Outputs(Out), record => Assert.Empty(record.Headers));
        Assert.All(driver.Outputs(Out), record => Assert.Equal(T0, record.Timestamp));
    }

    [Fact]
    public void AnItemOfSeveralCarriesTheLargestTimestamp()
    {
        KeyedTopic<string, IReadOnlyList<string?>> lists = Topic.Keyed<string, IReadOnlyList<string?>>("lists");
        KeyedTopic<string, (string?, string?)> rows = Topic.Keyed<string, (string?, string?)>("rows");
        KeyedTopic<string, string?> other = Topic.Keyed<string, string?>("other");
        Dataflow flow = new("largest");
        KeyedStream<string, string?> input = flow.Input("in", In);
        input.Collect("collect", TimeSpan.FromHours(1), 2).Output("lists", lists);
        input.Join("join", flow.Input("other", other)).Output("rows", rows);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", "a", T0.AddSeconds(5));
        driver.Push(In, "k", "b", T0.AddSeconds(3));
        driver.Push(In, "k", "c", T0.AddSeconds(1));
        driver.Run();
        driver.Push(other, "k", "x", T0.AddSeconds(2));
        driver.Push(In, "k", "d", T0.AddSeconds(2));
        driver.Run();

        Assert.Equal([T0.AddSeconds(5), T0.AddSeconds(2)], driver.Outputs(lists).Select(record => record.Timestamp));
        Assert.Equal(T0.AddSeconds(5), Assert.Single(driver.Outputs(rows)).Timestamp);
    }

    [Fact]
    public void FromTheEndAnItemCarriesTheLargestTimestampOfItsKey()
    {
        KeyedTopic<string, int> sizes = Topic.Keyed<string, int>("sizes");
        Dataflow flow = new("ends");
        flow.Input("in", In).FoldFinal("count", () => 0, (count, _) => count + 1).Output("out", sizes);
        using FlowDriver driver = new(flow);
        driver.Push(In, "a", "x", T0.AddSeconds(9));
        driver.Push(In, "a", "x", T0.AddSeconds(1));
        driver.Push(In, "b", "x", T0);
        driver.Run();
        driver.Crash();
        driver.Restart();
        driver.End();
        Assert.Equal([("a", T0.AddSeconds(9)), ("b", T0)], driver.Outputs(sizes).Select(record => (record.Key, record.Timestamp)));
    }

    [Fact]
    public void ANotificationsItemsCarryItsTime()
    {
        KeyedTopic<string, string> alarms = Topic.Keyed<string, string>("alarms");
        Dataflow flow = new("times");
        KeyedStream<string, string?> input = flow.Input("in", In);
        input.Stateful("alarm", () => new AlarmLogic()).Output("alarms", alarms);
        using FlowDriver driver = new(flow);
        DateTimeOffset start = driver.Now;
        driver.Push(In, "k", "60", T0);
        driver.Push(In, "old", "-99999999999", T0);
        driver.Run();
        driver.Advance(TimeSpan.FromSeconds(61));
        Assert.Equal([("old", DateTimeOffset.UnixEpoch), ("k", start.AddSeconds(60))], driver.Outputs(alarms).Select(record => (record.Key, record.Timestamp)));
    }

    [Theory]
    [InlineData("21", -973932308)]
    [InlineData("foobar", -790332482)]
    [InlineData("a-little-bit-long-string", -985981536)]
    public void KeysAreHashedAsJavasProducerDoes(string key, int hash) => Assert.Equal(hash, Murmur2.Hash(Encoding.UTF8.GetBytes(key)));

    /// <summary>Rings as many seconds after 2024 as its value says.</summary>
    private sealed class AlarmLogic : StatefulLogic<string, string?, string, double>
    {
        private double _seconds;

        public override void Resume(double state) => _seconds = state;

        public override double Snapshot() => _seconds;

        public override DateTimeOffset? NotifyAt() => _seconds == 0 ? null
            : _seconds < 0 ? DateTimeOffset.MinValue
            : new DateTimeOffset(2024, 1, 1, 0, 0, 0, TimeSpan.Zero).AddSeconds(_seconds);

        public override StateAction OnItem(string? value, StatefulContext<string, string> context)
        {
            _seconds = double.Parse(value!, System.Globalization.CultureInfo.InvariantCulture);
            return StateAction.Retain;
        }

        public override StateAction OnNotify(StatefulContext<string, string> context)
        {
            _seconds = 0;
            context.Emit("ring");
            return StateAction.Retain;
        }
    }
}
