using System.Globalization;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>
/// Writes what is as important as <see cref="Level"/> to standard error, a line each; can hold it back for a while. What was said within the last
/// ten seconds is not said again: a broker that is away is found away many times a second.
/// </summary>
internal sealed class HostLog(TextWriter errors, TimeProvider time) : ILoggerProvider, ILogger
{
    private const int HeldMax = 1_000;

    private static readonly TimeSpan NotAgainWithin = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, DateTimeOffset> _said = [];
    private Queue<string>? _held;

    /// <summary>The least important lines that are written.</summary>
    public LogLevel Level { get; set; } = LogLevel.Warning;

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= Level && logLevel < LogLevel.None;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (!IsEnabled(logLevel))
        {
            return;
        }

        string reason = exception is null ? "" : $" {exception.Message}";
        string text = string.Create(CultureInfo.InvariantCulture, $"{logLevel.ToString().ToLowerInvariant()} [{eventId.Id}] {formatter(state, exception)}{reason}");
        DateTimeOffset now = time.GetUtcNow();
        lock (_gate)
        {
            foreach ((string old, DateTimeOffset at) in _said)
            {
                if (now - at >= NotAgainWithin)
                {
                    _said.Remove(old);
                }
            }

            if (!_said.TryAdd(text, now))
            {
                return;
            }

            string line = string.Create(CultureInfo.InvariantCulture, $"{now:yyyy-MM-dd HH:mm:ss.fff}Z {text}");
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
