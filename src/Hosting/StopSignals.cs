using System.Runtime.InteropServices;

namespace KStreamSharp.Hosting;

/// <summary>
/// SIGTERM and SIGINT: the first asks for the orderly end, a second one ends the process at once. Supervisors may send one
/// request twice, to the process and to its group (timeout, dotnet run): what follows within half a second is the same request.
/// </summary>
internal sealed class StopSignals : IDisposable
{
    private static readonly TimeSpan SameRequest = TimeSpan.FromMilliseconds(500);

    private readonly CancellationTokenSource _stopping = new();
    private readonly TimeProvider _time = TimeProvider.System;
    private readonly PosixSignalRegistration _terminate;
    private readonly PosixSignalRegistration _interrupt;
    private long _asked;

    public StopSignals()
    {
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => Stop(signal, 143));
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => Stop(signal, 130));
    }

    public CancellationToken Token => _stopping.Token;

    /// <summary>Asks for the orderly end as a signal does.</summary>
    public void Stop() => _stopping.Cancel();

    public void Dispose()
    {
        _terminate.Dispose();
        _interrupt.Dispose();
        _stopping.Dispose();
    }

    private void Stop(PosixSignalContext signal, int code)
    {
        signal.Cancel = true;
        long now = _time.GetTimestamp();
        long first = Interlocked.CompareExchange(ref _asked, now, 0);
        if (first == 0)
        {
            _stopping.Cancel();
        }
        else if (_time.GetElapsedTime(first, now) > SameRequest)
        {
            Environment.Exit(code);
        }
    }
}
