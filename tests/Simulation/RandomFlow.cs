using System.Buffers;
using System.Text;
using KStreamSharp.Testing;

namespace KStreamSharp.Tests.Simulations;

/// <summary>
/// A flow drawn from a seed: inputs, some operators without state, then some branches of every kind of operator; and the plain
/// computation that its outputs must equal, timestamps and headers included.
/// </summary>
internal sealed class RandomFlow
{
    private const int BranchesMax = 4;
    private const string Note = "note";

    /// <summary>As many partitions as shards.</summary>
    private static readonly KeyedTopic<string, int> Entries = Topic.Keyed<string, int>("entries");

    /// <summary>As many partitions as shards.</summary>
    private static readonly KeyedTopic<string, int> Others = Topic.Keyed<string, int>("others");

    /// <summary>Perhaps fewer partitions than shards.</summary>
    private static readonly KeyedTopic<string, int> Fewer = Topic.Keyed<string, int>("fewer");

    private readonly Random _random;
    private readonly bool _hasManyKeys;
    private readonly List<Func<Item, IEnumerable<Item>>> _chain = [];
    private readonly List<Action<Dictionary<string, Item[]>, SimulationTopics>> _checks = [];
    private readonly KeyedStream<string, int> _raw;
    private readonly KeyedStream<string, int> _entries;
    private KeyedStream<string, int>? _others;
    private KeyedStream<string, int>? _fewer;

    public RandomFlow(int seed)
    {
        Random random = _random = new(seed);
        _hasManyKeys = HasManyKeys(seed);
        Flow = new Dataflow("random");
        _raw = _entries = Flow.Input("entries", Entries);
        for (int i = random.Next(4); i > 0; i--)
        {
            _entries = AddStateless($"stateless-{i}", random.Next(4));
        }

        List<Action> branches =
        [
            AddCopy, AddCount, AddForget, AddCollect, AddSums, AddTotals, AddReduce, AddTwoHops, AddMerge, AddTicks, AddFold,
            AddFlatMapBatch, AddStatefulBatch, AddEndThenFlatMapBatch, AddEndThenStatefulBatch, AddDiamond, AddTicksThenBatches,
            AddJoin, AddJoinFinal, AddJoinRunning, AddInputs, AddRedistribute, AddEnrich,
        ];
        for (int left = 1 + random.Next(BranchesMax); left > 0; left--)
        {
            int next = random.Next(branches.Count);
            branches[next]();
            branches.RemoveAt(next);
        }
    }

    public Dataflow Flow { get; }

    /// <summary>What the code of the steps does besides: it takes time, and fails.</summary>
    public SimulatedCode Code { get; } = new();

    /// <summary>Whether a seed's run has hundreds of keys, so that slices of the default sizes have edges too.</summary>
    public static bool HasManyKeys(int seed) => seed % 40 == 17;

    public static int Partitions(string topic, int shards) => topic == Fewer.Name ? 1 + (shards / 2) : shards;

    public void Push(Random random, SimulationTopics topics)
    {
        for (int left = _hasManyKeys ? 1 + random.Next(100) : 1; left > 0; left--)
        {
            string key = _hasManyKeys ? $"{(char)('a' + random.Next(4))}{random.Next(300)}" : $"{(char)('a' + random.Next(4))}{random.Next(4)}";
            int which = random.Next(4);
            KeyedTopic<string, int> topic = which == 0 && _others is not null ? Others : which == 1 && _fewer is not null ? Fewer : Entries;
            topics.Push(
                topic,
                key,
                topics.Pushed,
                topics.Now - TimeSpan.FromMilliseconds(random.Next(5_000)),
                random.Next(3) == 0 ? Headers.Empty : Headers.Empty.With("other", null).With(Note, $"{topic.Name}:{topics.Pushed}"));
        }
    }

    public void Check(SimulationTopics topics)
    {
        Dictionary<string, Item[]> model = Items(Entries, topics)
            .Select(group => (group.Key, Values: _chain.Aggregate(group.Value.AsEnumerable(), (values, step) => values.SelectMany(step)).ToArray()))
            .Where(group => group.Values.Length > 0)
            .ToDictionary(group => group.Key, group => group.Values);
        _checks.ForEach(check => check(model, topics));
    }

    private KeyedStream<string, int> OthersStream => _others ??= Flow.Input("others", Others);

    private KeyedStream<string, int> FewerStream => _fewer ??= Flow.Input("fewer", Fewer).Repartition("fewer-all");

    private KeyedStream<string, int> AddStateless(string id, int kind)
    {
        switch (kind)
        {
            case 0:
                _chain.Add(item => item.Value % 5 == 0 ? [] : [item]);
                return _entries.FilterValue(id, value => Called(id, value % 5 != 0));
            case 1:
                _chain.Add(item => [item with { Value = (item.Value * 2) + 1 }]);
                return _entries.MapValue(id, value => Called(id, (value * 2) + 1));
            case 2:
                _chain.Add(item => item.Value % 3 == 0 ? [item with { Note = "" }, new(item.Value + 1, item.Timestamp, "")] : [item with { Note = "" }]);
                return _entries.FlatMapValue(id, value => Called(id, value % 3 == 0 ? new[] { value, value + 1 } : [value]));
            default:
                return _entries.Repartition(id);
        }
    }

    private void AddCopy()
    {
        KeyedTopic<string, int> copies = Topic.Keyed<string, int>("copies");
        _entries.Output("copies-out", copies);
        _checks.Add((model, topics) => Same(
            "copies",
            model.ToDictionary(entry => entry.Key, entry => Text(entry.Value, topics)),
            Items(copies, topics).ToDictionary(entry => entry.Key, entry => Text(entry.Value, topics))));
    }

    private void AddCount()
    {
        KeyedTopic<string, int?> counts = Topic.Keyed<string, int?>("counts");
        _entries.StatefulMap("count", (ref int? count, int _) => Called("count", count = (count ?? 0) + 1)).Output("counts-out", counts);
        _checks.Add((model, topics) =>
        {
            Running("counts", topics, Counts(model), topics.Records(counts).Select(record => (record.Key, record.Value!.Value)));
            foreach (Record<string, int?> record in topics.Whole(counts))
            {
                Item item = model[record.Key][record.Value!.Value - 1];
                if (record.Timestamp.ToUnixTimeMilliseconds() != item.Timestamp || (record.Headers.Text(Note) ?? "") != item.Note)
                {
                    throw new InvalidOperationException($"counts: {record} has not the timestamp and headers of {item}");
                }
            }
        });
        CheckStates("count", model => model.ToDictionary(entry => entry.Key, entry => (int?)entry.Value.Length));
    }

    /// <summary>A sum that is forgotten now and then: tombstones, and what a key that comes back has.</summary>
    private void AddForget()
    {
        KeyedTopic<string, long?> sums = Topic.Keyed<string, long?>("forgets");
        _entries.StatefulMap("forget", (ref long? sum, int value) =>
        {
            long now = Called("forget", (sum ?? 0) + value);
            sum = value % 3 == 0 ? null : now;
            return (long?)now;
        }).Output("forgets-out", sums);
        _checks.Add((model, topics) =>
        {
            Dictionary<string, string> expected = model.ToDictionary(entry => entry.Key, entry =>
            {
                long sum = 0;
                List<long> all = [];
                foreach (Item item in entry.Value)
                {
                    all.Add(sum + item.Value);
                    sum = item.Value % 3 == 0 ? 0 : sum + item.Value;
                }

                return Text(all, topics);
            });
            Same("forgets", expected, topics.Records(sums).GroupBy(record => record.Key, record => record.Value!.Value)
                .ToDictionary(group => group.Key, group => Text(group, topics)));
        });
        CheckStates("forget", model => model
            .Where(entry => entry.Value[^1].Value % 3 != 0)
            .ToDictionary(entry => entry.Key, entry => (long?)entry.Value.Skip(Array.FindLastIndex(entry.Value, item => item.Value % 3 == 0) + 1).Sum(item => (long)item.Value)));
    }

    private void AddCollect()
    {
        KeyedTopic<string, IReadOnlyList<int>> batches = Topic.Keyed<string, IReadOnlyList<int>>("batches");
        _entries.Collect("batch", TimeSpan.FromSeconds(1), maxSize: 3).Output("batches-out", batches);
        CheckSegments("batches", batches, list => list);
        CheckStates("batch", _ => new Dictionary<string, int>());
    }

    private void AddFold()
    {
        KeyedTopic<string, List<int>> folded = Topic.Keyed<string, List<int>>("folded");
        Fold("fold").Output("folded-out", folded);
        CheckSegments("folded", folded, list => list);
        CheckStates("fold", _ => new Dictionary<string, int>());
    }

    private KeyedStream<string, List<int>> Fold(string id) => _entries.FoldFinal(id, () => new List<int>(), (list, value) => Called(id, (List<int>)[.. list, value]));

    private void AddSums()
    {
        KeyedTopic<string, Sum> sums = Topic.Keyed<string, Sum>("sums");
        _entries
            .KeyOn("group", (key, _) => key[..1])
            .StatefulMap("sum", (ref Sum? sum, int value) => Called("sum", sum = new Sum((sum?.Items ?? 0) + 1, (sum?.Total ?? 0) + value)))
            .Output("sums-out", sums);
        _checks.Add((model, topics) =>
        {
            Dictionary<string, int[]> groups = Groups(model, key => key[..1]);
            IReadOnlyList<KeyValuePair<string, Sum>> outputs = topics.Records(sums);
            Running("sums", topics, groups.ToDictionary(group => group.Key, group => group.Value.Length), outputs.Select(record => (record.Key, record.Value.Items)));
            Same(
                "totals of sums",
                groups.ToDictionary(group => group.Key, group => $"{group.Value.Sum(value => (long)value)}"),

                // At least once: of an end that was aborted and done anew, perhaps of a longer run, the last one counts.
                outputs.Reverse().GroupBy(record => record.Key).ToDictionary(group => group.Key, group => $"{group.MaxBy(record => record.Value.Items).Value.Total}"));
        });
        CheckStates("sum", model => Groups(model, key => key[..1]).ToDictionary(group => group.Key, group => new Sum(group.Value.Length, group.Value.Sum(value => (long)value))));
    }

    private void AddTotals()
    {
        KeyedTopic<string, long> totals = Topic.Keyed<string, long>("totals");
        _entries.KeyRemove("unkey").CountFinal("total", value => value % 2 == 0 ? "even" : "odd").Output("totals-out", totals);
        _checks.Add((model, topics) => Totals(
            "totals",
            topics,
            model.SelectMany(entry => entry.Value).GroupBy(item => item.Value % 2 == 0 ? "even" : "odd").ToDictionary(group => group.Key, group => group.LongCount()),
            topics.Records(totals)));
        CheckStates("total", _ => new Dictionary<string, long>());
    }

    private void AddReduce()
    {
        KeyedTopic<string, int> reduced = Topic.Keyed<string, int>("reduced");
        _entries.ReduceFinal("reduce", (left, right) => Called("reduce", left + right)).Output("reduced-out", reduced);
        _checks.Add((model, topics) => Totals("reduced", topics, Totals(model), [.. topics.Records(reduced).Select(record => KeyValuePair.Create(record.Key, (long)record.Value))]));
        CheckStates("reduce", _ => new Dictionary<string, int>());
    }

    private void AddTwoHops()
    {
        KeyedTopic<string, int?> hops = Topic.Keyed<string, int?>("hops");
        _entries
            .KeyOn("hop-1", (key, _) => key[1..])
            .StatefulMap("hop-count", (ref int? count, int value) => { count = (count ?? 0) + 1; return Called("hop-count", value); })
            .KeyOn("hop-2", (_, value) => value % 2 == 0 ? "even" : "odd")
            .StatefulMap("hop-total", (ref int? count, int _) => count = (count ?? 0) + 1)
            .Output("hops-out", hops);
        _checks.Add((model, topics) => Running(
            "hops",
            topics,
            model.SelectMany(entry => entry.Value).GroupBy(item => item.Value % 2 == 0 ? "even" : "odd").ToDictionary(group => group.Key, group => group.Count()),
            topics.Records(hops).Select(record => (record.Key, record.Value!.Value))));
        CheckStates("hop-count", model => Groups(model, key => key[1..]).ToDictionary(group => group.Key, group => (int?)group.Value.Length));
        CheckStates("hop-total", model => model.SelectMany(entry => entry.Value).GroupBy(item => item.Value % 2 == 0 ? "even" : "odd").ToDictionary(group => group.Key, group => (int?)group.Count()));
    }

    private void AddMerge()
    {
        KeyedTopic<string, int?> merged = Topic.Keyed<string, int?>("merged");
        _entries
            .Merge("merge", _entries.MapValue("negative", value => -value))
            .StatefulMap("merge-count", (ref int? count, int _) => Called("merge-count", count = (count ?? 0) + 1))
            .Output("merged-out", merged);
        _checks.Add((model, topics) => Running(
            "merged", topics, model.ToDictionary(entry => entry.Key, entry => 2 * entry.Value.Length), topics.Records(merged).Select(record => (record.Key, record.Value!.Value))));
        CheckStates("merge-count", model => model.ToDictionary(entry => entry.Key, entry => (int?)(2 * entry.Value.Length)));
    }

    /// <summary>Timers that bring the next one: they go on when nothing arrives.</summary>
    private void AddTicks()
    {
        KeyedTopic<string, Tick> ticks = Topic.Keyed<string, Tick>("ticks");
        KeyedStream<string, Tick> ticking = _entries.Stateful("tick", () => new Ticker(Code, "tick"));
        ticking.Output("ticks-out", ticks);
        _checks.Add((model, topics) =>
        {
            IReadOnlyList<KeyValuePair<string, Tick>> all = topics.Records(ticks);
            Running("ticks", topics, TickCounts(model), all.Select(record => (record.Key, record.Value.Number)));
            Dictionary<string, Tick> last = [];
            foreach ((string key, Tick tick) in all)
            {
                Tick? before = last.GetValueOrDefault(key);
                last[key] = tick;
                if (tick.Due is { } due && (tick.At < due || tick.Timestamp != due.ToUnixTimeMilliseconds()))
                {
                    throw new InvalidOperationException($"ticks: key {key} asked for {due:O}, called at {tick.At:O}, told {tick.Timestamp}");
                }

                if (topics.Guarantee == Guarantee.ExactlyOnce && tick.Due is not null && before?.Next is { } next && next != tick.Due)
                {
                    throw new InvalidOperationException($"ticks: key {key} asked for {next:O} in tick {before.Number}, tick {tick.Number} came for {tick.Due:O}");
                }
            }

            if (topics.Whole(ticks).FirstOrDefault(record => record.Value.Timestamp != record.Timestamp.ToUnixTimeMilliseconds()) is { Key: not null } wrong)
            {
                throw new InvalidOperationException($"ticks: {wrong} has another timestamp than its call");
            }
        });
        CheckStates("tick", model => TickCounts(model).ToDictionary(entry => entry.Key, entry => new TickerState(entry.Value, 0, null)));
    }

    /// <summary>Batches behind timers, and behind what they emit at the end of the input.</summary>
    private void AddTicksThenBatches()
    {
        KeyedTopic<string, Entry> lookedUp = Topic.Keyed<string, Entry>("ticks-looked-up");
        KeyedTopic<string, List<int>> gathered = Topic.Keyed<string, List<int>>("ticks-gathered");
        KeyedStream<string, int> ticking = _entries.Stateful("tock", () => new Ticker(Code, "tock")).MapValue("tock-number", tick => tick.Number);
        ticking
            .Map("tock-entry", (key, number) => new Entry(key, number))
            .FlatMapBatch("tock-look-up", batch => Called("tock-look-up", batch))
            .KeyOn("tock-key", entry => entry.Key)
            .Output("ticks-looked-up-out", lookedUp);
        ticking.StatefulBatch("tock-batch", () => new Gatherer(Code, "tock-batch")).Output("ticks-gathered-out", gathered);
        _checks.Add((model, topics) =>
        {
            Running("ticks that were looked up", topics, TickCounts(model), topics.Records(lookedUp).Select(record => (record.Key, record.Value.Value)));
            Running("ticks that were gathered", topics, TickCounts(model), topics.Records(gathered).SelectMany(record => record.Value, (record, number) => (record.Key, number)));
        });
        CheckStates("tock-batch", TickCounts);
    }

    private void AddFlatMapBatch()
    {
        KeyedTopic<string, Entry> lookedUp = Topic.Keyed<string, Entry>("looked-up");
        _entries
            .Map("entry", (key, value) => new Entry(key, value))
            .FlatMapBatch("look-up", batch => Called("look-up", batch))
            .KeyOn("entry-key", entry => entry.Key)
            .Output("looked-up-out", lookedUp);
        _checks.Add((model, topics) =>
        {
            Same(
                "looked up",
                model.ToDictionary(entry => entry.Key, entry => Text(entry.Value.Select(item => item.Value), topics)),
                topics.Records(lookedUp).GroupBy(record => record.Key, record => record.Value.Value).ToDictionary(group => group.Key, group => Text(group, topics)));
            Dictionary<(string, int), long> own = model.SelectMany(entry => entry.Value, (entry, item) => (Id: (entry.Key, item.Value), item.Timestamp)).GroupBy(item => item.Id).ToDictionary(group => group.Key, group => group.Min(item => item.Timestamp));
            HashSet<long> any = [.. model.SelectMany(entry => entry.Value).Select(item => item.Timestamp)];
            foreach (Record<string, Entry> record in topics.Whole(lookedUp))
            {
                long timestamp = record.Timestamp.ToUnixTimeMilliseconds();
                if (timestamp < own[(record.Key, record.Value.Value)] || !any.Contains(timestamp) || record.Headers.Count > 0)
                {
                    throw new InvalidOperationException($"looked up: {record} has not the largest timestamp of its batch, or has headers");
                }
            }
        });
    }

    private void AddStatefulBatch()
    {
        KeyedTopic<string, List<int>> gathered = Topic.Keyed<string, List<int>>("gathered");
        _entries.StatefulBatch("gather", () => new Gatherer(Code, "gather")).Output("gathered-out", gathered);
        CheckSegments("gathered", gathered, list => list);
        CheckStates("gather", Counts);
    }

    /// <summary>What a step emits at the end of the input goes into a batch.</summary>
    private void AddEndThenFlatMapBatch()
    {
        KeyedTopic<string, ListEntry> ends = Topic.Keyed<string, ListEntry>("ends-looked-up");
        Fold("end-fold")
            .Map("end-entry", (key, list) => new ListEntry(key, list))
            .FlatMapBatch("end-look-up", batch => Called("end-look-up", batch))
            .KeyOn("end-key", entry => entry.Key)
            .Output("ends-looked-up-out", ends);
        CheckSegments("ends that were looked up", ends, entry => entry.Values, hasOwnTimestamps: false);
        CheckStates("end-fold", _ => new Dictionary<string, int>());
    }

    private void AddEndThenStatefulBatch()
    {
        KeyedTopic<string, List<int>> ends = Topic.Keyed<string, List<int>>("ends-gathered");
        KeyedStream<string, int> reduced = _random.Next(2) == 0
            ? _entries.ReduceFinal("end-reduce", (left, right) => Called("end-reduce", left + right))
            : _entries.Stateful("end-reduce", () => new SumAtEnd());
        reduced.StatefulBatch("end-gather", () => new Gatherer(Code, "end-gather")).Output("ends-gathered-out", ends);
        _checks.Add((model, topics) => Totals(
            "ends that were gathered", topics, Totals(model), [.. topics.Records(ends).SelectMany(record => record.Value, (record, value) => KeyValuePair.Create(record.Key, (long)value))]));
    }

    /// <summary>What a step emits at the end of the input comes by two ways, one of which is a batch, to a third step.</summary>
    private void AddDiamond()
    {
        KeyedTopic<string, Sum> sums = Topic.Keyed<string, Sum>("diamonds");
        KeyedStream<string, int> reduced = _entries.ReduceFinal("diamond-reduce", (left, right) => left + right);
        reduced
            .MapValue("diamond-left", value => value)
            .Merge("diamond-merge", reduced.StatefulBatch("diamond-right", () => new Gatherer(Code, "diamond-right")).FlatMapValue("diamond-flat", list => list))
            .StatefulMap("diamond", (ref Sum? sum, int value) => sum = new Sum((sum?.Items ?? 0) + 1, (sum?.Total ?? 0) + value))
            .Output("diamonds-out", sums);
        _checks.Add((model, topics) =>
        {
            IReadOnlyList<KeyValuePair<string, Sum>> outputs = topics.Records(sums);
            Running("diamonds", topics, null, outputs.Select(record => (record.Key, record.Value.Items)));
            Same(
                "totals of diamonds",
                Totals(model).ToDictionary(total => total.Key, total => $"{2 * total.Value}"),

                // As above.
                outputs.Reverse().GroupBy(record => record.Key).ToDictionary(group => group.Key, group => $"{group.MaxBy(record => record.Value.Items).Value.Total}"));
        });
    }

    private void AddJoin()
    {
        KeyedTopic<string, int[]> rows = Topic.Keyed<string, int[]>("rows");
        _raw.Join("join", OthersStream).MapValue("row", row => new[] { row.Item1, row.Item2 }).Output("rows-out", rows);
        _checks.Add((_, topics) =>
        {
            Dictionary<string, Item[]> left = Items(Entries, topics);
            Dictionary<string, Item[]> right = Items(Others, topics);
            foreach (IGrouping<string, Record<string, int[]>> key in topics.Whole(rows).GroupBy(record => record.Key))
            {
                int a = 0;
                int b = 0;
                foreach (Record<string, int[]> row in key)
                {
                    int nextA = Array.FindIndex(left[key.Key], item => item.Value == row.Value[0]) + 1;
                    int nextB = Array.FindIndex(right[key.Key], item => item.Value == row.Value[1]) + 1;
                    if (topics.Guarantee == Guarantee.ExactlyOnce)
                    {
                        long timestamp = nextA > a && nextB > b ? Math.Max(left[key.Key][a..nextA].Max(item => item.Timestamp), right[key.Key][b..nextB].Max(item => item.Timestamp)) : -1;
                        if (Math.Min(nextA - a, nextB - b) != 1 || row.Timestamp.ToUnixTimeMilliseconds() != timestamp)
                        {
                            throw new InvalidOperationException($"rows: key {key.Key} has {row.Value[0]}, {row.Value[1]} at {row.Timestamp} after {a} left and {b} right");
                        }
                    }

                    a = Math.Max(a, nextA);
                    b = Math.Max(b, nextB);
                }

                if (a < left[key.Key].Length && b < right[key.Key].Length)
                {
                    throw new InvalidOperationException($"rows: key {key.Key} has values of both sides behind its last row, {a} left and {b} right");
                }
            }

            if (left.Keys.Intersect(right.Keys).Except(topics.Records(rows).Select(record => record.Key)).FirstOrDefault() is { } missing)
            {
                throw new InvalidOperationException($"rows: key {missing} has no row, though both sides have values");
            }
        });
    }

    private void AddJoinFinal()
    {
        KeyedTopic<string, int?[]> rows = Topic.Keyed<string, int?[]>("final-rows");
        KeyedStream<string, int> second = _random.Next(2) == 0 ? OthersStream : FewerStream;
        KeyedTopic<string, int> secondTopic = second == _others ? Others : Fewer;
        _raw.JoinFinal("join-final", second, JoinInsert.Product)
            .MapValue("final-row", row => new int?[] { row.Item1.HasValue ? row.Item1.Value : null, row.Item2.HasValue ? row.Item2.Value : null })
            .Output("final-rows-out", rows);
        _checks.Add((_, topics) =>
        {
            Dictionary<string, Item[]> left = Items(Entries, topics);
            Dictionary<string, Item[]> right = Items(secondTopic, topics);
            ILookup<string, Record<string, int?[]>> all = topics.Whole(rows).ToLookup(record => record.Key);
            foreach (string key in left.Keys.Union(right.Keys).Order())
            {
                Item[] a = left.GetValueOrDefault(key, []);
                Item[] b = right.GetValueOrDefault(key, []);
                List<(int? Left, int? Right, long Timestamp)> expected = [];
                List<(int? Left, int? Right, long Timestamp)> actual = [.. all[key].Select(row => (row.Value[0], row.Value[1], row.Timestamp.ToUnixTimeMilliseconds()))];
                if (topics.Guarantee == Guarantee.AtLeastOnce)
                {
                    // An end may come twice, and not with the same rows.
                    if (a.FirstOrDefault(item => !actual.Exists(row => row.Left == item.Value)) is { Timestamp: > 0 } lostA)
                    {
                        throw new InvalidOperationException($"final rows: key {key} has no row with {lostA} of the left side");
                    }

                    if (b.FirstOrDefault(item => !actual.Exists(row => row.Right == item.Value)) is { Timestamp: > 0 } lostB)
                    {
                        throw new InvalidOperationException($"final rows: key {key} has no row with {lostB} of the right side");
                    }

                    continue;
                }

                // The rows of one run: every combination of what the run had of each side.
                int atA = 0;
                int atB = 0;
                while (expected.Count < actual.Count)
                {
                    List<int?> partners = [.. actual.Skip(expected.Count).TakeWhile(row => row.Left == actual[expected.Count].Left).Select(row => row.Right)];
                    int countB = actual[expected.Count].Right is null ? 0 : partners.Count;
                    int countA = actual[expected.Count].Left is null
                        ? 0
                        : actual.Skip(expected.Count).Select(row => row.Left).Distinct().TakeWhile(value => actual.Where(row => row.Left == value).Select(row => row.Right).SequenceEqual(partners)).Count();
                    Item[] runA = [.. a.Skip(atA).Take(countA)];
                    Item[] runB = [.. b.Skip(atB).Take(countB)];
                    if (runA.Length + runB.Length == 0)
                    {
                        break;
                    }

                    atA += runA.Length;
                    atB += runB.Length;
                    long timestamp = runA.Concat(runB).Max(item => item.Timestamp);
                    expected.AddRange(
                        from x in runA.Length == 0 ? [null] : runA.Select(item => (int?)item.Value)
                        from y in runB.Length == 0 ? [null] : runB.Select(item => (int?)item.Value)
                        select (x, y, timestamp));
                }

                // Two runs of which each has left values only look like one with several: their timestamps differ.
                if (atA != a.Length || atB != b.Length || !expected.Select(row => (row.Left, row.Right)).SequenceEqual(actual.Select(row => (row.Left, row.Right)))
                    || actual.Exists(row => expected.All(other => other.Timestamp < row.Timestamp)))
                {
                    throw new InvalidOperationException($"final rows: key {key} has {string.Join(" ", actual)}, of the sides {string.Join(",", a)} and {string.Join(",", b)}");
                }
            }
        });
        CheckStates("join-final", _ => new Dictionary<string, int>());
    }

    private void AddJoinRunning()
    {
        KeyedTopic<string, int?[]> rows = Topic.Keyed<string, int?[]>("running-rows");
        _raw.JoinRunning("join-running", FewerStream)
            .MapValue("running-row", row => new int?[] { row.Item1.HasValue ? row.Item1.Value : null, row.Item2.HasValue ? row.Item2.Value : null })
            .Output("running-rows-out", rows);
        _checks.Add((_, topics) =>
        {
            Dictionary<string, Item[]> left = Items(Entries, topics);
            Dictionary<string, Item[]> right = Items(Fewer, topics);
            ILookup<string, KeyValuePair<string, int?[]>> all = topics.Records(rows).ToLookup(record => record.Key);
            foreach (string key in left.Keys.Union(right.Keys).Order())
            {
                Item[] a = left.GetValueOrDefault(key, []);
                Item[] b = right.GetValueOrDefault(key, []);
                int last = 0;
                foreach (KeyValuePair<string, int?[]> record in all[key])
                {
                    int?[] row = record.Value;
                    // Each value of either side brings one row: so many values make the sum of the places of both.
                    int at = Place(a, row[0]) + Place(b, row[1]);
                    if (topics.Guarantee == Guarantee.ExactlyOnce ? at != last + 1 : at > last + 1)
                    {
                        throw new InvalidOperationException($"running rows: key {key} has row {row[0]}, {row[1]}, the {at}th, after the {last}th");
                    }

                    last = Math.Max(last, at);
                }

                if (last != a.Length + b.Length)
                {
                    throw new InvalidOperationException($"running rows: key {key} has {last} rows, expected {a.Length + b.Length}");
                }
            }
        });

        static int Place(Item[] side, int? value) => value is null ? 0 : Array.FindIndex(side, item => item.Value == value) + 1;
    }

    /// <summary>Three inputs meet by key.</summary>
    private void AddInputs()
    {
        KeyedTopic<string, int?> counts = Topic.Keyed<string, int?>("inputs");
        _raw.Merge("inputs", OthersStream, FewerStream)
            .StatefulMap("inputs-count", (ref int? count, int _) => Called("inputs-count", count = (count ?? 0) + 1))
            .Output("inputs-out", counts);
        _checks.Add((_, topics) =>
        {
            Dictionary<string, Item[]> model = AllInputs(topics);
            Running("inputs", topics, Counts(model), topics.Records(counts).Select(record => (record.Key, record.Value!.Value)));
            Same(
                "timestamps and headers of inputs",
                model.ToDictionary(entry => entry.Key, entry => string.Join(",", entry.Value.Select(item => (item.Timestamp, item.Note)).Distinct().Order())),
                topics.Whole(counts).GroupBy(record => record.Key).ToDictionary(
                    group => group.Key, group => string.Join(",", group.Select(record => (record.Timestamp.ToUnixTimeMilliseconds(), record.Headers.Text(Note) ?? "")).Distinct().Order())));
        });
        _checks.Add((_, topics) => States("inputs-count", topics, Counts(AllInputs(topics)).ToDictionary(entry => entry.Key, entry => (int?)entry.Value)));

        static Dictionary<string, Item[]> AllInputs(SimulationTopics topics) => Items(Entries, topics).Concat(Items(Others, topics)).Concat(Items(Fewer, topics))
            .GroupBy(entry => entry.Key).ToDictionary(group => group.Key, group => group.SelectMany(entry => entry.Value).ToArray());
    }

    private void AddRedistribute()
    {
        KeyedTopic<string, int?> counts = Topic.Keyed<string, int?>("spread");
        _entries
            .Map("spread-entry", (key, value) => new Entry(key, value))
            .Redistribute("spread")
            .KeyOn("spread-key", entry => entry.Key)
            .StatefulMap("spread-count", (ref int? count, Entry _) => Called("spread-count", count = (count ?? 0) + 1))
            .Output("spread-out", counts);
        _checks.Add((model, topics) => Running("spread", topics, Counts(model), topics.Records(counts).Select(record => (record.Key, record.Value!.Value))));
        CheckStates("spread-count", model => Counts(model).ToDictionary(entry => entry.Key, entry => (int?)entry.Value));
    }

    private void AddEnrich()
    {
        KeyedTopic<string, Entry> enriched = Topic.Keyed<string, Entry>("enriched");
        _entries
            .Map("enrich-entry", (key, value) => new Entry(key, value))
            .EnrichCached<string, int, Entry>(
                "enrich", key => Called("enrich", key[0] * 1_000_000), (cache, entry) => entry with { Value = cache.Get(entry.Key[..1]) + entry.Value }, TimeSpan.FromSeconds(1))
            .KeyOn("enrich-key", entry => entry.Key)
            .Output("enriched-out", enriched);
        _checks.Add((model, topics) => Same(
            "enriched",
            model.ToDictionary(entry => entry.Key, entry => Text(entry.Value.Select(item => item with { Value = (entry.Key[0] * 1_000_000) + item.Value }), topics)),
            topics.Whole(enriched).GroupBy(record => record.Key).ToDictionary(group => group.Key, group => Text(group.Select(record => ItemOf(record.Value.Value, record.Timestamp, record.Headers)), topics))));
    }

    /// <summary>The code of a step has been called.</summary>
    private T Called<T>(string step, T result)
    {
        Code.Call(step);
        return result;
    }

    /// <summary>Outputs that together have every value of their key, in order; each with the largest timestamp of what it is made of.</summary>
    private void CheckSegments<T>(string what, KeyedTopic<string, T> topic, Func<T, IReadOnlyList<int>> values, bool hasOwnTimestamps = true) => _checks.Add((model, topics) =>
    {
        ILookup<string, Record<string, T>> outputs = topics.Whole(topic).ToLookup(record => record.Key);
        Same(
            what,
            model.ToDictionary(entry => entry.Key, entry => Text(entry.Value.Select(item => item.Value), topics)),
            outputs.ToDictionary(group => group.Key, group => Text(group.SelectMany(record => values(record.Value)), topics)));
        foreach (IGrouping<string, Record<string, T>> key in outputs.Where(_ => topics.Guarantee == Guarantee.ExactlyOnce))
        {
            int at = 0;
            foreach (Record<string, T> record in key)
            {
                int count = values(record.Value).Count;
                long largest = model[key.Key].AsSpan(at, count).ToArray().Max(item => item.Timestamp);
                at += count;
                long timestamp = record.Timestamp.ToUnixTimeMilliseconds();
                if (hasOwnTimestamps ? timestamp != largest : timestamp < largest)
                {
                    throw new InvalidOperationException($"{what}: key {key.Key} has timestamp {timestamp} for {string.Join(",", values(record.Value))}, expected {largest}");
                }
            }
        }
    });

    /// <summary>At the end of a finite run: the keys that have a state, no others, and its bytes; no timer is left.</summary>
    private void CheckStates<TState>(string step, Func<Dictionary<string, Item[]>, Dictionary<string, TState>> expected) =>
        _checks.Add((model, topics) => States(step, topics, expected(model)));

    private static void States<TState>(string step, SimulationTopics topics, Dictionary<string, TState> expected) => Same(
        $"states of {step}",
        expected.ToDictionary(entry => entry.Key, entry =>
        {
            ArrayBufferWriter<byte> bytes = new();
            Serde.For<TState>().Serialize(entry.Value, bytes, new SerdeContext("changelog", RecordPart.State));
            return Encoding.UTF8.GetString(bytes.WrittenSpan);
        }),
        topics.States(step).Where(state => state.Envelope is not null).ToDictionary(state => Encoding.UTF8.GetString(state.Key), state =>
        {
            Envelope envelope = Envelope.Read(state.Envelope, step);
            return Encoding.UTF8.GetString(envelope.Payload) + (envelope.NotifyAt == Envelope.Never ? "" : " with a timer");
        }));

    private static Dictionary<string, Item[]> Items(KeyedTopic<string, int> topic, SimulationTopics topics) =>
        topics.Whole(topic).GroupBy(record => record.Key).ToDictionary(group => group.Key, group => group.Select(record => ItemOf(record.Value, record.Timestamp, record.Headers)).ToArray());

    private static Item ItemOf(int value, DateTimeOffset timestamp, Headers headers) => new(value, timestamp.ToUnixTimeMilliseconds(), headers.Text(Note) ?? "");

    private static Dictionary<string, int> Counts(Dictionary<string, Item[]> model) => model.ToDictionary(entry => entry.Key, entry => entry.Value.Length);

    private static Dictionary<string, int> TickCounts(Dictionary<string, Item[]> model) => model.ToDictionary(entry => entry.Key, entry => entry.Value.Sum(item => Ticker.TicksOf(item.Value)));

    private static Dictionary<string, long> Totals(Dictionary<string, Item[]> model) => model.ToDictionary(entry => entry.Key, entry => entry.Value.Sum(item => (long)item.Value));

    private static Dictionary<string, int[]> Groups(Dictionary<string, Item[]> model, Func<string, string> key) =>
        model.GroupBy(entry => key(entry.Key)).ToDictionary(group => group.Key, group => group.SelectMany(entry => entry.Value).Select(item => item.Value).ToArray());

    /// <summary>The values in their order; at least once: which ones there are.</summary>
    private static string Text<T>(IEnumerable<T> values, SimulationTopics topics) =>
        string.Join(",", topics.Guarantee == Guarantee.ExactlyOnce ? values.Select(value => $"{value}") : values.Select(value => $"{value}").Distinct().Order(StringComparer.Ordinal));

    /// <summary>Per key 1, 2, 3 …; at least once: with repeats, but nothing skipped.</summary>
    private static void Running(string what, SimulationTopics topics, Dictionary<string, int>? expected, IEnumerable<(string Key, int Value)> outputs)
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

        if (expected is not null)
        {
            Same(what, expected, reached);
        }
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

    /// <summary>A record of a keyed topic: its value, its timestamp, and what its header says.</summary>
    internal readonly record struct Item(int Value, long Timestamp, string Note)
    {
        public override string ToString() => $"{Value}@{Timestamp}{Note}";
    }

    internal sealed record Entry(string Key, int Value);

    internal sealed record ListEntry(string Key, List<int> Values);

    internal sealed record Sum(int Items, long Total);

    /// <param name="Number">1, 2, 3 … of the key.</param>
    /// <param name="Due">The time that was asked for; null for a tick at the end of the input.</param>
    /// <param name="At">The time of the call.</param>
    /// <param name="Timestamp">The timestamp of the call, in milliseconds.</param>
    /// <param name="Next">The time that is asked for next, or null.</param>
    internal sealed record Tick(int Number, DateTimeOffset? Due, DateTimeOffset At, long Timestamp, DateTimeOffset? Next);

    internal sealed record TickerState(int Number, int Left, DateTimeOffset? Due);

    private sealed class Ticker(SimulatedCode code, string step) : StatefulLogic<string, int, Tick, TickerState>
    {
        private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(120);

        private TickerState _state = new(0, 0, null);

        public static int TicksOf(int value) => 1 + (Math.Abs(value) % 6);

        public override void Resume(TickerState state) => _state = state;

        public override StateAction OnItem(int value, StatefulContext<string, Tick> context)
        {
            code.Call(step);
            _state = _state with { Left = _state.Left + TicksOf(value), Due = _state.Due ?? context.Now + Interval };
            return StateAction.Retain;
        }

        public override StateAction OnNotify(StatefulContext<string, Tick> context)
        {
            code.Call($"{step}, a timer");
            DateTimeOffset? due = _state.Due;
            int left = _state.Left - 1;
            _state = new TickerState(_state.Number + 1, left, left > 0 ? context.Now + Interval : null);
            context.Emit(new Tick(_state.Number, due, context.Now, context.Timestamp.ToUnixTimeMilliseconds(), _state.Due));
            return StateAction.Retain;
        }

        public override StateAction OnEof(StatefulContext<string, Tick> context)
        {
            code.Call($"{step}, the end");
            while (_state.Left > 0)
            {
                _state = new TickerState(_state.Number + 1, _state.Left - 1, null);
                context.Emit(new Tick(_state.Number, null, context.Now, context.Timestamp.ToUnixTimeMilliseconds(), null));
            }

            return StateAction.Retain;
        }

        public override DateTimeOffset? NotifyAt() => _state.Due;

        public override TickerState Snapshot() => _state;
    }

    /// <summary>Emits its batches as they are, and counts their values.</summary>
    private sealed class Gatherer(SimulatedCode code, string step) : StatefulBatchLogic<string, int, List<int>, int>
    {
        private int _count;

        public override void Resume(int state) => _count = state;

        public override StateAction OnBatch(IReadOnlyList<int> values, StatefulContext<string, List<int>> context)
        {
            code.Call(step);
            _count += values.Count;
            context.Emit([.. values]);
            return StateAction.Retain;
        }

        public override int Snapshot() => _count;
    }

    private sealed class SumAtEnd : StatefulLogic<string, int, int, int>
    {
        private int _sum;

        public override void Resume(int state) => _sum = state;

        public override StateAction OnItem(int value, StatefulContext<string, int> context)
        {
            _sum += value;
            return StateAction.Retain;
        }

        public override StateAction OnEof(StatefulContext<string, int> context)
        {
            context.Emit(_sum);
            return StateAction.Discard;
        }

        public override int Snapshot() => _sum;
    }
}
