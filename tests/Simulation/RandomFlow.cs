using KStreamSharp.Testing;

namespace KStreamSharp.Tests.Simulations;

/// <summary>
/// A flow drawn from a seed: some operators without state, then some branches with every kind of state; and the plain
/// computation that its outputs must equal.
/// </summary>
internal sealed class RandomFlow
{
    private static readonly KeyedTopic<string, int> Entries = Topic.Keyed<string, int>("entries");

    private readonly List<Func<int, IEnumerable<int>>> _chain = [];
    private readonly List<Action<Dictionary<string, int[]>, SimulationTopics>> _checks = [];
    private readonly KeyedStream<string, int> _entries;

    public RandomFlow(int seed)
    {
        Random random = new(seed);
        Flow = new Dataflow("random");
        _entries = Flow.Input("entries", Entries);
        for (int i = random.Next(4); i > 0; i--)
        {
            _entries = AddStateless($"stateless-{i}", random.Next(4));
        }

        Action[] branches = [AddCount, AddForget, AddCollect, AddSums, AddTotals, AddReduce, AddTwoHops, AddMerge];
        int first = random.Next(branches.Length);
        for (int i = 0; i < branches.Length; i++)
        {
            if (i == first || random.Next(2) == 0)
            {
                branches[i]();
            }
        }
    }

    public Dataflow Flow { get; }

    public static void Push(Random random, SimulationTopics topics) =>
        topics.Push(Entries, $"{(char)('a' + random.Next(4))}{random.Next(4)}", topics.Pushed);

    public void Check(SimulationTopics topics)
    {
        Dictionary<string, int[]> model = topics.Records(Entries)
            .GroupBy(record => record.Key, record => record.Value)
            .Select(group => (group.Key, Values: _chain.Aggregate(group.AsEnumerable(), (values, step) => values.SelectMany(step)).ToArray()))
            .Where(group => group.Values.Length > 0)
            .ToDictionary(group => group.Key, group => group.Values);
        _checks.ForEach(check => check(model, topics));
    }

    private KeyedStream<string, int> AddStateless(string id, int kind)
    {
        switch (kind)
        {
            case 0:
                _chain.Add(value => value % 5 == 0 ? [] : [value]);
                return _entries.FilterValue(id, value => value % 5 != 0);
            case 1:
                _chain.Add(value => [(value * 2) + 1]);
                return _entries.MapValue(id, value => (value * 2) + 1);
            case 2:
                _chain.Add(value => value % 3 == 0 ? [value, value + 1] : [value]);
                return _entries.FlatMapValue(id, value => value % 3 == 0 ? new[] { value, value + 1 } : [value]);
            default:
                return _entries.Repartition(id);
        }
    }

    private void AddCount()
    {
        KeyedTopic<string, int?> counts = Topic.Keyed<string, int?>("counts");
        _entries.StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("counts-out", counts);
        _checks.Add((model, topics) => Running(
            "counts", topics, model.ToDictionary(entry => entry.Key, entry => entry.Value.Length), topics.Records(counts).Select(record => (record.Key, record.Value!.Value))));
    }

    /// <summary>A sum that is forgotten now and then: tombstones, and what a key that comes back has.</summary>
    private void AddForget()
    {
        KeyedTopic<string, long?> sums = Topic.Keyed<string, long?>("forgets");
        _entries.StatefulMap("forget", (ref long? sum, int value) =>
        {
            long now = (sum ?? 0) + value;
            sum = value % 3 == 0 ? null : now;
            return (long?)now;
        }).Output("forgets-out", sums);
        _checks.Add((model, topics) =>
        {
            Dictionary<string, string> expected = model.ToDictionary(entry => entry.Key, entry =>
            {
                long sum = 0;
                List<long> all = [];
                foreach (int value in entry.Value)
                {
                    all.Add(sum + value);
                    sum = value % 3 == 0 ? 0 : sum + value;
                }

                return Text(all, topics);
            });
            Same("forgets", expected, topics.Records(sums).GroupBy(record => record.Key, record => record.Value!.Value)
                .ToDictionary(group => group.Key, group => Text(group, topics)));
        });
    }

    private void AddCollect()
    {
        KeyedTopic<string, IReadOnlyList<int>> batches = Topic.Keyed<string, IReadOnlyList<int>>("batches");
        _entries.Collect("batch", TimeSpan.FromSeconds(1), maxSize: 3).Output("batches-out", batches);
        _checks.Add((model, topics) => Same(
            "batches",
            model.ToDictionary(entry => entry.Key, entry => Text(entry.Value, topics)),
            topics.Records(batches).GroupBy(record => record.Key).ToDictionary(group => group.Key, group => Text(group.SelectMany(record => record.Value), topics))));
    }

    private void AddSums()
    {
        KeyedTopic<string, Sum> sums = Topic.Keyed<string, Sum>("sums");
        _entries
            .KeyOn("group", (key, _) => key[..1])
            .StatefulMap("sum", (ref Sum? sum, int value) => sum = new Sum((sum?.Items ?? 0) + 1, (sum?.Total ?? 0) + value))
            .Output("sums-out", sums);
        _checks.Add((model, topics) =>
        {
            Dictionary<string, int[]> groups = model.GroupBy(entry => entry.Key[..1]).ToDictionary(group => group.Key, group => group.SelectMany(entry => entry.Value).ToArray());
            IReadOnlyList<KeyValuePair<string, Sum>> outputs = topics.Records(sums);
            Running("sums", topics, groups.ToDictionary(group => group.Key, group => group.Value.Length), outputs.Select(record => (record.Key, record.Value.Items)));
            Same(
                "totals of sums",
                groups.ToDictionary(group => group.Key, group => $"{group.Value.Sum(value => (long)value)}"),
                outputs.GroupBy(record => record.Key).ToDictionary(group => group.Key, group => $"{group.MaxBy(record => record.Value.Items).Value.Total}"));
        });
    }

    private void AddTotals()
    {
        KeyedTopic<string, long> totals = Topic.Keyed<string, long>("totals");
        _entries.KeyRemove("unkey").CountFinal("total", value => value % 2 == 0 ? "even" : "odd").Output("totals-out", totals);
        _checks.Add((model, topics) => Totals(
            "totals",
            topics,
            model.SelectMany(entry => entry.Value).GroupBy(value => value % 2 == 0 ? "even" : "odd").ToDictionary(group => group.Key, group => group.LongCount()),
            topics.Records(totals)));
    }

    private void AddReduce()
    {
        KeyedTopic<string, int> reduced = Topic.Keyed<string, int>("reduced");
        _entries.ReduceFinal("reduce", (left, right) => left + right).Output("reduced-out", reduced);
        _checks.Add((model, topics) => Totals(
            "reduced",
            topics,
            model.ToDictionary(entry => entry.Key, entry => entry.Value.Sum(value => (long)value)),
            [.. topics.Records(reduced).Select(record => KeyValuePair.Create(record.Key, (long)record.Value))]));
    }

    private void AddTwoHops()
    {
        KeyedTopic<string, int?> hops = Topic.Keyed<string, int?>("hops");
        _entries
            .KeyOn("hop-1", (key, _) => key[1..])
            .StatefulMap("hop-count", (ref int? count, int value) => { count = (count ?? 0) + 1; return value; })
            .KeyOn("hop-2", (_, value) => value % 2 == 0 ? "even" : "odd")
            .StatefulMap("hop-total", (ref int? count, int _) => count = (count ?? 0) + 1)
            .Output("hops-out", hops);
        _checks.Add((model, topics) => Running(
            "hops",
            topics,
            model.SelectMany(entry => entry.Value).GroupBy(value => value % 2 == 0 ? "even" : "odd").ToDictionary(group => group.Key, group => group.Count()),
            topics.Records(hops).Select(record => (record.Key, record.Value!.Value))));
    }

    private void AddMerge()
    {
        KeyedTopic<string, int?> merged = Topic.Keyed<string, int?>("merged");
        _entries
            .Merge("merge", _entries.MapValue("negative", value => -value))
            .StatefulMap("merge-count", (ref int? count, int _) => count = (count ?? 0) + 1)
            .Output("merged-out", merged);
        _checks.Add((model, topics) => Running(
            "merged", topics, model.ToDictionary(entry => entry.Key, entry => 2 * entry.Value.Length), topics.Records(merged).Select(record => (record.Key, record.Value!.Value))));
    }

    /// <summary>The values in their order; at least once: which ones there are.</summary>
    private static string Text<T>(IEnumerable<T> values, SimulationTopics topics) =>
        string.Join(",", topics.Guarantee == Guarantee.ExactlyOnce ? values : values.Distinct().Order());

    /// <summary>Per key 1, 2, 3 …; at least once: with repeats, but nothing skipped.</summary>
    private static void Running(string what, SimulationTopics topics, Dictionary<string, int> expected, IEnumerable<(string Key, int Value)> outputs)
    {
        Dictionary<string, int> reached = [];
        foreach ((string key, int value) in outputs)
        {
            int last = reached.GetValueOrDefault(key);
            if (topics.Guarantee == Guarantee.ExactlyOnce ? value != last + 1 : value < 1 || value > last + 1)
            {
                throw new InvalidOperationException($"{what}: key {key} has {value} after {last}");
            }

            reached[key] = Math.Max(last, value);
        }

        Same(what, expected, reached);
    }

    /// <summary>One per finite run; together they count everything once. At least once: an end may come twice.</summary>
    private static void Totals(string what, SimulationTopics topics, Dictionary<string, long> expected, IEnumerable<KeyValuePair<string, long>> outputs)
    {
        Dictionary<string, long> sums = outputs.GroupBy(record => record.Key).ToDictionary(group => group.Key, group => group.Sum(record => record.Value));
        if (topics.Guarantee == Guarantee.ExactlyOnce)
        {
            Same(what, expected, sums);
        }
        else if (expected.FirstOrDefault(entry => sums.GetValueOrDefault(entry.Key) < entry.Value) is { Key: not null } lost)
        {
            throw new InvalidOperationException($"{what}: key {lost.Key} has {sums.GetValueOrDefault(lost.Key)}, expected at least {lost.Value}");
        }
    }

    private static void Same<T>(string what, Dictionary<string, T> expected, Dictionary<string, T> actual)
    {
        foreach (string key in expected.Keys.Union(actual.Keys).Order())
        {
            bool wanted = expected.TryGetValue(key, out T? right);
            bool found = actual.TryGetValue(key, out T? got);
            if (wanted != found || !Equals(right, got))
            {
                throw new InvalidOperationException($"{what}: key {key} has {(found ? got : "nothing")}, expected {(wanted ? right : "nothing")}");
            }
        }
    }

    internal sealed record Sum(int Items, long Total);
}
