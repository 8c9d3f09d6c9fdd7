using System.Globalization;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>Writes warnings and errors to standard error, a line each; can hold them back for a while.</summary>
internal sealed class HostLog(TextWriter errors, TimeProvider time) : ILoggerProvider, ILogger
{
    private const int HeldMax = 1_000;

    private readonly Lock _gate = new();
    private Queue<string>? _held;

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel is >= LogLevel.Warning and < LogLevel.None;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (!IsEnabled(logLevel))
        {
            return;
        }

        string reason = exception is null ? "" : $" {exception.Message}";
        string line = string.Create(
            CultureInfo.InvariantCulture,
            $"{time.GetUtcNow():yyyy-MM-dd HH:mm:ss.fff}Z {logLevel.ToString().ToLowerInvariant()} [{eventId.Id}] {formatter(state, exception)}{reason}");
        lock (_gate)
        {
            if (_held is null)
            {
                errors.WriteLine(line);
                return;
            }

            _held.Enqueue(line);
            if (_held.Count > HeldMax)
            {
                _held.Dequeue();
            }
        }
    }

    /// <summary>Keeps the newest lines until the answer is disposed, then writes them.</summary>
    public IDisposable Hold()
    {
        lock (_gate)
        {
            _held ??= new Queue<string>();
        }

        return new Held(this);
    }

    public void Dispose() => Release();

    private void Release()
    {
        lock (_gate)
        {
            foreach (string line in _held ?? [])
            {
                errors.WriteLine(line);
            }

            _held = null;
        }
    }

    private sealed class Held(HostLog log) : IDisposable
    {
        public void Dispose() => log.Release();
    }
}
