using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>
/// What is logged: from a level on, and for categories from one of their own, as .NET's configuration has them
/// (<c>Logging:LogLevel:KStreamSharp.Kafka</c>; the longest beginning of a category counts).
/// </summary>
internal sealed record LogSettings
{
    private const string Section = "Logging:LogLevel";
    private const string Default = "Default";

    /// <summary>The levels by the names that a user writes.</summary>
    public static IReadOnlyDictionary<string, LogLevel> Levels { get; } = new Dictionary<string, LogLevel>(StringComparer.OrdinalIgnoreCase)
    {
        ["debug"] = LogLevel.Debug,
        ["information"] = LogLevel.Information,
        ["warning"] = LogLevel.Warning,
        ["error"] = LogLevel.Error,
    };

    /// <summary>The least important lines of what no category says otherwise of.</summary>
    public LogLevel Level { get; init; } = LogLevel.Warning;

    /// <summary>By the beginnings of categories.</summary>
    public IReadOnlyDictionary<string, LogLevel> Categories { get; init; } = new Dictionary<string, LogLevel>();

    /// <summary>One JSON object a line, not a text.</summary>
    public bool IsJson { get; init; }

    /// <param name="configuration">Where <c>Logging</c> is looked for.</param>
    /// <param name="level">What the host's own setting says; null for what the configuration says.</param>
    /// <param name="isJson">Whether the lines are JSON.</param>
    /// <exception cref="UsageException">A level is none.</exception>
    public static LogSettings Read(IConfiguration configuration, LogLevel? level, bool isJson)
    {
        Dictionary<string, LogLevel> categories = configuration.GetSection(Section).GetChildren()
            .Where(entry => entry.Value is not null)
            .ToDictionary(entry => entry.Key, entry => Enum.TryParse(entry.Value, ignoreCase: true, out LogLevel parsed) && Enum.IsDefined(parsed)
                ? parsed
                : throw new UsageException($"{entry.Path} '{entry.Value}': a level is needed: {string.Join(", ", Enum.GetNames<LogLevel>())}."));
        LogLevel all = level ?? categories.GetValueOrDefault(Default, LogLevel.Warning);
        categories.Remove(Default);
        return new() { Level = all, Categories = categories, IsJson = isJson };
    }

    /// <summary>The level from which a category is logged.</summary>
    public LogLevel Of(string category) => Categories
        .Where(known => category.StartsWith(known.Key, StringComparison.Ordinal) && (category.Length == known.Key.Length || category[known.Key.Length] == '.'))
        .OrderByDescending(known => known.Key.Length)
        .Select(known => (LogLevel?)known.Value)
        .FirstOrDefault() ?? Level;
}
