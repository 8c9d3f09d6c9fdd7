using System.Globalization;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Every family of operators on Kafka: one flow object puts out there what it puts out on the embedded broker.</summary>
[Needs<KafkaCluster>]
public sealed class OperatorsOnKafkaTests(KafkaCluster cluster, ITestOutputHelper output) : IDisposable
{
    private const long Start = 1_700_000_000_000;

    private readonly BothBrokers _brokers = new(cluster.Address, output) { Untimed = ["lines"] };

    public void Dispose() => _brokers.Dispose();

    [Fact]
    public async Task StatelessStepsBranchesAndMerges()
    {
        Dataflow flow = _brokers.NewFlow();
        KeyedStream<string, string?> all = flow.Input("in", _brokers.Texts("in"));
        (KeyedStream<string, string?> long_, KeyedStream<string, string?> short_) = all.Filter("some", (key, _) => key != "k0").Branch("length", (_, value) => value!.Length > 2);
        KeyedStream<string, string?> twice = long_.MapValue("upper", value => value!.ToUpperInvariant()).FlatMapValue("twice", value => (string?[])[value, value + "!"]);
        KeyedStream<string, string?> odd = short_.FilterMapValue("odd", value => value![^1] % 2 == 1 ? value : null).FilterValue("not-v3", value => value != "v3").MapValue("text", value => (string?)value);
        twice.Merge("both", odd).Inspect("see", (_, _, _) => { }).Output("out", _brokers.Texts("out"));
        all.Map("line", (key, value) => $"{key}={value}")
            .FlatMap("chars", line => line.Split('='))
            .FlatMapBatch("batch", parts => parts.Where(part => part.StartsWith('v')))
            .Redistribute("spread")
            .EnrichCached("enrich", (string part) => part.Length, (lengths, part) => $"{part}:{lengths.Get(part)}")
            .Output("lines", _brokers.Values("lines"));

        Dictionary<string, Row[]> rows = await _brokers.Run(flow, [("in", Numbered(60, 4))]);

        Assert.Equal(
            [.. Numbered(60, 4).Where(row => row.Key == "k1").SelectMany(row => row.Value!.Length > 2 ? [row.Value.ToUpperInvariant(), $"{row.Value.ToUpperInvariant()}!"] : Odd(row.Value))],
            rows["out"].Where(row => row.Key == "k1").Select(row => row.Value!));
        Assert.DoesNotContain(rows["out"], row => row.Key == "k0");
        Assert.Equal(60, rows["lines"].Length);
        Assert.All(rows["lines"], row => Assert.Null(row.Key));

        static string[] Odd(string value) => value[^1] % 2 == 1 && value != "v3" ? [value] : [];
    }

    [Fact]
    public async Task StatefulStepsBeforeAndBehindARepartition()
    {
        Dataflow flow = _brokers.NewFlow();
        flow.Input("in", _brokers.Texts("in"))
            .StatefulMap("count", (ref int? count, string? value) => $"{value}#{count = (count ?? 0) + 1}")
            .KeyOn("mirror", (key, _) => $"mirror of {key}")
            .StatefulFlatMap("steps", (ref string? last, string value) =>
            {
                (string? before, last) = (last, value);
                return before is null ? [value] : (string[])[$"{before}>{value}", $"after {before}"];
            })
            .MapValue("text", text => (string?)text)
            .Output("out", _brokers.Texts("out"));

        Dictionary<string, Row[]> rows = await _brokers.Run(flow, [("in", Numbered(90, 5))], [("in", Numbered(15, 5))]);

        // The second run has an empty folder: the counts and the last values come from the changelog.
        Row[] first = [.. rows["out"].Where(row => row.Key == "mirror of k0")];
        Assert.Equal(["v0#1", "v0#1>v5#2", "after v0#1"], first.Take(3).Select(row => row.Value!));
        Assert.Equal(["v85#18>v0#19", "after v85#18", "v0#19>v5#20", "after v0#19", "v5#20>v10#21", "after v5#20"], first[^6..].Select(row => row.Value!));
        Assert.Equal(5 * ((2 * 21) - 1), rows["out"].Length);
    }

    [Fact]
    public async Task FinalsAndLists()
    {
        Dataflow flow = _brokers.NewFlow();
        KeyedStream<string, int> numbers = flow.Input("in", _brokers.Texts("in")).MapValue("number", value => int.Parse(value.AsSpan(1), CultureInfo.InvariantCulture));
        numbers.FoldFinal("fold", () => 0, (sum, number) => sum + number).MapValue("fold-text", Text).Output("fold-out", _brokers.Texts("fold"));
        numbers.ReduceFinal("reduce", (one, other) => (one * 31 % 10_007) + other).MapValue("reduce-text", Text).Output("reduce-out", _brokers.Texts("reduce"));
        numbers.MaxFinal("max").MapValue("max-text", Text).Output("max-out", _brokers.Texts("max"));
        numbers.MinFinal("min", number => -number).MapValue("min-text", Text).Output("min-out", _brokers.Texts("min"));
        numbers.Map("parity", (_, number) => number % 2 == 0 ? "even" : "odd").CountFinal("count", parity => parity).MapValue("count-text", count => (string?)$"{count}").Output("count-out", _brokers.Texts("count"));
        numbers.Collect("lists", TimeSpan.FromHours(1), maxSize: 4).MapValue("list-text", list => (string?)string.Join('+', list)).Output("lists-out", _brokers.Texts("lists"));

        Dictionary<string, Row[]> rows = await _brokers.Run(flow, [("in", Numbered(50, 5))]);

        Assert.Equal(["225", "235", "245", "255", "265"], rows["fold"].Select(row => row.Value!));
        Assert.Equal(["45", "46", "47", "48", "49"], rows["max"].Select(row => row.Value!));
        Assert.Equal(rows["max"].Select(row => row.Value), rows["min"].Select(row => row.Value));
        Assert.Equal([("even", "25"), ("odd", "25")], rows["count"].Select(row => (row.Key!, row.Value!)));
        Assert.Equal(["0+5+10+15", "20+25+30+35", "40+45"], rows["lists"].Where(row => row.Key == "k0").Select(row => row.Value!));
        Assert.Equal(Start + 45, rows["fold"][0].Timestamp);

        static string? Text(int number) => $"{number}";
    }

    [Fact]
    public async Task JoinsOfTwoTopicsOverSeveralRuns()
    {
        Dataflow flow = _brokers.NewFlow();
        KeyedStream<string, string?> left = flow.Input("left", _brokers.Texts("left"));
        KeyedStream<string, string?> right = flow.Input("right", _brokers.Texts("right"));
        left.Join("complete", right).MapValue("complete-text", pair => (string?)$"{pair.Item1} {pair.Item2}").Output("complete-out", _brokers.Texts("complete"));
        left.JoinRunning("running", right).MapValue("running-text", Sides).Output("running-out", _brokers.Texts("running"));
        left.JoinFinal("final", right, JoinInsert.Product).MapValue("final-text", Sides).Output("final-out", _brokers.Texts("final"));

        // One side at a time: which of two topics is read first is nobody's promise.
        Dictionary<string, Row[]> rows = await _brokers.Run(
            flow, [("left", [new("a", "a1", Start), new("a", "a2", Start + 1), new("b", "b1", Start + 2)])], [("right", [new("a", "A1", Start + 3), new("c", "C1", Start + 4)])]);

        Assert.Equal([("a", "a2 A1")], rows["complete"].Select(row => (row.Key!, row.Value!)));
        Assert.Equal([("a", "a1 -"), ("a", "a2 -"), ("a", "a2 A1"), ("b", "b1 -"), ("c", "- C1")], rows["running"].Select(row => (row.Key!, row.Value!)));
        Assert.Equal(Start + 3, rows["complete"][0].Timestamp);
        Assert.Contains(rows["final"], row => row is { Key: "b", Value: "b1 -" });

        static string? Sides((Side<string?> Left, Side<string?> Right) sides) =>
            $"{(sides.Left.HasValue ? sides.Left.Value : "-")} {(sides.Right.HasValue ? sides.Right.Value : "-")}";
    }

    [Fact]
    public async Task LogicsThatSumUpAndSayTheTotalAtTheEnd()
    {
        Dataflow flow = _brokers.NewFlow();
        KeyedStream<string, int> lengths = flow.Input("in", _brokers.Texts("in")).MapValue("length", value => value!.Length);
        lengths.Stateful("items", () => new SumOfItems()).Output("items-out", _brokers.Texts("items"));
        lengths.StatefulBatch("batches", () => new SumOfBatches()).Output("batches-out", _brokers.Texts("batches"));

        Dictionary<string, Row[]> rows = await _brokers.Run(flow, [("in", Numbered(40, 4))], [("in", Numbered(40, 4))]);

        // Discarded at the end of the first run: the second begins anew.
        Assert.Equal(["2", "4", "6", "9", "12", "15", "18", "21", "24", "27", "end 27"], rows["items"].Where(row => row.Key == "k0").Take(11).Select(row => row.Value!));
        Assert.Equal(rows["items"].Where(row => row.Value!.StartsWith("end", StringComparison.Ordinal)), rows["batches"]);
    }

    [Fact]
    public async Task HeadersTimestampsAndNullsTravel()
    {
        Dataflow flow = _brokers.NewFlow();
        flow.Input("in", _brokers.Texts("in"))
            .KeyOn("same", (key, _) => key)
            .StatefulMap("keep", (ref int? count, string? value) =>
            {
                count = (count ?? 0) + 1;
                return value;
            })
            .Output("out", _brokers.Texts("out"));
        flow.Input("records", _brokers.Records("records"))
            .Map("mark", record => record with { Timestamp = record.Timestamp.AddMinutes(1), Headers = record.Headers.With("seen", "yes") })
            .Output("records-out", _brokers.Records("records-out"));
        Row[] keyed = [new("a", "1", Start, "one=1 two empty="), new("a", null, 1), new("a", "", Start + 5), new("ü", "ä", Start + 1, "one=1 one=2"), new("ü", null, Start, "x")];
        Row[] records = [new(null, "no key", Start), new(null, null, Start + 1, "h=v"), new("", "", Start + 2), new("k", null, Start + 3)];

        Dictionary<string, Row[]> rows = await _brokers.Run(flow, [("in", keyed), ("records", records)]);

        Assert.Equal(keyed, rows["out"]);
        Assert.Equal(
            records.Select(row => row with { Timestamp = row.Timestamp + 60_000, Headers = $"{row.Headers} seen=yes".TrimStart() }).OrderBy(row => row.Timestamp),
            rows["records-out"].OrderBy(row => row.Timestamp));
    }

    /// <summary>Values v0, v1, ... of keys k0, k1, ... in turn.</summary>
    private static Row[] Numbered(int records, int keys) => [.. Enumerable.Range(0, records).Select(i => new Row($"k{i % keys}", $"v{i}", Start + i))];

    private sealed class SumOfItems : StatefulLogic<string, int, string?, int>
    {
        private int _sum;

        public override int Snapshot() => _sum;

        public override void Resume(int state) => _sum = state;

        public override StateAction OnItem(int value, StatefulContext<string, string?> context)
        {
            context.Emit($"{_sum += value}");
            return StateAction.Retain;
        }

        public override StateAction OnEof(StatefulContext<string, string?> context)
        {
            context.Emit($"end {_sum}");
            return StateAction.Discard;
        }
    }

    private sealed class SumOfBatches : StatefulBatchLogic<string, int, string?, int>
    {
        private int _sum;

        public override int Snapshot() => _sum;

        public override void Resume(int state) => _sum = state;

        public override StateAction OnBatch(IReadOnlyList<int> values, StatefulContext<string, string?> context)
        {
            foreach (int value in values)
            {
                // Where a batch ends is nobody's promise, and its timestamp the largest in it: only the total is the same.
                _sum += value;
            }

            return StateAction.Retain;
        }

        public override StateAction OnEof(StatefulContext<string, string?> context)
        {
            context.Emit($"end {_sum}");
            return StateAction.Discard;
        }
    }
}
