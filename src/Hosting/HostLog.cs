using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>
/// Writes what is as important as <see cref="Settings"/> say to standard error, a line each; can hold it back for a while. What was said
/// within the last ten seconds is not said again: a broker that is away is found away many times a second.
/// </summary>
internal sealed class HostLog(TextWriter errors, TimeProvider time) : ILoggerProvider
{
    private const int HeldMax = 1_000;

    private static readonly TimeSpan NotAgainWithin = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<string, Category> _categories = new(StringComparer.Ordinal);
    private readonly Dictionary<string, DateTimeOffset> _said = [];
    private readonly Queue<(string Text, DateTimeOffset At)> _order = new();
    private Queue<string>? _held;

    /// <summary>What is written, and how.</summary>
    public LogSettings Settings
    {
        get;
        set
        {
            field = value;
            foreach (Category category in _categories.Values)
            {
                category.Level = value.Of(category.Name);
            }
        }
    }
    = new();

    public ILogger CreateLogger(string categoryName) => _categories.GetOrAdd(categoryName, name => new Category(this, name) { Level = Settings.Of(name) });

    /// <summary>Whether lines of a category and a level are written.</summary>
    public bool IsEnabled(string? category, LogLevel level) => CreateLogger(category ?? "").IsEnabled(level);

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

    private void Write(Category category, LogLevel level, EventId id, IEnumerable<KeyValuePair<string, object?>>? values, string message, Exception? error)
    {
        string text = string.Create(CultureInfo.InvariantCulture, $"{level.ToString().ToLowerInvariant()} [{id.Id}] {message}{(error is null ? "" : $" {error.Message}")}");
        DateTimeOffset now = time.GetUtcNow();
        lock (_gate)
        {
            while (_order.TryPeek(out (string Text, DateTimeOffset At) oldest) && now - oldest.At >= NotAgainWithin)
            {
                _said.Remove(_order.Dequeue().Text);
            }

            if (!_said.TryAdd(text, now))
            {
                return;
            }

            _order.Enqueue((text, now));
            string line = Settings.IsJson
                ? Json(now, category.Name, level, id, values, message, error)
                : string.Create(CultureInfo.InvariantCulture, $"{now:yyyy-MM-dd HH:mm:ss.fff}Z {text}");
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

    private static string Json(DateTimeOffset now, string category, LogLevel level, EventId id, IEnumerable<KeyValuePair<string, object?>>? values, string message, Exception? error)
    {
        using MemoryStream buffer = new();
        using (Utf8JsonWriter json = new(buffer))
        {
            json.WriteStartObject();
            json.WriteString("time", now.UtcDateTime.ToString("O", CultureInfo.InvariantCulture));
            json.WriteString("level", level.ToString().ToLowerInvariant());
            json.WriteNumber("id", id.Id);
            json.WriteString("category", category);
            json.WriteString("message", message);
            json.WriteStartObject("properties");
            foreach ((string name, object? value) in (values ?? []).Where(value => value.Key != "{OriginalFormat}"))
            {
                json.WriteString(name, Convert.ToString(value, CultureInfo.InvariantCulture));
            }

            json.WriteEndObject();
            if (error is not null)
            {
                json.WriteString("exception", error.ToString());
            }

            if (Activity.Current is { } span)
            {
                json.WriteString("traceId", span.TraceId.ToString());
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.ToArray());
    }

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

    private sealed class Category(HostLog log, string name) : ILogger
    {
        public string Name => name;

        public LogLevel Level { get; set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= Level && logLevel < LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                log.Write(this, logLevel, eventId, state as IEnumerable<KeyValuePair<string, object?>>, formatter(state, exception), exception);
            }
        }
    }

    private sealed class Held(HostLog log) : IDisposable
    {
        public void Dispose() => log.Release();
    }
}
