using KStreamSharp.Testing;
using KStreamSharp.Tests.Simulations;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>A short run of the simulator; <c>tests/Simulation</c> is the long one.</summary>
public class SimulationTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 30)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void NothingIsLostOrDoubledWhateverHappens(int seed)
    {
        SimulationReport report = RandomSimulation.Of(seed, seed % 4 == 3 ? Guarantee.AtLeastOnce : Guarantee.ExactlyOnce).Run(seed);
        Assert.True(report.Breach is null, $"{report.Breach}\n{string.Join("\n", report.Events)}");
    }

    /// <summary>Seeds that have found something.</summary>
    /// <param name="seed">1194: a snapshot's check passed over blocks that were shadowed, or in the cache.</param>
    /// <param name="guarantee">What it was found with.</param>
    [Theory]
    [InlineData(1194, Guarantee.AtLeastOnce)]
    public void WhatWasFoundDoesNotComeBack(int seed, Guarantee guarantee)
    {
        SimulationReport report = RandomSimulation.Of(seed, guarantee, shrinkRuns: 0).Run(seed);
        Assert.True(report.Breach is null, report.Breach);
    }

    /// <summary>The same seed does no harm to the right engine: what is found is the wrong step.</summary>
    [Theory]
    [InlineData("a", 2)]
    [InlineData("b", 2)]
    [InlineData("c", 0)]
    [InlineData("d", 33)]
    [InlineData("e", 26)]
    [InlineData("f", 16)]
    [InlineData("g", 2)]
    [InlineData("h", 50)]
    [InlineData("i", 372)]
    [InlineData("j", 6)]
    [InlineData("k", 62)]
    [InlineData("l", 46)]
    [InlineData("m", 9)]
    [InlineData("n", 21)]
    [InlineData("o", 4)]
    public void AWrongEngineIsFound(string wrong, int seed)
    {
        Assert.NotNull(RandomSimulation.Of(seed, Guarantee.ExactlyOnce, WrongEngines.All[wrong], shrinkRuns: 0).Run(seed).Breach);
        Assert.Null(RandomSimulation.Of(seed, Guarantee.ExactlyOnce, shrinkRuns: 0).Run(seed).Breach);
    }

    [Fact]
    public void TheSameSeedGivesTheSameRun()
    {
        List<string> first = [];
        List<string> second = [];
        SimulationReport one = RandomSimulation.Of(7, Guarantee.ExactlyOnce).Run(7, first.Add);
        SimulationReport two = RandomSimulation.Of(7, Guarantee.ExactlyOnce).Run(7, second.Add);
        Assert.NotEmpty(one.Faults);
        Assert.Equal(one.Faults, two.Faults);
        Assert.Equal(first, second);
    }

    [Fact]
    public void AFlowThatIsWrongIsFoundWithAShortList()
    {
        KeyedTopic<string, int> numbers = Topic.Keyed<string, int>("numbers");
        KeyedTopic<string, int> copies = Topic.Keyed<string, int>("copies");
        Dataflow flow = new("copy");
        flow.Input("numbers", numbers).FilterValue("seven", value => value != 7).Output("copies-out", copies);
        SimulationReport report = new Simulation(
            flow,
            (_, topics) => topics.Push(numbers, "key", topics.Pushed),
            topics => Assert.Equal(topics.Records(numbers).Count, topics.Records(copies).Count)).Run(1);
        Assert.NotNull(report.Breach);
        Assert.InRange(report.Events.Count, 2, 12);
        Assert.DoesNotContain(report.Events, e => e.StartsWith("Crash", StringComparison.Ordinal));
    }
}
