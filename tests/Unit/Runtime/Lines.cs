using Microsoft.Extensions.Logging;

namespace KStreamSharp.Tests.Runtime;

/// <summary>The lines that were logged.</summary>
internal sealed class Lines : ILoggerFactory, ILogger
{
    private readonly List<string> _lines = [];

    public bool Any(string part) => _lines.Exists(line => line.Contains(part, StringComparison.Ordinal));

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

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _lines.Add(formatter(state, exception));
}
