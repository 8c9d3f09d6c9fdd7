namespace KStreamSharp.Testing;

/// <summary>A fault: an engine that does not look at the clock while it works. What code takes it sees when the turn is over.</summary>
internal sealed class BlindClock(TimeProvider clock) : TimeProvider
{
    private long _hidden;

    public override long TimestampFrequency => clock.TimestampFrequency;

    public override DateTimeOffset GetUtcNow() => clock.GetUtcNow();

    public override long GetTimestamp() => clock.GetTimestamp() - _hidden;

    /// <summary>So much time has passed in a turn.</summary>
    public void Hide(TimeSpan time) => _hidden += time.Ticks * TimestampFrequency / TimeSpan.TicksPerSecond;

    /// <summary>The turn is over.</summary>
    public void Show() => _hidden = 0;
}
