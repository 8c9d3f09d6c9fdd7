using System.Collections;
using System.Globalization;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>
/// The examples of the operators' documentation, compiled and run: the lines between "example NAME" and "end" are the very
/// lines of the XML documentation of the operator NAME, which <see cref="DocExampleTexts"/> holds.
/// </summary>
public class DocExamples
{
    private readonly Dataflow _flow = new("doc");
    private readonly Stream<string> _lines;
    private readonly KeyedStream<string, int> _temps;
    private readonly KeyedStream<string, string> _names;

    public DocExamples()
    {
        _lines = _flow.Input("lines", Topic.Values<string>("lines"));
        _temps = _flow.Input("temps", Topic.Keyed<string, int>("temps"));
        _names = _flow.Input("names", Topic.Keyed<string, string>("names"));
    }

    [Fact]
    public void Input()
    {
        Dataflow flow = new("other");

        // example Input
        KeyedStream<string, int> temps = flow.Input("temps", Topic.Keyed<string, int>("temps"));
        Stream<string> lines = flow.Input("lines", Topic.Values<string>("lines"), new InputOptions { BadRecords = BadRecords.Skip });
        Stream<Record<string, byte[]>> records = flow.Input("records", Topic.Records<string, byte[]>("records"));

        // end
        lines.Output("a", Topic.Values<string>("a"));
        temps.Output("b", Topic.Keyed<string, int>("b"));
        records.Output("c", Topic.Records<string, byte[]>("c"));
        using FlowDriver driver = new(flow);
        driver.Push(Topic.Values<string>("lines"), "hello");
        driver.Push(Topic.Keyed<string, int>("temps"), "oslo", 3);
        driver.PushBytes("records", null, [1, 2]);
        driver.Run();
        Assert.Equal("hello", Assert.Single(driver.Outputs(Topic.Values<string>("a"))));
        Assert.Equal(3, Assert.Single(driver.Outputs(Topic.Keyed<string, int>("b"))).Value);
        Assert.Equal([1, 2], Assert.Single(driver.Outputs(Topic.Records<string, byte[]>("c"))).Value);
    }

    [Fact]
    public void Output()
    {
        KeyedStream<string, int> temps = _temps;

        // example Output
        temps.Output("totals", Topic.Keyed<string, int>("totals"));

        // end
        using FlowDriver driver = new(_flow);
        driver.Push(Topic.Keyed<string, int>("temps"), "oslo", 3);
        driver.Run();
        Assert.Equal(("oslo", 3), Assert.Single(driver.Pairs(Topic.Keyed<string, int>("totals"))));
    }

    [Fact]
    public void Map()
    {
        Stream<string> lines = _lines;

        // example Map
        Stream<int> lengths = lines.Map("length", line => line.Length);

        // end
        Assert.Equal(["5", "2"], Run(lengths, "lines:hello", "lines:hi"));
    }

    [Fact]
    public void MapValue()
    {
        KeyedStream<string, int> temps = _temps;

        // example MapValue
        KeyedStream<string, double> fahrenheit = temps.MapValue("fahrenheit", celsius => (celsius * 1.8) + 32);

        // end
        Assert.Equal(["oslo=50"], Run(fahrenheit, "temps:oslo=10"));
    }

    [Fact]
    public void FlatMap()
    {
        Stream<string> lines = _lines;

        // example FlatMap
        Stream<string> words = lines.FlatMap("words", line => line.Split(' '));

        // end
        Assert.Equal(["to", "be", "or"], Run(words, "lines:to be", "lines:or"));
    }

    [Fact]
    public void FlatMapValue()
    {
        KeyedStream<string, string> names = _names;

        // example FlatMapValue
        KeyedStream<string, string> words = names.FlatMapValue("words", name => name.Split(' '));

        // end
        Assert.Equal(["ny=New", "ny=York"], Run(words, "names:ny=New York"));
    }

    [Fact]
    public void FlatMapBatch()
    {
        Stream<string> lines = _lines;

        // example FlatMapBatch
        Stream<string> prices = lines.FlatMapBatch("prices", batch => batch.Distinct().Select(item => $"{item}: 1.00")); // one look-up for many

        // end
        Assert.Equal(["tea: 1.00", "milk: 1.00"], Run(prices, "lines:tea", "lines:milk", "lines:tea"));
    }

    [Fact]
    public void Flatten()
    {
        Stream<string> lines = _lines;

        // example Flatten
        Stream<string[]> rows = lines.Map("row", line => line.Split(','));
        Stream<string> cells = rows.Flatten("cells");

        // end
        Assert.Equal(["a", "b", "c"], Run(cells, "lines:a,b", "lines:c"));
    }

    [Fact]
    public void Filter()
    {
        Stream<string> lines = _lines;

        // example Filter
        Stream<string> comments = lines.Filter("comments", line => line.StartsWith('#'));

        // end
        Assert.Equal(["#a"], Run(comments, "lines:#a", "lines:b"));
    }

    [Fact]
    public void FilterValue()
    {
        KeyedStream<string, int> temps = _temps;

        // example FilterValue
        KeyedStream<string, int> frost = temps.FilterValue("frost", celsius => celsius < 0);

        // end
        Assert.Equal(["oslo=-3"], Run(frost, "temps:oslo=-3", "temps:rome=12"));
    }

    [Fact]
    public void FilterMap()
    {
        Stream<string> lines = _lines;

        // example FilterMap
        Stream<int> numbers = lines.FilterMap("numbers", line => int.TryParse(line, out int number) ? number : (int?)null);

        // end
        Assert.Equal(["1", "0"], Run(numbers, "lines:1", "lines:one", "lines:0"));
    }

    [Fact]
    public void FilterMapValue()
    {
        KeyedStream<string, string> names = _names;

        // example FilterMapValue
        KeyedStream<string, string> initials = names.FilterMapValue("initial", name => name.Length == 0 ? null : name[..1]);

        // end
        Assert.Equal(["oslo=O"], Run(initials, "names:oslo=Oslo", "names:none="));
    }

    [Fact]
    public void Branch()
    {
        Stream<string> lines = _lines;

        // example Branch
        (Stream<string> errors, Stream<string> rest) = lines.Branch("errors", line => line.StartsWith("error", StringComparison.Ordinal));

        // end
        Assert.Equal(["!error 1", "ok"], Run(errors.Map("mark", line => "!" + line).Merge("both", rest), "lines:error 1", "lines:ok"));
    }

    [Fact]
    public void Merge()
    {
        Stream<string> lines = _lines;
        Stream<string> more = _names.KeyRemove("names-only");

        // example Merge
        Stream<string> all = lines.Merge("all", more);

        // end
        Assert.Equal(["a", "b"], Run(all, "lines:a", "names:x=b").Order());
    }

    [Fact]
    public void KeyOn()
    {
        Stream<string> lines = _lines;

        // example KeyOn
        KeyedStream<char, string> byInitial = lines.KeyOn("initial", line => line[0]);

        // end
        Assert.Equal(["h=hello", "w=world"], Run(byInitial, "lines:hello", "lines:world"));
    }

    [Fact]
    public void KeyRemove()
    {
        KeyedStream<string, int> temps = _temps;

        // example KeyRemove
        Stream<int> values = temps.KeyRemove("values");

        // end
        Assert.Equal(["3"], Run(values, "temps:oslo=3"));
    }

    [Fact]
    public void Redistribute()
    {
        Stream<string> lines = _lines;

        // example Redistribute
        Stream<int> lengths = lines.Redistribute("spread").Map("costly", line => line.Length);

        // end
        Assert.Equal(["1", "2"], Run(lengths, "lines:a", "lines:bb"));
    }

    [Fact]
    public void Repartition()
    {
        KeyedStream<string, int> temps = _temps;
        KeyedStream<string, string> names = _names;

        // example Repartition
        KeyedStream<string, (int, string)> rows = temps.Repartition("by-hash").Join("rows", names.Repartition("names-by-hash"));

        // end
        Assert.Equal(["oslo=(3, Oslo)"], Run(rows, "temps:oslo=3", "names:oslo=Oslo"));
    }

    [Fact]
    public void Inspect()
    {
        Stream<string> lines = _lines;
        List<string> seen = [];

        // example Inspect
        Stream<string> same = lines.Inspect("seen", (step, line) => seen.Add($"{step}: {line}"));

        // end
        Assert.Equal(["a"], Run(same, "lines:a"));
        Assert.Equal(["doc.seen: a"], seen);
    }

    [Fact]
    public void Raises()
    {
        Stream<string> lines = _lines;

        // example Raises
        lines.Filter("empty", line => line.Length == 0).Raises("no-empty-lines");

        // end
        Assert.Equal(["a"], Run(lines, "lines:a"));
    }

    [Fact]
    public void EnrichCached()
    {
        Stream<string> lines = _lines;
        Func<string, string> lookUp = code => code.ToUpperInvariant();

        // example EnrichCached
        Stream<string> enriched = lines.EnrichCached<string, string, string>(
            "country", code => lookUp(code), (cache, code) => $"{code} {cache.Get(code)}", TimeSpan.FromHours(1));

        // end
        Assert.Equal(["no NO"], Run(enriched, "lines:no"));
    }

    [Fact]
    public void StatefulMap()
    {
        KeyedStream<string, int> temps = _temps;

        // example StatefulMap
        KeyedStream<string, int> change = temps.StatefulMap("change", (ref int? last, int celsius) =>
        {
            int difference = celsius - (last ?? celsius);
            last = celsius; // null would forget the key
            return difference;
        });

        // end
        Assert.Equal(["oslo=0", "oslo=4"], Run(change, "temps:oslo=1", "temps:oslo=5"));
    }

    [Fact]
    public void StatefulFlatMap()
    {
        KeyedStream<string, int> temps = _temps;

        // example StatefulFlatMap
        KeyedStream<string, string> records = temps.StatefulFlatMap("records", (ref int? best, int celsius) =>
        {
            bool isRecord = best is null || celsius > best;
            best = Math.Max(best ?? celsius, celsius);
            return isRecord ? [$"new record: {celsius}"] : Array.Empty<string>();
        });

        // end
        Assert.Equal(["oslo=new record: 1", "oslo=new record: 5"], Run(records, "temps:oslo=1", "temps:oslo=0", "temps:oslo=5"));
    }

    [Fact]
    public void ReduceFinal()
    {
        KeyedStream<string, string> names = _names;

        // example ReduceFinal
        KeyedStream<string, string> longest = names.ReduceFinal("longest", (best, name) => name.Length > best.Length ? name : best);

        // end
        Assert.Equal(["a=four"], Run(longest, "names:a=one", "names:a=four", "names:a=two"));
    }

    [Fact]
    public void FoldFinal()
    {
        KeyedStream<string, int> temps = _temps;

        // example FoldFinal
        KeyedStream<string, double> mean = temps
            .FoldFinal("mean", () => (Sum: 0, Count: 0), (all, celsius) => (all.Sum + celsius, all.Count + 1))
            .MapValue("divide", all => (double)all.Sum / all.Count);

        // end
        Assert.Equal(["oslo=2.5"], Run(mean, "temps:oslo=2", "temps:oslo=3"));
    }

    [Fact]
    public void CountFinal()
    {
        Stream<string> lines = _lines;

        // example CountFinal
        KeyedStream<string, long> counts = lines.FlatMap("words", line => line.Split(' ')).CountFinal("count", word => word);

        // end
        Assert.Equal(["a=2", "b=1"], Run(counts, "lines:a b", "lines:a"));
    }

    [Fact]
    public void MaxFinal()
    {
        KeyedStream<string, string> names = _names;

        // example MaxFinal
        KeyedStream<string, string> longest = names.MaxFinal("longest", name => name.Length);

        // end
        Assert.Equal(["a=four"], Run(longest, "names:a=one", "names:a=four", "names:a=five"));
    }

    [Fact]
    public void MinFinal()
    {
        KeyedStream<string, int> temps = _temps;

        // example MinFinal
        KeyedStream<string, int> coldest = temps.MinFinal("coldest");

        // end
        Assert.Equal(["oslo=-4"], Run(coldest, "temps:oslo=1", "temps:oslo=-4"));
    }

    [Fact]
    public void Collect()
    {
        KeyedStream<string, int> temps = _temps;

        // example Collect
        KeyedStream<string, IReadOnlyList<int>> batches = temps.Collect("batches", timeout: TimeSpan.FromSeconds(10), maxSize: 2);

        // end
        Assert.Equal(["oslo=[1, 2]", "oslo=[3]"], Run(batches, "temps:oslo=1", "temps:oslo=2", "temps:oslo=3"));
    }

    [Fact]
    public void Join()
    {
        KeyedStream<string, int> temps = _temps;
        KeyedStream<string, string> names = _names;

        // example Join
        KeyedStream<string, (int Celsius, string Name)> rows = temps.Join("rows", names);

        // end
        Assert.Equal(["oslo=(2, Oslo)"], Run(rows, "temps:oslo=1", "temps:oslo=2", "names:oslo=Oslo", "temps:oslo=3"));
    }

    [Fact]
    public void JoinFinal()
    {
        KeyedStream<string, int> temps = _temps;
        KeyedStream<string, string> names = _names;

        // example JoinFinal
        KeyedStream<string, (Side<int> Celsius, Side<string> Name)> rows = temps.JoinFinal("rows", names);

        // end
        Assert.Equal(["oslo=(2, Oslo)", "rome=(9, -)"], Run(rows, "temps:oslo=1", "temps:oslo=2", "names:oslo=Oslo", "temps:rome=9"));
    }

    [Fact]
    public void JoinRunning()
    {
        KeyedStream<string, int> temps = _temps;
        KeyedStream<string, string> names = _names;

        // example JoinRunning
        KeyedStream<string, (Side<int> Celsius, Side<string> Name)> rows = temps.JoinRunning("rows", names);

        // end
        Assert.Equal(["oslo=(1, -)", "oslo=(1, Oslo)"], Run(rows, "temps:oslo=1", "names:oslo=Oslo"));
    }

    [Fact]
    public void Stateful()
    {
        KeyedStream<string, int> temps = _temps;

        // example Stateful
        KeyedStream<string, string> silent = temps.Stateful("silent", () => new Silence());

        // end
        _wait = TimeSpan.FromHours(1);
        Assert.Equal(["oslo=silent since 00:00"], Run(silent, "temps:oslo=1", "temps:oslo=2"));
    }

    [Fact]
    public void StatefulBatch()
    {
        KeyedStream<string, int> temps = _temps;

        // example StatefulBatch
        KeyedStream<string, int> totals = temps.StatefulBatch("totals", () => new Total());

        // end
        Assert.Equal(["oslo=3"], Run(totals, "temps:oslo=1", "temps:oslo=2"));
    }

    // example Stateful
    private sealed class Silence : StatefulLogic<string, int, string, DateTimeOffset>
    {
        private DateTimeOffset _last;

        public override void Resume(DateTimeOffset state) => _last = state;

        public override DateTimeOffset Snapshot() => _last;

        public override DateTimeOffset? NotifyAt() => _last.AddHours(1);

        public override StateAction OnItem(int value, StatefulContext<string, string> context)
        {
            _last = context.Now;
            return StateAction.Retain;
        }

        public override StateAction OnNotify(StatefulContext<string, string> context)
        {
            context.Emit($"silent since {_last:HH:mm}");
            return StateAction.Discard;
        }
    }

    // end

    // example StatefulBatch
    private sealed class Total : StatefulBatchLogic<string, int, int, int>
    {
        private int _sum;

        public override void Resume(int state) => _sum = state;

        public override int Snapshot() => _sum;

        public override StateAction OnBatch(IReadOnlyList<int> values, StatefulContext<string, int> context)
        {
            _sum += values.Sum();
            context.Emit(_sum);
            return StateAction.Retain;
        }
    }

    // end

    private TimeSpan _wait;

    private string[] Run<TKey, TValue>(KeyedStream<TKey, TValue> stream, params string[] records) =>
        Run(stream.Map("pair", (key, value) => $"{key}={Show(value)}"), records);

    private string[] Run<T>(Stream<T> stream, params string[] records)
    {
        ValueTopic<string> output = Topic.Values<string>("shown");
        stream.Map("show", item => Show(item)).Output("shown", output);
        using FlowDriver driver = new(_flow);
        foreach (string record in records)
        {
            string[] parts = record.Split(':', 2);
            string[] pair = parts[1].Split('=', 2);
            driver.AdvanceQuietly(TimeSpan.FromMilliseconds(1));
            switch (parts[0])
            {
                case "lines":
                    driver.Push(Topic.Values<string>("lines"), parts[1]);
                    break;
                case "temps":
                    driver.Push(Topic.Keyed<string, int>("temps"), pair[0], int.Parse(pair[1], CultureInfo.InvariantCulture));
                    break;
                default:
                    driver.Push(Topic.Keyed<string, string>("names"), pair[0], pair[1]);
                    break;
            }
        }

        driver.Run();
        driver.Advance(_wait);
        driver.End();
        return [.. driver.Outputs(output)];
    }

    private static string Show(object? item) => item is IEnumerable list and not string ? $"[{string.Join(", ", list.Cast<object>())}]" : $"{item}";
}
