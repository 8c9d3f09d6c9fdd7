using CsCheck;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>
/// A run that is cut by turns, commits and crashes, over several shards and instances and with states dropped from memory,
/// puts out the same values per key as one that nothing disturbs.
/// </summary>
public class CutPointTests
{
    private static readonly KeyedTopic<string, int> Numbers = Topic.Keyed<string, int>("numbers");
    private static readonly KeyedTopic<string, string?> Texts = Topic.Keyed<string, string?>("texts");

    private static readonly KeyedTopic<string, string>[] Outputs =
        [.. new[] { "sum", "flat", "collect", "first", "timer", "product", "running", "batch", "fold", "max", "rows" }.Select(name => Topic.Keyed<string, string>($"out-{name}"))];

    private static readonly KeyedTopic<int, long> Counts = Topic.Keyed<int, long>("out-count");

    private static readonly Gen<Cut> Cuts = Gen.Frequency(
        (10, Gen.Select(Gen.Int[0, 5], Gen.Int[-9, 30], (key, value) => new Cut(CutKind.Number, $"k{key}", value))),
        (4, Gen.Select(Gen.Int[0, 5], Gen.Int[0, 9], (key, value) => new Cut(CutKind.Text, $"k{key}", value))),
        (4, Gen.Const(new Cut(CutKind.Turn))),
        (3, Gen.Const(new Cut(CutKind.Commit))),
        (2, Gen.Const(new Cut(CutKind.Crash))),
        (1, Gen.Const(new Cut(CutKind.Stop))),
        (2, Gen.Int[1, 8].Select(seconds => new Cut(CutKind.Advance, "", seconds))),
        (1, Gen.Const(new Cut(CutKind.End))));

    private static readonly Gen<FlowDriverOptions> Options = Gen.Select(
        Gen.Int[1, 3], Gen.Int[1, 2], Gen.Bool, (shards, instances, evict) => new FlowDriverOptions { Shards = shards, Instances = instances, EvictAlways = evict });

    [Fact]
    public void CutsLeaveNoTraceInTheOutputs() => Gen.Select(Cuts.List[1, 50], Options).Sample(
        (cuts, options) =>
        {
            Dictionary<string, List<string>> expected = Play(cuts.Where(cut => cut.Kind is not (CutKind.Turn or CutKind.Commit or CutKind.Crash or CutKind.Stop)), new FlowDriverOptions());
            Dictionary<string, List<string>> actual = Play(cuts, options);
            Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), actual.Keys.Order(StringComparer.Ordinal));
            Assert.All(expected, key => Assert.Equal($"{key.Key}: {string.Join(" | ", key.Value)}", $"{key.Key}: {string.Join(" | ", actual[key.Key])}"));
        },
        iter: 12);

    /// <summary>The outputs by topic and key, in order.</summary>
    private static Dictionary<string, List<string>> Play(IEnumerable<Cut> cuts, FlowDriverOptions options)
    {
        using FlowDriver driver = new(Flow(), options);
        DateTimeOffset timestamp = new(2023, 1, 1, 0, 0, 0, TimeSpan.Zero);
        foreach (Cut cut in cuts.Append(new Cut(CutKind.End)))
        {
            timestamp = timestamp.AddMilliseconds(1);
            Do(driver, cut, timestamp);
        }

        return Outputs
            .SelectMany(topic => driver.Outputs(topic), (topic, record) => (Key: $"{topic.Name} {record.Key}", record.Value))
            .Concat(driver.Outputs(Counts).Select(record => (Key: $"count {record.Key}", Value: $"{record.Value}")))
            .GroupBy(record => record.Key, record => record.Value)
            .ToDictionary(group => group.Key, group => group.ToList());
    }

    private static void Do(FlowDriver driver, Cut cut, DateTimeOffset timestamp)
    {
        switch (cut.Kind)
        {
            case CutKind.Number:
                driver.Push(Numbers, cut.Key, cut.Number, timestamp);
                break;
            case CutKind.Text:
                driver.Push(Texts, cut.Key, cut.Number == 0 ? null : $"t{cut.Number}", timestamp);
                break;
            case CutKind.Turn:
                driver.Turn();
                break;
            case CutKind.Commit:
                driver.Commit();
                break;
            case CutKind.Crash:
                driver.Crash();
                driver.Restart();
                break;
            case CutKind.Stop:
                driver.Stop();
                driver.Restart();
                break;
            case CutKind.Advance:
                // All that was pushed is handled at the time before, as in the run without cuts.
                driver.Run();
                driver.Advance(TimeSpan.FromSeconds(cut.Number));
                break;
            default:
                driver.End();
                driver.Restart();
                break;
        }
    }

    private static Dataflow Flow()
    {
        Dataflow flow = new("cuts");
        KeyedStream<string, int> numbers = flow.Input("numbers", Numbers);
        KeyedStream<string, string?> texts = flow.Input("texts", Texts);

        numbers.StatefulMap("sum", (ref int? sum, int number) =>
        {
            sum = (sum ?? 0) + number;
            int made = sum.Value;
            sum = number % 7 == 0 ? null : sum;
            return $"{made}";
        }).Output("out-sum", Outputs[0]);
        numbers.KeyOn("renamed", (key, _) => $"r{key}").StatefulFlatMap("flat", (ref List<int>? all, int number) =>
        {
            (all ??= []).Add(number);
            string made = string.Join(',', all);
            all = all.Count == 4 ? null : all;
            return new[] { made, $"{number}" };
        }).Output("out-flat", Outputs[1]);
        numbers.Collect("collect", TimeSpan.FromSeconds(5), 3).MapValue("collected", list => string.Join(',', list)).Output("out-collect", Outputs[2]);
        numbers.Collect("first", TimeSpan.FromSeconds(5), 100, CollectTimeout.SinceFirstItem).MapValue("firsts", list => string.Join(',', list)).Output("out-first", Outputs[3]);
        KeyedStream<string, string> timers = numbers.Stateful("timer", () => new TimerLogic());
        timers.Output("out-timer", Outputs[4]);
        numbers.Join("product", texts, JoinInsert.Product).MapValue("p", row => $"{row}").Output("out-product", Outputs[5]);
        numbers.JoinRunning("running", texts, JoinInsert.First).MapValue("r", row => $"{row}").Output("out-running", Outputs[6]);
        numbers.StatefulBatch("batch", () => new SumLogic()).Output("out-batch", Outputs[7]);
        numbers.FoldFinal("fold", () => "", (all, number) => $"{all};{number}").Output("out-fold", Outputs[8]);
        numbers.MaxFinal("max", number => Math.Abs(number)).MapValue("m", number => $"{number}").Output("out-max", Outputs[9]);
        timers.JoinFinal("rows", texts, JoinInsert.Last).MapValue("f", row => $"{row}").Output("out-rows", Outputs[10]);
        numbers.KeyRemove("values").CountFinal("count", number => number % 3).Output("out-count", Counts);
        return flow;
    }

    private enum CutKind
    {
        Number,
        Text,
        Turn,
        Commit,
        Crash,
        Stop,
        Advance,
        End,
    }

    private sealed record Cut(CutKind Kind, string Key = "", int Number = 0);

    /// <summary>Rings four seconds after the last number; a negative one cancels; every third ring forgets the key.</summary>
    private sealed class TimerLogic : StatefulLogic<string, int, string, (int Rings, List<int> Numbers, DateTimeOffset? At)>
    {
        private readonly List<int> _numbers = [];
        private int _rings;
        private DateTimeOffset? _at;

        public override void Resume((int Rings, List<int> Numbers, DateTimeOffset? At) state)
        {
            (_rings, List<int> numbers, _at) = state;
            _numbers.AddRange(numbers);
        }

        public override (int Rings, List<int> Numbers, DateTimeOffset? At) Snapshot() => (_rings, _numbers, _at);

        public override DateTimeOffset? NotifyAt() => _at;

        public override StateAction OnItem(int value, StatefulContext<string, string> context)
        {
            _numbers.Add(value);
            _at = value < 0 ? null : context.Now.AddSeconds(4);
            return value == 30 ? StateAction.Discard : StateAction.Retain;
        }

        public override StateAction OnNotify(StatefulContext<string, string> context)
        {
            context.Emit($"ring {++_rings} at {context.Timestamp:mm:ss} with {string.Join(',', _numbers)}");
            _at = null;
            return _rings == 3 ? StateAction.Discard : StateAction.Retain;
        }

        public override StateAction OnEof(StatefulContext<string, string> context)
        {
            context.Emit($"end after {_rings} rings and {_numbers.Count} numbers");
            return _numbers.Count % 2 == 0 ? StateAction.Retain : StateAction.Discard;
        }
    }

    private sealed class SumLogic : StatefulBatchLogic<string, int, string, long>
    {
        private long _sum;

        public override void Resume(long state) => _sum = state;

        public override long Snapshot() => _sum;

        public override StateAction OnBatch(IReadOnlyList<int> values, StatefulContext<string, string> context)
        {
            foreach (int value in values)
            {
                context.Emit($"{_sum += value}");
            }

            return StateAction.Retain;
        }
    }
}
