using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>Insert modes by emit modes; sides that are late, missing, null, or from several shards.</summary>
public class JoinTests
{
    private static readonly KeyedTopic<string, string?> Left = Topic.Keyed<string, string?>("left");
    private static readonly KeyedTopic<string, int?> Right = Topic.Keyed<string, int?>("right");
    private static readonly KeyedTopic<string, string> Out = Topic.Keyed<string, string>("out");

    /// <summary>Left a, left b, right 1, right 2, left c; then the end.</summary>
    [Theory]
    [InlineData(JoinInsert.First, "complete", "(a, 1)")]
    [InlineData(JoinInsert.Last, "complete", "(b, 1) (c, 2)")]
    [InlineData(JoinInsert.Product, "complete", "(a, 1) (b, 1) (c, 2)")]
    [InlineData(JoinInsert.First, "final", "(a, 1)")]
    [InlineData(JoinInsert.Last, "final", "(c, 2)")]
    [InlineData(JoinInsert.Product, "final", "(a, 1) (a, 2) (b, 1) (b, 2) (c, 1) (c, 2)")]
    [InlineData(JoinInsert.First, "running", "(a, -) (a, -) (a, 1) (a, 1) (a, 1)")]
    [InlineData(JoinInsert.Last, "running", "(a, -) (b, -) (b, 1) (b, 2) (c, 2)")]
    [InlineData(JoinInsert.Product, "running", "(a, -) (a, -) (b, -) (a, 1) (b, 1) (a, 1) (a, 2) (b, 1) (b, 2) (a, 1) (a, 2) (b, 1) (b, 2) (c, 1) (c, 2)")]
    public void WhatIsKeptAndWhatIsEmitted(JoinInsert insert, string emit, string expected)
    {
        // Complete and first: after (a, 1) the key is forgotten, so right 2 and left c make the second row.
        string rows = insert == JoinInsert.First && emit == "complete" ? expected + " (c, 2)" : expected;
        foreach (bool evict in new[] { false, true })
        {
            using FlowDriver driver = new(Flow(insert, emit), new FlowDriverOptions { EvictAlways = evict });
            Push(driver, left: "a");
            Push(driver, left: "b");
            driver.Run();
            driver.Crash();
            driver.Restart();
            Push(driver, right: 1);
            Push(driver, right: 2);
            Push(driver, left: "c");
            driver.End();
            Assert.Equal(rows, Rows(driver));
        }
    }

    [Fact]
    public void ANullValueIsAValueOfItsSide()
    {
        using FlowDriver driver = new(Flow(JoinInsert.Last, "complete"));
        Push(driver, left: "a", right: null, nullRight: true);
        driver.Crash();
        driver.Restart();
        driver.Run();
        Assert.Equal("(a, )", Rows(driver));

        using FlowDriver running = new(Flow(JoinInsert.Last, "running"));
        running.Push(Left, "k", null);
        running.Run();
        running.Crash();
        running.Restart();
        Push(running, right: 1);
        running.Run();
        Assert.Equal("(, -) (, 1)", Rows(running));
    }

    [Fact]
    public void UnmatchedValuesWaitOverTheEndOfARun()
    {
        using FlowDriver driver = new(Flow(JoinInsert.Last, "complete"));
        Push(driver, left: "a");
        driver.End();
        Assert.Empty(Rows(driver));
        driver.Restart();
        Push(driver, right: 1);
        driver.End();
        Assert.Equal("(a, 1)", Rows(driver));
        driver.Restart();
        Push(driver, right: 2);
        driver.End();
        Assert.Equal("(a, 1)", Rows(driver));
    }

    [Fact]
    public void AFinalJoinEmitsWhatThereIsAndBeginsAnew()
    {
        using FlowDriver driver = new(Flow(JoinInsert.Last, "final"));
        Push(driver, left: "a");
        driver.End();
        Assert.Equal("(a, -)", Rows(driver));
        driver.Restart();
        Push(driver, right: 1);
        driver.End();
        Assert.Equal("(a, -) (-, 1)", Rows(driver));
    }

    [Fact]
    public void ARunningJoinGoesOnAfterTheEnd()
    {
        using FlowDriver driver = new(Flow(JoinInsert.Last, "running"));
        Push(driver, left: "a");
        driver.End();
        driver.Restart();
        Push(driver, right: 1);
        driver.End();
        Assert.Equal("(a, -) (a, 1)", Rows(driver));
    }

    [Fact]
    public void FourSidesMakeRowsInTheOrderOfTheSidesTheRightMostFastest()
    {
        Dataflow flow = new("four");
        KeyedTopic<string, string>[] topics = [.. Enumerable.Range(0, 4).Select(side => Topic.Keyed<string, string>($"side-{side}"))];
        KeyedStream<string, string>[] sides = [.. topics.Select(topic => flow.Input(topic.Name, topic))];
        sides[0].Join("typed", sides[1], sides[2], sides[3], JoinInsert.Product).MapValue("t", row => $"{row.Item1}{row.Item2}{row.Item3}{row.Item4}").Output("out", Out);
        sides[0].Join("listed", [sides[1], sides[2], sides[3]], JoinInsert.Product).MapValue("l", string.Concat).Output("listed-out", Topic.Keyed<string, string>("listed"));
        using FlowDriver driver = new(flow);
        foreach (int side in new[] { 3, 1, 0, 1, 0, 2 })
        {
            driver.Push(topics[side], "k", $"{"abcd"[side]}{driver.Emitted(topics[side]).Count + 1}");
        }

        driver.Run();
        Assert.Equal("a1b1c1d1 a1b2c1d1 a2b1c1d1 a2b2c1d1", Rows(driver));
        Assert.Equal(Rows(driver), string.Join(' ', driver.Outputs(Topic.Keyed<string, string>("listed")).Select(record => record.Value)));
    }

    [Fact]
    public void OneSideAloneMakesRowsOfOne()
    {
        Dataflow flow = new("one");
        flow.Input("left", Left).Join("alone", []).MapValue("text", row => string.Join(',', row)).Output("out", Out);
        using FlowDriver driver = new(flow);
        Push(driver, left: "a");
        Push(driver, left: "b");
        driver.Run();
        Assert.Equal("a b", Rows(driver));
    }

    [Fact]
    public void SidesMeetWhoseKeysHaveChanged()
    {
        Dataflow flow = new("meet");
        KeyedStream<string, string> left = flow.Input("left", Left).KeyOn("left-key", (_, value) => value![..1]).MapValue("l", value => value!);
        KeyedStream<string, int> right = flow.Input("right", Right).KeyOn("right-key", (_, value) => $"{(char)('a' + (value!.Value % 26))}").MapValue("r", value => value!.Value);
        left.Join("join", right).MapValue("row", row => $"{row}").Output("out", Out);
        using FlowDriver driver = new(flow, new FlowDriverOptions { Shards = 4, Instances = 2 });
        for (int i = 0; i < 26; i++)
        {
            driver.Push(Left, $"x{i}", $"{(char)('a' + i)}{i}");
            driver.Push(Right, $"y{i}", i);
        }

        driver.Run();
        Assert.Equal(
            Enumerable.Range(0, 26).Select(i => ($"{(char)('a' + i)}", $"({(char)('a' + i)}{i}, {i})")).Order(),
            driver.Pairs(Out).Order());
    }

    private static Dataflow Flow(JoinInsert insert, string emit)
    {
        Dataflow flow = new("join");
        KeyedStream<string, string?> left = flow.Input("left", Left);
        KeyedStream<string, int?> right = flow.Input("right", Right);
        KeyedStream<string, string> rows = emit switch
        {
            "complete" => left.Join("join", right, insert).MapValue("text", row => $"{row}"),
            "final" => left.JoinFinal("join", right, insert).MapValue("text", row => $"{row}"),
            _ => left.JoinRunning("join", right, insert).MapValue("text", row => $"{row}"),
        };
        rows.Output("out", Out);
        return flow;
    }

    private static void Push(FlowDriver driver, string? left = null, int? right = null, bool nullRight = false)
    {
        driver.AdvanceQuietly(TimeSpan.FromMilliseconds(1));
        if (left is not null)
        {
            driver.Push(Left, "k", left);
        }

        if (right is not null || nullRight)
        {
            driver.Push(Right, "k", right);
        }
    }

    private static string Rows(FlowDriver driver) => string.Join(' ', driver.Outputs(Out).Select(record => record.Value));
}
