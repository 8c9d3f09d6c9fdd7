using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

public class FlowDriverTests
{
    private static readonly KeyedTopic<string, int> Orders = Topic.Keyed<string, int>("orders");
    private static readonly KeyedTopic<string, int?> Totals = Topic.Keyed<string, int?>("totals");

    [Fact]
    public void A_running_total_survives_a_crash_and_what_was_not_committed_is_done_again()
    {
        using FlowDriver driver = new(TotalsFlow());
        driver.Push(Orders, "a", 1);
        driver.Push(Orders, "b", 5);
        driver.Run();
        driver.Push(Orders, "a", 2);
        driver.Turn();
        driver.Crash();

        driver.Restart();
        driver.Push(Orders, "a", 4);
        driver.Run();

        Assert.Equal([("a", 1), ("b", 5), ("a", 3), ("a", 7)], driver.Outputs(Totals).Select(record => (record.Key, record.Value!.Value)));
        Assert.True(driver.TryGetState("total", "a", out int total));
        Assert.Equal(7, total);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(4, 1)]
    [InlineData(4, 3)]
    public void Finals_across_a_repartition_topic_count_every_item_once(int shards, int instances)
    {
        ValueTopic<string> words = Topic.Values<string>("words");
        KeyedTopic<string, long> counts = Topic.Keyed<string, long>("counts");
        Dataflow flow = new("word-count");
        flow.Input("words", words).FlatMap("split", text => text.Split(' ')).CountFinal("count", word => word).Output("counts", counts);

        using FlowDriver driver = new(flow, new FlowDriverOptions { Shards = shards, Instances = instances });
        for (int i = 0; i < 500; i++)
        {
            driver.Push(words, $"w{i % 7} w{i % 3}");
        }

        driver.End();

        Dictionary<string, long> expected = Enumerable.Range(0, 500).SelectMany(i => new[] { $"w{i % 7}", $"w{i % 3}" }).GroupBy(word => word).ToDictionary(group => group.Key, group => (long)group.Count());
        Assert.Equal(expected, driver.Outputs(counts).ToDictionary(record => record.Key, record => record.Value));
        driver.Restart();
        driver.Push(words, "w1");
        driver.End();
        Assert.Equal(expected.Count + 1, driver.Outputs(counts).Count);
    }

    private static Dataflow TotalsFlow()
    {
        Dataflow flow = new("totals");
        flow.Input("orders", Orders)
            .StatefulMap("total", (ref int? total, int order) => total = (total ?? 0) + order)
            .Output("out", Totals);
        return flow;
    }
}
