using KStreamSharp.Testing;
using KStreamSharp.Tests.Operators;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The calls a user writes: that this compiles without type arguments is half of the test.</summary>
public sealed class Inference : IDisposable
{
    private static readonly KeyedTopic<string, int> Numbers = Topic.Keyed<string, int>("numbers");
    private static readonly KeyedTopic<string, Order> Orders = Topic.Keyed<string, Order>("orders");
    private static readonly KeyedTopic<(int Shop, string Name), string?> Names = Topic.Keyed<(int Shop, string Name), string?>("names");
    private static readonly ValueTopic<string> Lines = Topic.Values<string>("lines");

    private readonly Dataflow _flow = new("inference");
    private readonly KeyedStream<string, int> _numbers;
    private readonly KeyedStream<string, Order> _orders;
    private readonly KeyedStream<(int Shop, string Name), string?> _names;
    private readonly Stream<string> _lines;
    private readonly List<(ValueTopic<string> Topic, string[] Values)> _expected = [];

    public Inference()
    {
        _numbers = _flow.Input("numbers", Numbers);
        _orders = _flow.Input("orders", Orders);
        _names = _flow.Input("names", Names);
        _lines = _flow.Input("lines", Lines);
    }

    /// <summary>What the test has declared runs: 1 and 2 under the key "k", then the end.</summary>
    public void Dispose()
    {
        if (_expected.Count == 0)
        {
            return;
        }

        using FlowDriver driver = new(_flow);
        driver.Push(Numbers, "k", 1);
        driver.Push(Numbers, "k", 2);
        driver.End();
        Assert.All(_expected, check => Assert.Equal(check.Values, driver.Outputs(check.Topic)));
    }

    [Fact]
    public void TheFlowOfTheReadme()
    {
        Dataflow flow = new("order-totals");
        KeyedStream<string, Order> orders = flow.Input("orders", Topic.Keyed("orders", Serde.Utf8, Serde.Json<Order>()));
        orders
            .StatefulMap("total", (ref decimal? total, Order order) =>
            {
                total = order.Closed ? null : (total ?? 0) + order.Amount;
                return total;
            })
            .Output("totals", Topic.Keyed("order-totals", Serde.Utf8, Serde.Json<decimal?>()));

        using FlowDriver driver = new(flow);
        driver.Push(Orders, "a", new Order(2.50m));
        driver.Push(Orders, "a", new Order(1m));
        driver.Push(Orders, "a", new Order(0m, Closed: true));
        driver.Run();
        Assert.Equal(
            [("a", 2.50m), ("a", 3.50m), ("a", null)], driver.Pairs(Topic.Keyed("order-totals", Serde.Utf8, Serde.Json<decimal?>())));
        Assert.False(driver.TryGetState<string, decimal>("total", "a", out _));
    }

    [Fact]
    public void StatefulFlatMapWithAnEmitter()
    {
        Check(_numbers.StatefulFlatMap("emit", (ref int? best, int number, Action<string> emit) =>
        {
            best = Math.Max(best ?? 0, number);
            emit($"best {best}");
            if (number == 2)
            {
                emit("two");
                best = null;
            }
        }), "best 1", "best 2", "two");
        Check(_numbers.StatefulFlatMap("emit-list", (ref List<int>? all, int number, Action<List<int>> emit) =>
        {
            all ??= [];
            all.Add(number);
            emit(all);
            all.Add(0);
            emit(all);
        }).MapValue("show-list", list => string.Join("+", list)), "1", "1+0", "1+0+2", "1+0+2+0");
    }

    [Fact]
    public void StatefulMapTakesValuesReferencesTuplesAndRecords()
    {
        Check(_numbers.StatefulMap("int", (ref int? total, int number) => total = (total ?? 0) + number), "1", "3");
        Check(_numbers.StatefulMap("int-value", (ref int? total, int number) => { total = (total ?? 0) + number; return total.Value; }), "1", "3");
        Check(_numbers.StatefulMap("string", (ref string? all, int number) => all += number), "1", "12");
        Check(_numbers.StatefulMap("list", (ref List<int>? all, int number) => { (all ??= []).Add(number); return all.Count; }), "1", "2");
        Check(_numbers.StatefulMap("tuple", (ref (int Count, long Sum)? all, int number) => { all = ((all?.Count ?? 0) + 1, (all?.Sum ?? 0) + number); return all.Value.Sum; }), "1", "3");
        Check(_numbers.StatefulMap("record", (ref Total? total, int number) => (total = new Total((total?.Count ?? 0) + 1)).Count), "1", "2");
        Check(_numbers.StatefulMap("struct", (ref Point? point, int number) => { point = new Point(number, point?.X ?? 0); return point.Value.Y; }), "0", "1");
        Check(_numbers.StatefulMap("dictionary", (ref Dictionary<int, string>? seen, int number) => (seen ??= [])[number] = $"{number}!"), "1!", "2!");
        Check(_numbers.StatefulMap("enum", (ref DayOfWeek? day, int number) => day = (DayOfWeek)number), "Monday", "Tuesday");
        Check(_numbers.StatefulMap("null-out", (ref int? last, int number) => { string? made = last is null ? null : $"{last}"; last = number; return made; }), "", "1");
        Check(_numbers.StatefulMap("method", (ref int? total, int number) => Running(ref total, number)), "1", "3");
        Check(_numbers.StatefulMap("serde", (ref long? total, int number) => total = (total ?? 0) + number, Serde.Json<long>()), "1", "3");
    }

    [Fact]
    public void StatefulFlatMapTakesArraysListsAndLazySequences()
    {
        Check(_numbers.StatefulFlatMap("array", (ref int? last, int number) => { int was = last ?? 0; last = number; return new[] { was, number }; }), "0", "1", "1", "2");
        Check(_numbers.StatefulFlatMap("list", (ref string? all, int number) => { all += number; return new List<string> { all }; }), "1", "12");
        Check(_numbers.StatefulFlatMap("lazy", (ref int? last, int number) => { last = number; return Enumerable.Repeat(number, number); }), "1", "2", "2");
    }

    [Fact]
    public void Finals()
    {
        Check(_numbers.FoldFinal("fold", () => 0L, (all, number) => all + number), "3");
        Check(_numbers.FoldFinal("fold-list", () => new List<int>(), (all, number) => { all.Add(number); return all; }).MapValue("size", all => all.Count), "2");
        Check(_numbers.FoldFinal("fold-tuple", () => (Count: 0, Sum: 0.0), (all, number) => (all.Count + 1, all.Sum + number)).MapValue("mean", all => all.Sum / all.Count), "1.5");
        Check(_numbers.ReduceFinal("reduce", (x, y) => x + y), "3");
        Check(_numbers.MaxFinal("max"), "2");
        Check(_numbers.MinFinal("min"), "1");
        Check(_numbers.MaxFinal("max-by", number => -number), "1");
        Check(_numbers.MinFinal("min-by", number => $"{number}"), "1");
        Check(_numbers.MaxFinal("max-compared", Comparer<int>.Create((x, y) => y.CompareTo(x))), "1");
        Check(_numbers.KeyRemove("values").CountFinal("count", number => "all"), "2");
        Check(_numbers.KeyRemove("values2").CountFinal("count-tuple", number => (number > 0, "all")), "2");
    }

    [Fact]
    public void CollectAndBatches()
    {
        Check(_numbers.Collect("collect", TimeSpan.FromSeconds(1), 2).MapValue("sum", all => all.Sum()), "3");
        Check(_numbers.Collect("first", TimeSpan.FromSeconds(1), 2, CollectTimeout.SinceFirstItem).FlatMapValue("each", all => all), "1", "2");
        Check(_numbers.KeyRemove("values").FlatMapBatch("batch", batch => new[] { batch.Sum() }), "3");
        Check(_numbers.KeyRemove("values2").FlatMapBatch("batch-lazy", batch => batch.Select(number => -number)), "-1", "-2");
    }

    [Fact]
    public void JoinsOfTwoThreeFourAndAnyNumber()
    {
        KeyedStream<string, string> texts = _numbers.MapValue("text", number => $"t{number}");
        KeyedStream<string, Total> totals = _numbers.MapValue("totals", number => new Total(number));
        KeyedStream<string, int?> nullable = _numbers.MapValue("nullable", number => (int?)null);

        Check(_numbers.Join("two", texts).MapValue("m2", row => row.Item1 + row.Item2), "1t1", "2t2");
        Check(_numbers.Join("three", texts, totals).MapValue("m3", row => $"{row.Item1}{row.Item2}{row.Item3.Count}"), "1t11", "2t22");
        Check(_numbers.Join("four", texts, totals, nullable).MapValue("m4", row => $"{row.Item1}{row.Item4}"), "1", "2");
        Check(_numbers.Join("any", [_numbers, _numbers, _numbers, _numbers]).MapValue("m5", row => row.Count), "5", "5");
        Check(_numbers.JoinFinal("final", texts, JoinInsert.First).MapValue("mf", row => $"{row.Item1.Value}{row.Item2.Value}"), "1t1");
        Check(_numbers.JoinFinal("final3", texts, nullable).MapValue("mf3", row => row.Item3.HasValue), "True");
        Check(_numbers.JoinFinal("final4", texts, totals, nullable).MapValue("mf4", row => row.Item3.Value!.Count), "2");
        Check(_numbers.JoinFinal("final-any", [_numbers]).MapValue("mfa", row => row[1].Value), "2");
        Check(_numbers.JoinRunning("running", texts).MapValue("mr", row => $"{row.Item1}{row.Item2}"), "-t1", "1t1", "1t2", "2t2");
        Check(_numbers.JoinRunning("running3", texts, totals, JoinInsert.Last).MapValue("mr3", row => row.Item3.HasValue), "False", "True", "True", "True", "True", "True");
        Check(_numbers.JoinRunning("running4", texts, totals, nullable).MapValue("mr4", row => row.Item1.Value), "0", "0", "0", "1", "1", "1", "1", "2");
        Check(_numbers.JoinRunning("running-any", []).MapValue("mra", row => row[0].Value), "1", "2");
    }

    [Fact]
    public void LogicsOfOnesOwn()
    {
        Check(_numbers.Stateful("stateful", () => new SumLogic()), "1", "3");
        Check(_numbers.Stateful("generic", () => new LastLogic<string, int>()), "0", "1");
        Check(_numbers.StatefulBatch("batch", () => new BatchSumLogic()), "3");
        Check(_numbers.Stateful("serde", () => new SumLogic(), Serde.Json<int>()), "1", "3");
    }

    [Fact]
    public void BranchMergeAndKeys()
    {
        (KeyedStream<string, int> odd, KeyedStream<string, int> even) = _numbers.Branch("odd", (_, number) => number % 2 == 1);
        (Stream<string> empty, Stream<string> full) = _lines.Branch("empty", line => line.Length == 0);
        Check(odd.Merge("both", even), "1", "2");
        Check(odd.Merge("three", even, _numbers).FilterValue("big", number => number > 1), "2", "2");
        empty.Merge("lines-again", full, _lines).Raises("no-line");
        Check(_numbers.KeyOn("parity", (_, number) => number % 2 == 0).MapValue("plus", number => number + 1), "2", "3");
        Check(_numbers.KeyRemove("values").KeyOn("tuple", number => (number, "x")).StatefulMap("per-tuple", (ref int? count, int number) => count = (count ?? 0) + 1), "1", "1");
        Check(_orders.KeyOn("closed", (_, order) => order.Closed).MapValue("amount", order => order.Amount));
        Check(_names.StatefulMap("name", (ref string? last, string? name) => last = name ?? "none"));
        Check(_names.KeyOn("shop", (key, _) => key.Shop).MapValue("length", name => name?.Length));
    }

    [Fact]
    public void MapsAndFilters()
    {
        Check(_numbers.Map("pair", (key, number) => (key, number)), "(k, 1)", "(k, 2)");
        Check(_numbers.FilterMap("class", (key, number) => number > 1 ? key : null), "k");
        Check(_numbers.FilterMap("struct", (_, number) => number > 1 ? number : (int?)null), "2");
        Check(_numbers.FilterMapValue("value-class", number => number > 1 ? "x" : null), "x");
        Check(_numbers.FilterMapValue("value-struct", number => number > 1 ? 1.5 : (double?)null), "1.5");
        Check(_numbers.Filter("filter", (key, number) => key == "k" && number > 1), "2");
        Check(_numbers.FlatMap("flat", (key, number) => Enumerable.Repeat(key, number)), "k", "k", "k");
        Check(_numbers.Inspect("see", (_, _, _) => { }).KeyRemove("seen").Inspect("see-more", (_, _) => { }), "1", "2");
        Check(_numbers.KeyRemove("v").Map("list", number => new List<int> { number }).Flatten("f1"), "1", "2");
        Check(_numbers.KeyRemove("w").Map("array", number => new[] { number, number }).Flatten("f2"), "1", "1", "2", "2");
        Check(_numbers.Collect("lists", TimeSpan.FromSeconds(1), 2).KeyRemove("x").Flatten("f3"), "1", "2");
        Check(_numbers.KeyRemove("y").Map("lazy", number => Enumerable.Range(0, number)).Flatten("f4"), "0", "0", "1");
        Check(_numbers.KeyRemove("z").Redistribute("spread").Filter("all", _ => true), "1", "2");
    }

    [Fact]
    public void EnrichCachedInfersByTheTypeOfTheCache()
    {
        Check(_numbers.KeyRemove("a").EnrichCached("typed", (int number) => $"n{number}", (LookupCache<int, string> cache, int number) => cache.Get(number)), "n1", "n2");
        Check(_numbers.KeyRemove("b").EnrichCached<int, string, int>("named", number => $"n{number}", (cache, number) => cache.Get(number).Length, TimeSpan.FromMinutes(1)), "2", "2");
    }

    private static int Running(ref int? total, int number)
    {
        total = (total ?? 0) + number;
        return total.Value;
    }

    private void Check<TKey, TValue>(KeyedStream<TKey, TValue> stream, params string[] expected) => Check(stream.Map($"values-{_expected.Count}", (_, value) => value), expected);

    private void Check<T>(Stream<T> stream, params string[] expected)
    {
        int number = _expected.Count;
        ValueTopic<string> topic = Topic.Values<string>($"out-{number}");
        stream.Map($"text-{number}", item => $"{item}").Output($"out-{number}", topic);
        _expected.Add((topic, expected));
    }

    private sealed record Order(decimal Amount, bool Closed = false);

    private sealed record Total(int Count);

    private readonly record struct Point(int X, int Y);

    private sealed class SumLogic : StatefulLogic<string, int, int, int>
    {
        private int _sum;

        public override void Resume(int state) => _sum = state;

        public override int Snapshot() => _sum;

        public override StateAction OnItem(int value, StatefulContext<string, int> context)
        {
            context.Emit(_sum += value);
            return StateAction.Retain;
        }
    }

    private sealed class LastLogic<TKey, TValue> : StatefulLogic<TKey, TValue, TValue?, TValue?>
    {
        private TValue? _last;

        public override void Resume(TValue? state) => _last = state;

        public override TValue? Snapshot() => _last;

        public override StateAction OnItem(TValue value, StatefulContext<TKey, TValue?> context)
        {
            context.Emit(_last);
            _last = value;
            return StateAction.Retain;
        }
    }

    private sealed class BatchSumLogic : StatefulBatchLogic<string, int, int, int>
    {
        private int _sum;

        public override void Resume(int state) => _sum = state;

        public override int Snapshot() => _sum;

        public override StateAction OnBatch(IReadOnlyList<int> values, StatefulContext<string, int> context)
        {
            context.Emit(_sum += values.Sum());
            return StateAction.Retain;
        }
    }
}
