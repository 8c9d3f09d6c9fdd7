using System.Runtime.InteropServices;

namespace KStreamSharp.Hosting;

/// <summary>SIGTERM and SIGINT: the first asks for the orderly end, a second one ends the process at once.</summary>
internal sealed class StopSignals : IDisposable
{
    private readonly CancellationTokenSource _stopping = new();
    private readonly PosixSignalRegistration _terminate;
    private readonly PosixSignalRegistration _interrupt;

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
        if (_stopping.IsCancellationRequested)
        {
            Environment.Exit(code);
        }

        _stopping.Cancel();
    }
}
