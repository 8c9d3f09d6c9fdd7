using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>The operators that emit at the end, over shards, instances, crashes and runs.</summary>
public class FinalTests
{
    private static readonly ValueTopic<string> Words = Topic.Values<string>("words");
    private static readonly KeyedTopic<int, string> Out = Topic.Keyed<int, string>("out");

    [Theory]
    [InlineData(1, 1, false)]
    [InlineData(4, 1, true)]
    [InlineData(5, 3, false)]
    public void FinalsEqualAPlainComputation(int shards, int instances, bool evict)
    {
        string[] words = [.. Enumerable.Range(0, 300).Select(i => new string((char)('a' + (i * 7 % 26)), 1 + (i % 9)) + i)];
        Dataflow flow = new("finals");
        KeyedStream<int, string> byLength = flow.Input("words", Words).KeyOn("length", word => word.Length);
        KeyedStream<int, string> all = byLength.MaxFinal("max", StringComparer.Ordinal).MapValue("max-text", word => $"max {word}")
            .Merge(
                "all",
                byLength.MinFinal("min", StringComparer.Ordinal).MapValue("min-text", word => $"min {word}"),
                byLength.ReduceFinal("sum", (x, y) => $"{Number(x) + Number(y)}").MapValue("sum-text", sum => $"sum {Number(sum)}"),
                byLength.FoldFinal("fold", () => 0, (count, _) => count + 1).MapValue("fold-text", count => $"fold {count}"),
                byLength.KeyRemove("words-only").CountFinal("count", word => word.Length).MapValue("count-text", count => $"count {count}"));
        all.Output("out", Out);

        using FlowDriver driver = new(flow, new FlowDriverOptions { Shards = shards, Instances = instances, EvictAlways = evict });
        for (int i = 0; i < words.Length; i++)
        {
            driver.Push(Words, words[i]);
            if (i % 90 == 50)
            {
                driver.Turn();
                driver.Turn();
                driver.Crash();
                driver.Restart();
            }

            if (i % 60 == 40)
            {
                driver.Run();
            }
        }

        driver.End();
        IEnumerable<(int, string)> expected = words.GroupBy(word => word.Length).SelectMany(group => new[]
        {
            (group.Key, $"max {group.Max(StringComparer.Ordinal)}"),
            (group.Key, $"min {group.Min(StringComparer.Ordinal)}"),
            (group.Key, $"sum {group.Sum(Number)}"),
            (group.Key, $"fold {group.Count()}"),
            (group.Key, $"count {group.Count()}"),
        });
        Assert.Equal(expected.Order(), driver.Pairs(Out).Order());

        driver.Restart();
        driver.Push(Words, "z9999");
        driver.End();
        Assert.Equal([(5, "count 1"), (5, "fold 1"), (5, "max z9999"), (5, "min z9999"), (5, "sum 9999")], driver.Pairs(Out).Except(expected).Order());
    }

    [Fact]
    public void OfEqualOnesTheFirstStays()
    {
        KeyedTopic<string, string> names = Topic.Keyed<string, string>("names");
        KeyedTopic<string, string> best = Topic.Keyed<string, string>("best");
        Dataflow flow = new("ties");
        KeyedStream<string, string> input = flow.Input("names", names);
        input.MaxFinal("max", name => name.Length).Merge("both", input.MinFinal("min", name => name.Length)).Output("best", best);
        using FlowDriver driver = new(flow);
        foreach (string name in new[] { "bb", "aa", "cc" })
        {
            driver.Push(names, "k", name);
            driver.Run();
        }

        driver.End();
        Assert.Equal([("k", "bb"), ("k", "bb")], driver.Pairs(best));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ANullAccumulatorStartsAnewInMemoryAsFromTheStore(bool evict)
    {
        KeyedTopic<string, int> numbers = Topic.Keyed<string, int>("numbers");
        KeyedTopic<string, string?> sums = Topic.Keyed<string, string?>("sums");
        Dataflow flow = new("nulls");
        flow.Input("numbers", numbers).FoldFinal<string?>("fold", () => "start", (all, number) => number == 0 ? null : $"{all} {number}").Output("sums", sums);
        using FlowDriver driver = new(flow, new FlowDriverOptions { EvictAlways = evict });
        foreach (int number in new[] { 1, 0, 2, 3 })
        {
            driver.Push(numbers, "k", number);
            driver.Run();
        }

        driver.End();
        Assert.Equal([("k", "start 2 3")], driver.Pairs(sums));
    }

    [Fact]
    public void AReducerIsNotCalledForOneValueAndKeepsNulls()
    {
        KeyedTopic<string, string?> names = Topic.Keyed<string, string?>("names");
        KeyedTopic<string, string?> reduced = Topic.Keyed<string, string?>("reduced");
        Dataflow flow = new("reduce");
        flow.Input("names", names).ReduceFinal("reduce", (x, y) => $"{x ?? "null"}{y ?? "null"}").Output("reduced", reduced);
        using FlowDriver driver = new(flow, new FlowDriverOptions { EvictAlways = true });
        driver.Push(names, "one", "x");
        driver.Push(names, "null", null);
        driver.Push(names, "two", null);
        driver.Run();
        driver.Push(names, "two", "y");
        driver.End();
        Assert.Equal([("null", null), ("one", "x"), ("two", "nully")], driver.Pairs(reduced));
    }

    [Fact]
    public void ACrashKeepsWhatWasCommitted()
    {
        KeyedTopic<string, int> numbers = Topic.Keyed<string, int>("numbers");
        KeyedTopic<string, int> sums = Topic.Keyed<string, int>("sums");
        Dataflow flow = new("abort");
        flow.Input("numbers", numbers).ReduceFinal("sum", (x, y) => x + y).Output("sums", sums);
        using FlowDriver driver = new(flow);
        driver.Push(numbers, "k", 1);
        driver.Push(numbers, "k", 2);
        driver.Run();
        driver.Push(numbers, "k", 10);
        driver.Turn();
        driver.Crash();
        driver.Restart();
        driver.End();
        Assert.Equal([("k", 13)], driver.Pairs(sums));
    }

    private static int Number(string word) => int.Parse(word.TrimStart([.. "abcdefghijklmnopqrstuvwxyz"]), System.Globalization.CultureInfo.InvariantCulture);
}
