using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>Lists by size, by time-out and at the end.</summary>
public class CollectTests
{
    private static readonly KeyedTopic<string, int?> In = Topic.Keyed<string, int?>("in");
    private static readonly KeyedTopic<string, IReadOnlyList<int?>> Out = Topic.Keyed<string, IReadOnlyList<int?>>("out");

    [Fact]
    public void AListIsEmittedWhenItIsFull()
    {
        using FlowDriver driver = Driver();
        Push(driver, 1, 2, 3, 4);
        driver.Run();
        Assert.Equal(["1,2,3"], Lists(driver));
        driver.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(["1,2,3", "4"], Lists(driver));
        Assert.False(driver.TryGetState<string, byte[]>("collect", "k", out _));
    }

    [Fact]
    public void TheTimeOutCountsFromTheLastItem()
    {
        using FlowDriver driver = Driver();
        Push(driver, 1);
        driver.Run();
        driver.Advance(TimeSpan.FromSeconds(7));
        Push(driver, 2);
        driver.Run();
        driver.Advance(TimeSpan.FromSeconds(7));
        Assert.Empty(Lists(driver));
        driver.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(["1,2"], Lists(driver));
    }

    [Fact]
    public void TheTimeOutMayCountFromTheFirstItem()
    {
        using FlowDriver driver = Driver(CollectTimeout.SinceFirstItem);
        Push(driver, 1);
        driver.Run();
        driver.Advance(TimeSpan.FromSeconds(7));
        Push(driver, 2);
        driver.Run();
        driver.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(["1,2"], Lists(driver));
        Push(driver, 3);
        driver.Run();
        driver.Advance(TimeSpan.FromSeconds(9));
        Assert.Single(Lists(driver));
        driver.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(["1,2", "3"], Lists(driver));
    }

    [Fact]
    public void ATimeOutThatRanOutWhileNothingRanFlushesAfterTheStart()
    {
        using FlowDriver driver = Driver();
        Push(driver, 1);
        driver.Run();
        driver.Crash();
        driver.AdvanceQuietly(TimeSpan.FromSeconds(10));
        driver.Restart();
        driver.Run();
        Assert.Equal(["1"], Lists(driver));
    }

    [Fact]
    public void ATimeOutThatHasNotRunOutKeepsItsTime()
    {
        using FlowDriver driver = Driver();
        Push(driver, 1);
        driver.Run();
        driver.Stop();
        driver.AdvanceQuietly(TimeSpan.FromSeconds(6));
        driver.Restart();
        driver.Run();
        Assert.Empty(Lists(driver));
        driver.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal(["1"], Lists(driver));
    }

    [Fact]
    public void AnItemInTheTurnOfTheTimeOutPushesItBack()
    {
        using FlowDriver driver = Driver();
        Push(driver, 1);
        driver.Run();
        driver.AdvanceQuietly(TimeSpan.FromSeconds(10));
        Push(driver, 2);
        driver.Run();
        Assert.Empty(Lists(driver));
        driver.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(["1,2"], Lists(driver));
    }

    [Fact]
    public void TheEndEmitsTheRestAndTheNextRunBeginsAnew()
    {
        using FlowDriver driver = Driver();
        Push(driver, 1, null);
        driver.Run();
        driver.Crash();
        driver.Restart();
        driver.End();
        driver.Restart();
        Push(driver, 3);
        driver.End();
        Assert.Equal(["1,null", "3"], Lists(driver));
    }

    [Fact]
    public void WithoutATimeOutOnlySizeAndEndEmit()
    {
        Dataflow flow = new("collect");
        flow.Input("in", In).Collect("collect", TimeSpan.MaxValue, 2).Output("out", Out);
        using FlowDriver driver = new(flow);
        Push(driver, 1);
        driver.Run();
        driver.Advance(TimeSpan.FromDays(30_000));
        Assert.Empty(Lists(driver));
        Assert.Empty(driver.Timers<string>("collect"));
        Push(driver, 2);
        driver.Run();
        Assert.Equal(["1,2"], Lists(driver));
    }

    private static FlowDriver Driver(CollectTimeout since = CollectTimeout.SinceLastItem)
    {
        Dataflow flow = new("collect");
        flow.Input("in", In).Collect("collect", TimeSpan.FromSeconds(10), 3, since).Output("out", Out);
        return new FlowDriver(flow);
    }

    private static void Push(FlowDriver driver, params int?[] values)
    {
        foreach (int? value in values)
        {
            driver.Push(In, "k", value);
        }
    }

    private static IEnumerable<string> Lists(FlowDriver driver) =>
        driver.Outputs(Out).Select(record => string.Join(',', record.Value.Select(value => value?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "null")));
}
