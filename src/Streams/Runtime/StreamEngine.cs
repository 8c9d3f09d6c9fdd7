using Microsoft.Extensions.Logging;

namespace KStreamSharp;

/// <summary>One instance of an application: runs a flow on a broker until it is stopped, or to the end of its inputs.</summary>
public sealed class StreamEngine : IDisposable
{
    /// <summary>An instance that has not been started.</summary>
    /// <param name="flow">The flow; it cannot be changed afterwards.</param>
    /// <param name="broker">The broker.</param>
    /// <param name="options">How to run; null for the defaults.</param>
    /// <param name="logging">Where to log; null for nowhere.</param>
    /// <param name="time">The clock; null for the system's.</param>
    /// <exception cref="FlowException">The flow is not complete.</exception>
    /// <exception cref="StreamException">An option cannot be used.</exception>
    public StreamEngine(Dataflow flow, Broker broker, StreamOptions? options = null, ILoggerFactory? logging = null, TimeProvider? time = null)
    {
    }

    /// <summary>What the instance has done so far and how its shards are. Cheap; safe to call from any thread.</summary>
    public EngineStatus Status => throw new NotImplementedException();

    /// <summary>
    /// Runs. The task ends when the token is cancelled (after a commit and an orderly leave) or when a finite run is done.
    /// </summary>
    /// <param name="stop">Asks for an orderly end.</param>
    /// <exception cref="StreamException">The application cannot go on; the message says why and what to do.</exception>
    public Task RunAsync(CancellationToken stop = default) => throw new NotImplementedException();

    /// <summary>Closes what is still open.</summary>
    public void Dispose()
    {
    }
}
