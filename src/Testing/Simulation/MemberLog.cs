using Microsoft.Extensions.Logging;

namespace KStreamSharp.Testing;

/// <summary>
/// What one instance logs: for the trace, every look at a folder for a restore, every restore, and every wipe of local state and
/// every abort, with its reason.
/// </summary>
internal sealed class MemberLog(
    Action<string>? says, Action<int> planned, Action<int, long> restored, Action<int, string> wiped, Action<string> aborted)
    : ILoggerFactory, ILogger
{
    private const int PlannedId = 300;
    private const int WipedId = 301;
    private const int RestoredId = 302;
    private const int AbortedId = 400;

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        says?.Invoke(formatter(state, exception));
        if (eventId.Id == AbortedId)
        {
            aborted(formatter(state, exception));
        }

        if (eventId.Id is PlannedId or WipedId or RestoredId && state is IReadOnlyList<KeyValuePair<string, object?>> values)
        {
            Dictionary<string, object?> named = new(values);
            int shard = (int)named["Shard"]!;
            if (eventId.Id == PlannedId)
            {
                planned(shard);
            }
            else if (eventId.Id == RestoredId)
            {
                restored(shard, (long)named["Offset"]!);
            }
            else
            {
                wiped(shard, (string)named["Reason"]!);
            }
        }
    }

    public void Dispose()
    {
    }
}
