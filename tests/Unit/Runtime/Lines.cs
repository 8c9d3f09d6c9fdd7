using Microsoft.Extensions.Logging;

namespace KStreamSharp.Tests.Runtime;

/// <summary>The lines that were logged, each with its level and id.</summary>
internal sealed class Lines : ILoggerFactory, ILoggerProvider, ILogger
{
    private readonly Lock _gate = new();
    private readonly List<string> _lines = [];

    public IReadOnlyList<string> All
    {
        get
        {
            lock (_gate)
            {
                return [.. _lines];
            }
        }
    }

    /// <summary>Told each line, while the one who logs it waits.</summary>
    public Action<string> Added { get; init; } = _ => { };

    public bool Any(string part) => All.Any(line => line.Contains(part, StringComparison.Ordinal));

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public ILogger CreateLogger(string categoryName) => this;

    public void Dispose()
    {
    }

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        string line = $"{logLevel} {eventId.Id}: {formatter(state, exception)}";
        lock (_gate)
        {
            _lines.Add(line);
        }

        Added(line);
    }
}
