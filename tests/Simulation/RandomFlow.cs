using System.Buffers;
using System.Text;
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

        Action[] branches = [AddCount, AddForget, AddCollect, AddSums, AddTotals, AddReduce, AddTwoHops, AddMerge, AddTicks];
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
        CheckStates("count", model => model.ToDictionary(entry => entry.Key, entry => (int?)entry.Value.Length));
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
        CheckStates("forget", model => model
            .Where(entry => entry.Value[^1] % 3 != 0)
            .ToDictionary(entry => entry.Key, entry => (long?)entry.Value.Skip(Array.FindLastIndex(entry.Value, value => value % 3 == 0) + 1).Sum(value => (long)value)));
    }

    private void AddCollect()
    {
        KeyedTopic<string, IReadOnlyList<int>> batches = Topic.Keyed<string, IReadOnlyList<int>>("batches");
        _entries.Collect("batch", TimeSpan.FromSeconds(1), maxSize: 3).Output("batches-out", batches);
        _checks.Add((model, topics) => Same(
            "batches",
            model.ToDictionary(entry => entry.Key, entry => Text(entry.Value, topics)),
            topics.Records(batches).GroupBy(record => record.Key).ToDictionary(group => group.Key, group => Text(group.SelectMany(record => record.Value), topics))));
        CheckStates("batch", _ => new Dictionary<string, int>());
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
        CheckStates("sum", model => model.GroupBy(entry => entry.Key[..1], entry => entry.Value).ToDictionary(
            group => group.Key, group => new Sum(group.Sum(values => values.Length), group.Sum(values => values.Sum(value => (long)value)))));
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
        CheckStates("total", _ => new Dictionary<string, long>());
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
        CheckStates("reduce", _ => new Dictionary<string, int>());
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
        CheckStates("hop-count", model => model.GroupBy(entry => entry.Key[1..], entry => entry.Value.Length).ToDictionary(group => group.Key, group => (int?)group.Sum()));
        CheckStates("hop-total", model => model.SelectMany(entry => entry.Value).GroupBy(value => value % 2 == 0 ? "even" : "odd").ToDictionary(group => group.Key, group => (int?)group.Count()));
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
        CheckStates("merge-count", model => model.ToDictionary(entry => entry.Key, entry => (int?)(2 * entry.Value.Length)));
    }

    /// <summary>Timers that bring the next one: they go on when nothing arrives.</summary>
    private void AddTicks()
    {
        KeyedTopic<string, Tick> ticks = Topic.Keyed<string, Tick>("ticks");
        KeyedStream<string, Tick> ticking = _entries.Stateful("tick", () => new Ticker());
        ticking.Output("ticks-out", ticks);
        _checks.Add((model, topics) =>
        {
            IReadOnlyList<KeyValuePair<string, Tick>> all = topics.Records(ticks);
            Running(
                "ticks",
                topics,
                model.ToDictionary(entry => entry.Key, entry => entry.Value.Sum(Ticker.TicksOf)),
                all.Select(record => (record.Key, record.Value.Number)));
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
        });
        CheckStates("tick", model => model.ToDictionary(entry => entry.Key, entry => new TickerState(entry.Value.Sum(Ticker.TicksOf), 0, null)));
    }

    /// <summary>At the end of a finite run: the keys that have a state, no others, and its bytes; no timer is left.</summary>
    private void CheckStates<TState>(string step, Func<Dictionary<string, int[]>, Dictionary<string, TState>> expected) => _checks.Add((model, topics) => Same(
        $"states of {step}",
        expected(model).ToDictionary(entry => entry.Key, entry =>
        {
            ArrayBufferWriter<byte> bytes = new();
            Serde.For<TState>().Serialize(entry.Value, bytes, new SerdeContext("changelog", RecordPart.State));
            return Encoding.UTF8.GetString(bytes.WrittenSpan);
        }),
        topics.States(step).Where(state => state.Envelope is not null).ToDictionary(state => Encoding.UTF8.GetString(state.Key), state =>
        {
            Envelope envelope = Envelope.Read(state.Envelope, step);
            return Encoding.UTF8.GetString(envelope.Payload) + (envelope.NotifyAt == Envelope.Never ? "" : " with a timer");
        })));

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

    /// <param name="Number">1, 2, 3 … of the key.</param>
    /// <param name="Due">The time that was asked for; null for a tick at the end of the input.</param>
    /// <param name="At">The time of the call.</param>
    /// <param name="Timestamp">The timestamp of the call, in milliseconds.</param>
    /// <param name="Next">The time that is asked for next, or null.</param>
    internal sealed record Tick(int Number, DateTimeOffset? Due, DateTimeOffset At, long Timestamp, DateTimeOffset? Next);

    internal sealed record TickerState(int Number, int Left, DateTimeOffset? Due);

    private sealed class Ticker : StatefulLogic<string, int, Tick, TickerState>
    {
        private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(120);

        private TickerState _state = new(0, 0, null);

        public static int TicksOf(int value) => 1 + (Math.Abs(value) % 6);

        public override void Resume(TickerState state) => _state = state;

        public override StateAction OnItem(int value, StatefulContext<string, Tick> context)
        {
            _state = _state with { Left = _state.Left + TicksOf(value), Due = _state.Due ?? context.Now + Interval };
            return StateAction.Retain;
        }

        public override StateAction OnNotify(StatefulContext<string, Tick> context)
        {
            DateTimeOffset? due = _state.Due;
            int left = _state.Left - 1;
            _state = new TickerState(_state.Number + 1, left, left > 0 ? context.Now + Interval : null);
            context.Emit(new Tick(_state.Number, due, context.Now, context.Timestamp.ToUnixTimeMilliseconds(), _state.Due));
            return StateAction.Retain;
        }

        public override StateAction OnEof(StatefulContext<string, Tick> context)
        {
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
}
