namespace KStreamSharp.Hosting;

/// <summary>The processor time of this process from the first record to the last commit, as near as a look every 50 ms comes.</summary>
internal sealed class CpuMeter(Func<EngineStatus> status)
{
    private static readonly TimeSpan Every = TimeSpan.FromMilliseconds(50);

    private TimeSpan _before;
    private TimeSpan _after;
    private long _commits;

    public TimeSpan Used => _after - _before;

    /// <summary>Looks until the token is cancelled, and once more.</summary>
    public async Task MeasureAsync(CancellationToken stop)
    {
        using PeriodicTimer tick = new(Every);
        try
        {
            do
            {
                Look();
            }
            while (await tick.WaitForNextTickAsync(stop));
        }
        catch (OperationCanceledException)
        {
            Look();
        }
    }

    private void Look()
    {
        EngineStatus now = status();
        TimeSpan used = Environment.CpuUsage.TotalTime;
        if (now.RecordsIn == 0)
        {
            _before = _after = used;
        }
        else if (now.Commits != _commits)
        {
            _after = used;
        }

        _commits = now.Commits;
    }
}
