using KStreamSharp.Testing;

namespace KStreamSharp.Tests.Simulations;

internal static class RandomSimulation
{
    /// <summary>The random flow of a seed, to be run with the events of the same seed.</summary>
    public static Simulation Of(int seed, Guarantee guarantee, EngineSteps? steps = null, int shrinkRuns = 200)
    {
        RandomFlow flow = new(seed);
        return new Simulation(flow.Flow, RandomFlow.Push, flow.Check) { Guarantee = guarantee, Steps = steps ?? EngineSteps.Default, ShrinkRuns = shrinkRuns };
    }
}
