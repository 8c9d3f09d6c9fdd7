using KStreamSharp.Testing;

namespace KStreamSharp.Tests.Simulations;

internal static class RandomSimulation
{
    /// <summary>The random flow of a seed, to be run with the events of the same seed.</summary>
    public static Simulation Of(int seed, Guarantee guarantee, WrongEngine? wrong = null, int shrinkRuns = 200)
    {
        RandomFlow flow = new(seed);
        return new Simulation(flow.Flow, flow.Push, flow.Check)
        {
            Code = flow.Code,
            Partitions = RandomFlow.Partitions,
            Guarantee = guarantee,
            Steps = wrong?.Steps ?? EngineSteps.Default,
            ForgetsPauses = wrong?.ForgetsPauses ?? false,
            IsBlindInTurns = wrong?.IsBlindInTurns ?? false,
            Between = wrong?.Between ?? ((broker, _) => broker),
            ShrinkRuns = shrinkRuns,
        };
    }
}
