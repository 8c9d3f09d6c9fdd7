using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The log of an instance, in the output of its test.</summary>
internal sealed class TestLogging(string instance, ITestOutputHelper output) : ILoggerFactory, ILogger
{
    /// <summary>What was logged so far.</summary>
    public ConcurrentQueue<string> Lines { get; } = [];

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public ILogger CreateLogger(string categoryName) => this;

    public void Dispose()
    {
    }

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel))
        {
            string line = formatter(state, exception);
            Lines.Enqueue(line);
            output.WriteLine($"{DateTime.UtcNow:HH:mm:ss.fff} {instance} {logLevel}: {line}");
        }
    }
}
