using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>
/// A flow with every kind of effect (running state, a repartition, lists with time-outs, a final), and the plain
/// computation that its outputs must equal.
/// </summary>
internal sealed class LedgerFlow
{
    private readonly Dictionary<string, List<int>> _pushed = [];

    /// <param name="withExtra">Another version of the flow, with steps that change nothing of what is compared.</param>
    public LedgerFlow(bool withExtra = false)
    {
        Flow = new Dataflow("ledger");
        KeyedStream<string, int> entries = Flow.Input("entries", Entries);
        if (withExtra)
        {
            entries = entries.Filter("pass", static (_, _) => true);
            entries.Collect("extra", TimeSpan.FromSeconds(2), maxSize: 2).Output("extra-out", Topic.Keyed<string, IReadOnlyList<int>>("extra"));
        }

        entries.StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("counts-out", Counts);
        entries.Collect("batch", TimeSpan.FromSeconds(1), maxSize: 3).Output("batches-out", Batches);
        entries
            .KeyOn("group", (key, _) => key[..1])
            .StatefulMap("sum", (ref Sum? sum, int value) => sum = new Sum((sum?.Items ?? 0) + 1, (sum?.Total ?? 0) + value))
            .Output("sums-out", Sums);
        entries
            .KeyRemove("unkey")
            .CountFinal("total", value => value % 2 == 0 ? "even" : "odd")
            .Output("totals-out", Totals);
    }

    public static KeyedTopic<string, int> Entries { get; } = Topic.Keyed<string, int>("entries");

    public static KeyedTopic<string, int?> Counts { get; } = Topic.Keyed<string, int?>("counts");

    public static KeyedTopic<string, IReadOnlyList<int>> Batches { get; } = Topic.Keyed<string, IReadOnlyList<int>>("batches");

    public static KeyedTopic<string, Sum> Sums { get; } = Topic.Keyed<string, Sum>("sums");

    public static KeyedTopic<string, long> Totals { get; } = Topic.Keyed<string, long>("totals");

    public Dataflow Flow { get; }

    public void Push(Cluster cluster, string key, int value)
    {
        cluster.Broker.Produce("entries", Bytes(Entries.Key, key), Bytes(Entries.Value, value));
        if (!_pushed.TryGetValue(key, out List<int>? values))
        {
            _pushed[key] = values = [];
        }

        values.Add(value);
    }

    /// <summary>Every effect happened once, in the order of its key; or at least once, with states that are exact.</summary>
    public void AssertExact(Cluster cluster, bool ended, bool once = true)
    {
        if (!once)
        {
            AssertComplete(cluster);
            return;
        }

        Dictionary<string, int[]> counts = ByKey(cluster.Outputs(Counts), value => value!.Value);
        Assert.Equal(_pushed.Keys.Order(), counts.Keys.Order());
        foreach ((string key, int[] values) in counts)
        {
            Assert.Equal(Enumerable.Range(1, _pushed[key].Count), values);
        }

        foreach ((string group, Sum[] sums) in ByKey(cluster.Outputs(Sums), value => value))
        {
            int[] values = [.. _pushed.Where(entry => entry.Key[..1] == group).SelectMany(entry => entry.Value)];
            Assert.Equal(Enumerable.Range(1, values.Length), sums.Select(sum => sum.Items));
            Assert.Equal(values.Sum(), sums[^1].Total);
        }

        Dictionary<string, int[]> batches = ByKey(cluster.Outputs(Batches), value => value).ToDictionary(entry => entry.Key, entry => entry.Value.SelectMany(list => list).ToArray());
        foreach ((string key, int[] values) in batches)
        {
            Assert.Equal(_pushed[key].Take(values.Length), values);
            Assert.True(!ended || values.Length == _pushed[key].Count);
        }

        if (ended)
        {
            // One per run; together they count everything once.
            Assert.Equal(
                _pushed.Values.SelectMany(values => values).GroupBy(value => value % 2 == 0 ? "even" : "odd").Select(group => (group.Key, (long)group.Count())).Order(),
                cluster.Outputs(Totals).GroupBy(output => output.Key).Select(group => (group.Key, group.Sum(output => output.Value))).Order());
        }
    }

    /// <summary>Outputs may repeat from somewhere on, but none is skipped, and none counts anything twice.</summary>
    private void AssertComplete(Cluster cluster)
    {
        Dictionary<string, int[]> counts = ByKey(cluster.Outputs(Counts), value => value!.Value);
        Assert.Equal(_pushed.Keys.Order(), counts.Keys.Order());
        foreach ((string key, int[] values) in counts)
        {
            AssertNoneSkipped(values, _pushed[key].Count);
        }

        foreach ((string group, int[] items) in ByKey(cluster.Outputs(Sums), value => value.Items))
        {
            AssertNoneSkipped(items, _pushed.Where(entry => entry.Key[..1] == group).Sum(entry => entry.Value.Count));
        }
    }

    private static void AssertNoneSkipped(int[] values, int last)
    {
        int largest = 0;
        foreach (int value in values)
        {
            Assert.InRange(value, 1, largest + 1);
            largest = Math.Max(largest, value);
        }

        Assert.Equal(last, largest);
    }

    public int Pushed => _pushed.Values.Sum(values => values.Count);

    private static Dictionary<string, TOut[]> ByKey<TValue, TOut>(IEnumerable<(string Key, TValue Value)> outputs, Func<TValue, TOut> select) =>
        outputs.GroupBy(output => output.Key).ToDictionary(group => group.Key, group => group.Select(output => select(output.Value)).ToArray());

    private static byte[] Bytes<T>(Serde<T> serde, T value)
    {
        System.Buffers.ArrayBufferWriter<byte> buffer = new();
        serde.Serialize(value, buffer, new("entries", RecordPart.Value));
        return buffer.WrittenSpan.ToArray();
    }

    internal sealed record Sum(int Items, long Total);
}
