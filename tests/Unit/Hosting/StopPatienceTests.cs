using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

/// <summary>An instance that does not end in time after a signal: whose fault that is.</summary>
public sealed class StopPatienceTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public void AStepThatDoesNotReturnIsNamedByItsWorker()
    {
        StreamException error = FlowRunner.NotEnded([new(0, null, TimeSpan.Zero), new(1, null, TimeSpan.FromSeconds(19))], Patience, error: null);

        Assert.Equal(
            (ExitCode.Stalled, "The instance did not end within 20 s of the signal: worker 1 has been in the code of a step for 19 s. What was not committed is done again at the next start."),
            (error.Code, error.Message));
    }

    [Fact]
    public void ABrokerThatIsAwayIsNoStepThatHangs()
    {
        StreamException error = FlowRunner.NotEnded([new(0, null, TimeSpan.Zero), new(1, null, TimeSpan.FromSeconds(1))], Patience, error: null);

        Assert.Equal(ExitCode.Broker, error.Code);
        Assert.Contains("the broker, or the snapshot store, does not answer", error.Message, StringComparison.Ordinal);
    }
}
