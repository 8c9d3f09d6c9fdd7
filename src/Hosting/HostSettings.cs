using System.CommandLine;
using System.Globalization;
using System.Numerics;
using Microsoft.Extensions.Configuration;

namespace KStreamSharp.Hosting;

/// <summary>
/// The engine's options as a host takes them: from the command line, else the environment (<c>KStreamSharp__StateDir</c>), else
/// the section <c>KStreamSharp</c> of <c>appsettings.json</c>.
/// </summary>
internal sealed class HostSettings
{
    private const string Section = "KStreamSharp";

    private static readonly Setting[] All =
    [
        new("--app-id", "AppId", "NAME", "the application: group, internal topics, state folder (default: the flow's id)", (options, text) => options with { AppId = text }),
        new("--instance-id", "InstanceId", "NAME", "the instance (default: made once and kept in the state folder)", (options, text) => options with { InstanceId = text }),
        new("--state-dir", "StateDir", "DIR", "the folder of state and embedded broker (default: state)", (options, text) => options with { StateDir = text }),
        new("--workers", "Workers", "N", "threads that process records (default: cores)", (options, text) => options with { Workers = Number<int>(text) }),
        new("--shards", "Shards", "N", "shards of a new application (default: partitions of the inputs; 4 for new topics)", (options, text) => options with { Shards = Number<int>(text) }),
        new("--commit-interval", "CommitInterval", "TIME", "how often to commit, for example 100ms or 2s (default: 100ms)", (options, text) => options with { CommitInterval = Time(text) }),
        new("--guarantee", "Guarantee", "GUARANTEE", "what holds for outputs after a failure: exactly-once (the default) or at-least-once", (options, text) => options with { Guarantee = ParseGuarantee(text) }),
        new("--stall-timeout", "StallTimeout", "TIME", "how long a step may take before the process gives up (default: 5m)", (options, text) => options with { StallTimeout = Time(text) }),
        new("--cache-bytes", "CacheBytesMax", "BYTES", "live state kept in memory above RocksDB (default: 64 MiB)", (options, text) => options with { CacheBytesMax = Number<long>(text) }),
    ];

    private static readonly string[] Keys = [.. All.Select(setting => setting.Key), nameof(StreamOptions.UntilEnd)];

    private readonly Dictionary<Setting, Option<string?>> _options = All.ToDictionary(
        setting => setting, setting => new Option<string?>(setting.Name) { Description = setting.Help, HelpName = setting.HelpName });

    public Option<bool> UntilEnd { get; } = new("--until-end") { Description = "process what the inputs have now, then end" };

    public IEnumerable<Option> Options => [.. _options.Values, UntilEnd];

    /// <summary>The options of a command line, and where it says nothing those of the configuration: null for the process's own.</summary>
    /// <exception cref="UsageException">A value cannot be used, or the configuration has an unknown name.</exception>
    public StreamOptions Read(ParseResult parsed, IConfiguration? configuration = null)
    {
        StreamOptions options = Read(configuration ?? Configuration(), setting => parsed.GetValue(_options[setting]));
        return parsed.GetValue(UntilEnd) ? options with { UntilEnd = true } : options;
    }

    /// <summary>The options of the configuration alone.</summary>
    /// <exception cref="UsageException">A value cannot be used, or the configuration has an unknown name.</exception>
    public static StreamOptions Read(IConfiguration configuration) => Read(configuration, _ => null);

    private static StreamOptions Read(IConfiguration configuration, Func<Setting, string?> commandLine)
    {
        IConfigurationSection section = configuration.GetSection(Section);
        foreach (IConfigurationSection entry in section.GetChildren())
        {
            if (!Keys.Contains(entry.Key, StringComparer.OrdinalIgnoreCase))
            {
                throw new UsageException($"The configuration has no setting {Section}:{entry.Key}. There are: {string.Join(", ", Keys)}.");
            }
        }

        StreamOptions options = new() { UntilEnd = Flag(section[nameof(StreamOptions.UntilEnd)]) };
        foreach (Setting setting in All)
        {
            string? given = commandLine(setting);
            if ((given ?? section[setting.Key]) is not { } text)
            {
                continue;
            }

            try
            {
                options = setting.Apply(options, text);
            }
            catch (FormatException error)
            {
                throw new UsageException($"{(given is null ? $"{Section}:{setting.Key}" : setting.Name)} '{text}': {error.Message}", error);
            }
        }

        options.Check();
        return options;
    }

    private static bool Flag(string? text) => text is null || bool.TryParse(text, out bool _)
        ? text is not null && bool.Parse(text)
        : throw new UsageException($"{Section}:{nameof(StreamOptions.UntilEnd)} '{text}': true or false is needed.");

    private static IConfigurationRoot Configuration()
    {
        try
        {
            return new ConfigurationBuilder()
                .SetBasePath(AppContext.BaseDirectory)
                .AddJsonFile("appsettings.json", optional: true)
                .AddJsonFile(Path.Combine(Directory.GetCurrentDirectory(), "appsettings.json"), optional: true)
                .AddEnvironmentVariables()
                .Build();
        }
        catch (InvalidDataException error)
        {
            throw new UsageException($"{error.Message} {error.GetBaseException().Message}", error);
        }
    }

    private static T Number<T>(string text)
        where T : IBinaryInteger<T> => T.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out T? number)
        ? number
        : throw new FormatException("a whole number is needed.");

    private static TimeSpan Time(string text)
    {
        (string Unit, double Milliseconds)[] units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
        foreach ((string unit, double milliseconds) in units)
        {
            if (text.EndsWith(unit, StringComparison.Ordinal) && double.TryParse(text[..^unit.Length], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number)
                && number * milliseconds < TimeSpan.MaxValue.TotalMilliseconds)
            {
                return TimeSpan.FromMilliseconds(number * milliseconds);
            }
        }

        return TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out TimeSpan time) && text.Contains(':', StringComparison.Ordinal)
            ? time
            : throw new FormatException("a time with a unit is needed, for example 100ms, 2s, 5m.");
    }

    private static Guarantee ParseGuarantee(string text) => text switch
    {
        "exactly-once" => Guarantee.ExactlyOnce,
        "at-least-once" => Guarantee.AtLeastOnce,
        _ => throw new FormatException("exactly-once or at-least-once is needed."),
    };

    private sealed record Setting(string Name, string Key, string HelpName, string Help, Func<StreamOptions, string, StreamOptions> Apply);
}
