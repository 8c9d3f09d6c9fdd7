using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>The operators without state, where the examples leave a question open.</summary>
public class StatelessTests
{
    private static readonly ValueTopic<string?> Lines = Topic.ValuesOrNull<string>("lines");
    private static readonly ValueTopic<string?> Out = Topic.Values<string?>("out");

    private readonly Dataflow _flow = new("stateless");
    private readonly Stream<string?> _lines;

    public StatelessTests() => _lines = _flow.Input("lines", Lines);

    [Fact]
    public void NullIsAnItem()
    {
        _lines.Map("same", line => line).Output("out", Out);
        Assert.Equal([null, "a"], Run(null, "a"));
    }

    [Fact]
    public void FilterMapDropsNullAndNothingElse()
    {
        _lines.FilterMap("length", line => line?.Length).Map("text", length => (string?)$"{length}").Output("out", Out);
        Assert.Equal(["0", "1"], Run(null, "", "a"));
    }

    [Fact]
    public void EverybodySeesEveryItemInTheOrderInWhichTheyWereAdded()
    {
        List<string> seen = [];
        _lines.Inspect("first", (_, line) => seen.Add($"1{line}")).Output("out", Out);
        _lines.Inspect("second", (_, line) => seen.Add($"2{line}"));
        _lines.Inspect("third", (step, line) => seen.Add($"{step}{line}"));
        Run("a", "b");
        Assert.Equal(["1a", "2a", "stateless.thirda", "1b", "2b", "stateless.thirdb"], seen);
    }

    [Fact]
    public void AMergeKeepsTheOrderOfEachSideAndMayHaveOneTwice()
    {
        ValueTopic<string?> more = Topic.Values<string?>("more");
        Stream<string?> other = _flow.Input("more", more);
        _lines.Merge("merge", other, _lines).Output("out", Out);
        using FlowDriver driver = new(_flow);
        DateTimeOffset start = driver.Now;
        for (int i = 0; i < 20; i++)
        {
            driver.Push(Lines, $"a{i:00}", start.AddSeconds(20 - i));
            driver.Push(more, $"b{i:00}", start.AddSeconds(i));
        }

        driver.Run();
        string?[] merged = [.. driver.Outputs(Out)];
        Assert.Equal(60, merged.Length);
        Assert.Equal(merged.Where(line => line![0] == 'b').Order(), merged.Where(line => line![0] == 'b'));
        Assert.Equal(merged.Where(line => line![0] == 'a').Order(), merged.Where(line => line![0] == 'a'));
    }

    [Fact]
    public void BranchSplitsWithoutLossInOrder()
    {
        ValueTopic<string?> falses = Topic.Values<string?>("falses");
        (Stream<string?> shorter, Stream<string?> longer) = _lines.Branch("short", line => line!.Length < 2);
        shorter.Output("out", Out);
        longer.Output("falses", falses);
        using FlowDriver driver = new(_flow);
        foreach (string line in new[] { "a", "bb", "c", "dd" })
        {
            driver.Push(Lines, line);
        }

        driver.Run();
        Assert.Equal(["a", "c"], driver.Outputs(Out));
        Assert.Equal(["bb", "dd"], driver.Outputs(falses));
    }

    [Fact]
    public void ABranchThatNobodyUsesIsFine()
    {
        _lines.Branch("short", line => line!.Length < 2).Trues.Output("out", Out);
        Assert.Equal(["a"], Run("a", "bb"));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(4, 2)]
    public void RedistributeLosesNothingAndUsesAllShards(int shards, int instances)
    {
        _lines.Redistribute("spread").Output("out", Out);
        using FlowDriver driver = new(_flow, new FlowDriverOptions { Shards = shards, Instances = instances });
        string[] lines = [.. Enumerable.Range(0, 200).Select(i => $"{i}")];
        foreach (string line in lines)
        {
            driver.Push(Lines, line);
        }

        driver.Turn();
        driver.Crash();
        driver.Restart();
        driver.End();
        Assert.Equal(lines.Order(), driver.Outputs(Out).Order());
    }

    [Fact]
    public void ACacheLooksUpOncePerTimeToLive()
    {
        List<string> asked = [];
        _lines.EnrichCached<string, string?, string?>(
            "enrich",
            key =>
            {
                asked.Add(key);
                return key == "none" ? null : $"{key}{asked.Count}";
            },
            (cache, line) => cache.Get(line!),
            TimeSpan.FromSeconds(10)).Output("out", Out);
        using FlowDriver driver = new(_flow);
        foreach ((string line, int wait) in new[] { ("a", 0), ("a", 10), ("a", 0), ("a", 1), ("none", 0), ("none", 0), ("b", 0) })
        {
            driver.Push(Lines, line);
            driver.Run();
            driver.AdvanceQuietly(TimeSpan.FromSeconds(wait));
        }

        driver.Push(Lines, "a");
        driver.Run();

        // The second and third "a" hit, the third exactly at the limit; a hit does not renew; a null is kept as well.
        Assert.Equal(["a1", "a1", "a1", "a1", null, null, "b3", "a4"], driver.Outputs(Out));
        Assert.Equal(["a", "none", "b", "a"], asked);
    }

    [Fact]
    public void ACacheForgetsAndBeginsEmptyAfterAStart()
    {
        int asked = 0;
        _lines.EnrichCached<string, int, string?>(
            "enrich",
            _ => ++asked,
            (cache, line) =>
            {
                int value = cache.Get("key");
                if (line == "forget")
                {
                    cache.Remove("key");
                }

                return $"{value}";
            }).Output("out", Out);
        using FlowDriver driver = new(_flow);
        foreach (string line in new[] { "x", "forget", "x" })
        {
            driver.Push(Lines, line);
        }

        driver.Run();
        driver.Advance(TimeSpan.FromDays(1_000));
        driver.Push(Lines, "x");
        driver.Run();
        driver.Crash();
        driver.Restart();
        driver.Push(Lines, "x");
        driver.Run();
        Assert.Equal(["1", "1", "2", "2", "3"], driver.Outputs(Out));
    }

    [Fact]
    public void ABatchIsWhatATurnHasAndItsItemsArriveBeforeTheTurnEnds()
    {
        List<int> sizes = [];
        _lines.FlatMapBatch("outer", batch => batch).FlatMapBatch("inner", batch =>
        {
            sizes.Add(batch.Count);
            return batch;
        }).Output("out", Out);
        using FlowDriver driver = new(_flow);
        driver.Push(Lines, "a");
        driver.Push(Lines, "b");
        driver.Turn();
        driver.Push(Lines, "c");
        driver.Run();
        Assert.Equal([2, 1], sizes);
        Assert.Equal(["a", "b", "c"], driver.Outputs(Out));
    }

    private IReadOnlyList<string?> Run(params string?[] lines)
    {
        using FlowDriver driver = new(_flow);
        foreach (string? line in lines)
        {
            driver.Push(Lines, line);
        }

        driver.Run();
        return driver.Outputs(Out);
    }
}
