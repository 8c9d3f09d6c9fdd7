using System.Buffers;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>A step that puts out its state itself: what comes after keeps what was put out, whatever becomes of the state.</summary>
public class StateThatIsPutOutTests
{
    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");
    private static readonly KeyedTopic<string, string> Out = Topic.Keyed<string, string>("out");

    /// <summary>How the list is put out, what keeps it then, whether logics are evicted after each turn, and whether all values come in one turn.</summary>
    public static TheoryData<string, string, bool, bool> Ways()
    {
        TheoryData<string, string, bool, bool> ways = [];
        foreach (string first in new[] { "StatefulMap", "StatefulMapAsInterface", "StatefulFlatMap", "Stateful", "StatefulBatch" })
        {
            foreach (string then in new[] { "StatefulMap", "FlatMapBatch", "StatefulBatch", "Collect", "Join" })
            {
                foreach (bool inOneTurn in new[] { true, false })
                {
                    if (!inOneTurn || first != "StatefulBatch")
                    {
                        ways.Add(first, then, true, inOneTurn);
                        ways.Add(first, then, false, inOneTurn);
                    }
                }
            }
        }

        return ways;
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void ItIsKeptAsItWasWhenItWasPutOut(string first, string then, bool evictAlways, bool inOneTurn)
    {
        Dataflow flow = new("history");
        Kept(then, PutOut(first, flow.Input("in", In))).Output("out", Out);
        using FlowDriver driver = new(flow, new FlowDriverOptions { EvictAlways = evictAlways });
        foreach (int value in new[] { 1, 2, 3 })
        {
            driver.Push(In, "k", value);
            if (!inOneTurn)
            {
                driver.Run();
            }
        }

        driver.Run();
        driver.End();
        string all = string.Join("|", driver.Outputs(Out).Select(record => record.Value));
        Assert.EndsWith("1|1,2|1,2,3", all, StringComparison.Ordinal);
    }

    [Fact]
    public void OnlyTheStateItselfIsCopied()
    {
        CountingSerde<List<int>> serde = new();
        Dataflow flow = new("copies");
        flow.Input("in", In)
            .StatefulMap("history", (ref List<int>? all, int value) => { all ??= []; all.Add(value); return all.ToList(); }, serde)
            .MapValue("show", list => string.Join(",", list))
            .Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", 1);
        driver.Push(In, "k", 2);
        driver.Turn();
        Assert.Equal((0, 0), (serde.Written, serde.Read));
        driver.Run();
        Assert.Equal([("k", "1"), ("k", "1,2")], driver.Pairs(Out));
    }

    [Fact]
    public void AStateThatCannotChangeIsNotCopied()
    {
        CountingSerde<Total> serde = new();
        Dataflow flow = new("copies");
        flow.Input("in", In)
            .StatefulMap("total", (ref Total? total, int value) => total = new((total?.Sum ?? 0) + value, null), serde)
            .MapValue("show", total => $"{total.Sum}")
            .Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", 1);
        driver.Push(In, "k", 2);
        driver.Turn();
        Assert.Equal((0, 0), (serde.Written, serde.Read));
        driver.Run();
        Assert.Equal([("k", "1"), ("k", "3")], driver.Pairs(Out));
    }

    [Fact]
    public void ASnapshotThatCannotBeTakenYetIsNoReasonToStop()
    {
        Dataflow flow = new("early");
        flow.Input("in", In).Stateful("early", () => new EmitsBeforeItHasAState()).MapValue("show", list => string.Join(",", list)).Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", 1);
        driver.Push(In, "k", 2);
        driver.Run();
        Assert.Equal([("k", "0"), ("k", "1,2")], driver.Pairs(Out));
    }

    private static KeyedStream<string, IReadOnlyList<int>> PutOut(string how, KeyedStream<string, int> stream) => how switch
    {
        "StatefulMap" => stream.StatefulMap("history", (ref List<int>? all, int value) => { all ??= []; all.Add(value); return all; }).MapValue("as", all => (IReadOnlyList<int>)all),
        "StatefulMapAsInterface" => stream.StatefulMap<List<int>, IReadOnlyList<int>>("history", (ref List<int>? all, int value) => { all ??= []; all.Add(value); return all; }),
        "StatefulFlatMap" => stream.StatefulFlatMap<List<int>, IReadOnlyList<int>>("history", (ref List<int>? all, int value) => { all ??= []; all.Add(value); return [all]; }),
        "Stateful" => stream.Stateful("history", () => new History()),
        "StatefulBatch" => stream.StatefulBatch("history", () => new BatchHistory()),
        _ => throw new ArgumentException(how, nameof(how)),
    };

    private static KeyedStream<string, string> Kept(string how, KeyedStream<string, IReadOnlyList<int>> lists) => how switch
    {
        "StatefulMap" => lists.StatefulMap<List<List<int>>, string>("keep", (ref List<List<int>>? kept, IReadOnlyList<int> list) =>
        {
            kept ??= [];
            kept.Add(list as List<int> ?? [.. list]);
            return Show(kept);
        }),
        "FlatMapBatch" => lists.KeyRemove("lists").FlatMapBatch("batch", batch => batch.Select(list => string.Join(",", list)).ToList()).KeyOn("key", _ => "k"),
        "StatefulBatch" => lists.StatefulBatch("keep", () => new Keep()),
        "Collect" => lists.MapValue("typed", list => list as List<int> ?? [.. list]).Collect("keep", TimeSpan.FromHours(1), 3).MapValue("show", Show),
        "Join" => lists.MapValue("typed", list => list as List<int> ?? [.. list]).JoinFinal("keep", Others(lists), JoinInsert.Product).MapValue("show", row => string.Join(",", row.Item1.Value!)),
        _ => throw new ArgumentException(how, nameof(how)),
    };

    private static KeyedStream<string, int> Others(KeyedStream<string, IReadOnlyList<int>> lists) => lists.Filter("none", (_, _) => false).MapValue("count", list => list.Count);

    private static string Show(IEnumerable<IReadOnlyList<int>> lists) => string.Join("|", lists.Select(list => string.Join(",", list)));

    private sealed record Total(int Sum, string? Note);

    private sealed class History : StatefulLogic<string, int, IReadOnlyList<int>, List<int>>
    {
        private List<int> _all = [];

        public override void Resume(List<int> state) => _all = state;

        public override List<int> Snapshot() => _all;

        public override StateAction OnItem(int value, StatefulContext<string, IReadOnlyList<int>> context)
        {
            _all.Add(value);
            context.Emit(_all);
            return StateAction.Retain;
        }
    }

    private sealed class BatchHistory : StatefulBatchLogic<string, int, IReadOnlyList<int>, List<int>>
    {
        private List<int> _all = [];

        public override void Resume(List<int> state) => _all = state;

        public override List<int> Snapshot() => _all;

        public override StateAction OnBatch(IReadOnlyList<int> values, StatefulContext<string, IReadOnlyList<int>> context)
        {
            _all.AddRange(values);
            context.Emit(_all);
            return StateAction.Retain;
        }
    }

    private sealed class EmitsBeforeItHasAState : StatefulLogic<string, int, List<int>, List<int>>
    {
        private List<int>? _all;

        public override void Resume(List<int> state) => _all = state;

        public override List<int> Snapshot() => _all ?? throw new InvalidOperationException("no state yet");

        public override StateAction OnItem(int value, StatefulContext<string, List<int>> context)
        {
            if (_all is null)
            {
                context.Emit([0]);
                _all = [value];
                return StateAction.Retain;
            }

            _all.Add(value);
            context.Emit(_all);
            return StateAction.Retain;
        }
    }

    private sealed class Keep : StatefulBatchLogic<string, IReadOnlyList<int>, string, long>
    {
        public override long Snapshot() => 0;

        public override StateAction OnBatch(IReadOnlyList<IReadOnlyList<int>> values, StatefulContext<string, string> context)
        {
            context.Emit(Show(values));
            return StateAction.Retain;
        }
    }

    private sealed class CountingSerde<T> : Serde<T>
    {
        private readonly Serde<T> _inner = Serde.For<T>();

        public int Written { get; private set; }

        public int Read { get; private set; }

        public override void Serialize(T value, IBufferWriter<byte> output, in SerdeContext context)
        {
            Written++;
            _inner.Serialize(value, output, context);
        }

        public override T Deserialize(ReadOnlySpan<byte> data, in SerdeContext context)
        {
            Read++;
            return _inner.Deserialize(data, context);
        }
    }
}
