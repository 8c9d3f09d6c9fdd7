using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Numerics;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>How a host runs a flow.</summary>
/// <param name="Stream">The engine's options.</param>
/// <param name="Kafka">Where Kafka is; null for the embedded broker.</param>
/// <param name="Snapshots">Where snapshots go, and when.</param>
internal sealed record HostOptions(StreamOptions Stream, KafkaOptions? Kafka, SnapshotSettings Snapshots)
{
    /// <summary>Where health, status and metrics are served; null for nowhere.</summary>
    public IPEndPoint? Http { get; init; }

    /// <summary>How long a start waits for the first answer of the broker; null for the client's own patience.</summary>
    public TimeSpan? BrokerWait { get; init; }

    /// <summary>Whether inputs and outputs that are missing are made, on Kafka too.</summary>
    public bool CreateTopics { get; init; }

    /// <summary>The StatefulSet of Kubernetes that the instance is a pod of; null for none.</summary>
    public string? StatefulSet { get; init; }

    /// <summary>The broker inside the process is asked for by name.</summary>
    public bool IsEmbedded { get; init; }

    /// <summary>What is logged, and how.</summary>
    public LogSettings Log { get; init; } = new();

    /// <summary>The names by which the settings were given, by those that the engine has for them.</summary>
    public IReadOnlyDictionary<string, string> Typed { get; init; } = new Dictionary<string, string>();

    /// <summary>Looks at options of the engine, and names what is wrong as it was given.</summary>
    /// <exception cref="StreamException">A value cannot be used.</exception>
    public void Check(StreamOptions options)
    {
        try
        {
            options.Check();
        }
        catch (StreamException error) when (Typed.Keys.FirstOrDefault(key => error.Message.StartsWith($"Option {key} ", StringComparison.Ordinal)) is { } key)
        {
            throw new StreamException(error.Code, $"{Typed[key]}{error.Message[$"Option {key}".Length..]}", error);
        }
    }
}

/// <summary>What is the process's own.</summary>
internal sealed record ProcessSettings
{
    public IPEndPoint? Endpoint { get; init; }

    public TimeSpan? BrokerWait { get; init; }

    public bool IsEmbedded { get; init; }

    public LogLevel? LogLevel { get; init; }

    public bool LogsJson { get; init; }
}

/// <summary>
/// The options as a host takes them: from the command line, else the environment (<c>KStreamSharp__StateDir</c>,
/// <c>KStreamSharp__Kafka__BootstrapServers</c>), else the section <c>KStreamSharp</c> of <c>appsettings.json</c>.
/// </summary>
internal sealed partial class HostSettings
{
    /// <summary>The option whose values must not be shown.</summary>
    public const string SetName = "--kafka-set";

    private const string Section = "KStreamSharp";
    private const string KafkaSection = "Kafka";
    private const string SnapshotsSection = "Snapshots";
    private const string KubernetesSection = "Kubernetes";
    private const string SettingsSection = nameof(KafkaOptions.Settings);

    private const string StatefulSetKey = $"{KubernetesSection}:{nameof(HostOptions.StatefulSet)}";

    private const string ClientSection = $"{KafkaSection}:{SettingsSection}";

    private static readonly Setting[] All =
    [
        new("--kafka", "Kafka:BootstrapServers", "HOST:PORT", "the Kafka cluster, one broker or several with commas between (default: a broker inside the process)", (kafka, text) => kafka with { BootstrapServers = Servers(text) }),
        new("--group-protocol", "Kafka:GroupProtocol", "PROTOCOL", "how instances share the work: classic (the default) or consumer (Kafka 4: the broker assigns)", (kafka, text) => kafka with { GroupProtocol = Protocol(text) }),
        new("--replication-factor", "Kafka:ReplicationFactor", "N", "replicas of the topics that are made (default: the broker's own)", (kafka, text) => kafka with { ReplicationFactor = Number<short>(text) }),
        new("--app-id", "AppId", "NAME", "the application: group, internal topics, state folder (default: the flow's id)", (options, text) => options with { AppId = text }),
        new("--instance-id", "InstanceId", "NAME", "the instance (default: made once and kept in the state folder)", (options, text) => options with { InstanceId = text }),
        new("--state-dir", "StateDir", "DIR", "the folder of state and embedded broker (default: state)", (options, text) => options with { StateDir = text }),
        new("--workers", "Workers", "N", "threads that process records (default: cores)", (options, text) => options with { Workers = Number<int>(text) }),
        new("--shards", "Shards", "N", "shards of a new application (default: partitions of the inputs; 4 for new topics)", (options, text) => options with { Shards = Number<int>(text) }),
        new("--commit-interval", "CommitInterval", "TIME", "how often to commit, for example 100ms or 2s (default: 100ms)", (options, text) => options with { CommitInterval = Time(text) }),
        new("--guarantee", "Guarantee", "GUARANTEE", "what holds for outputs after a failure: exactly-once (the default) or at-least-once", (options, text) => options with { Guarantee = ParseGuarantee(text) }),
        new("--transaction-timeout", "TransactionTimeout", "TIME", "when the broker ends a transaction that an instance left open (default: 10s)", (options, text) => options with { TransactionTimeout = Time(text) }),
        new("--session-timeout", "SessionTimeout", "TIME", "when the group gives up an instance that it does not hear from (default: 15s; the consumer protocol has its own)", (options, text) => options with { SessionTimeout = Time(text) }),
        new("--stall-timeout", "StallTimeout", "TIME", "how long a step may take before the process gives up (default: 5m)", (options, text) => options with { StallTimeout = Time(text) }),
        new("--cache-bytes", "CacheBytesMax", "BYTES", "live state kept in memory above RocksDB (default: 64 MiB)", (options, text) => options with { CacheBytesMax = Number<long>(text) }),
        new("--block-cache-bytes", "BlockCacheBytesMax", "BYTES", "RocksDB's block cache, all shards together (default: 64 MiB)", (options, text) => options with { BlockCacheBytesMax = Number<long>(text) }),
        new("--write-buffer-bytes", "WriteBufferBytesMax", "BYTES", "RocksDB's write buffers, all shards together (default: 64 MiB)", (options, text) => options with { WriteBufferBytesMax = Number<long>(text) }),
        new("--metrics-by-shard", "MetricsByShard", "BOOL", "whether metrics of steps are told for each shard: true (the default), or false for many shards", (options, text) => options with { MetricsByShard = Bool(text) }),
        new("--snapshots", "Snapshots:Store", "STORE", "where snapshots of the state are kept: a folder that all instances share, or a URI that the host knows (default: none are taken)", (snapshots, text) => snapshots with { Store = text }),
        new("--snapshot-interval", "Snapshots:Interval", "TIME", "how long after its last snapshot a shard that has changed gets the next one (default: 5m)", (snapshots, text) => snapshots with { Interval = Time(text) }),
        new("--snapshot-changelog-bytes", "Snapshots:ChangelogBytesMax", "BYTES", "after how many bytes of changelog it gets the next one, however soon (default: 256 MiB)", (snapshots, text) => snapshots with { ChangelogBytesMax = Number<long>(text) }),
        new("--snapshots-kept", "Snapshots:Kept", "N", "how many snapshots of a shard are kept (default: 3)", (snapshots, text) => snapshots with { Kept = Number<int>(text) }),
        new("--snapshot-end-timeout", "Snapshots:EndTimeout", "TIME", "how long an orderly end may take for the last snapshots; 0s for none (default: 5s)", (snapshots, text) => snapshots with { EndTimeout = Time(text) }),
        new("--snapshot-rate", "Snapshots:BytesPerSecondMax", "BYTES", "how many bytes per second are uploaded at most (default: no limit)", (snapshots, text) => snapshots with { BytesPerSecondMax = Number<long>(text) }),
        new("--snapshots-required", "Snapshots:Required", "BOOL", "whether to end at the start where the store cannot be used: true or false (the default)", (snapshots, text) => snapshots with { Required = Bool(text) }),
        new(HttpName, "Http", "ADDRESS:PORT", "serve health, status and metrics there over HTTP, for example 127.0.0.1:8080, or *:8080 for every address (default: nothing is served)", (process, text) => process with { Endpoint = Endpoint(text) }),
        new("--broker-wait", nameof(HostOptions.BrokerWait), "TIME", "how long a start waits for Kafka's first answer, up to 1h (default: 20s)", (process, text) => process with { BrokerWait = Wait(text) }),
        new("--broker", nameof(Broker), "BROKER", "embedded: the one inside the process; a pod of Kubernetes needs it to run without Kafka", (process, text) => process with { IsEmbedded = Embedded(text) }),
        new("--log-level", "LogLevel", "LEVEL", "what to log to standard error: debug, information, warning (the default) or error", (process, text) => process with { LogLevel = Level(text) }),
        new("--log-format", "LogFormat", "FORMAT", "how to log: text (the default), or json for one object a line", (process, text) => process with { LogsJson = Json(text) }),
    ];

    private const string HttpName = "--http";

    private static readonly SettingNames Names = new(
        Section,
        [.. All.Select(setting => setting.Key), nameof(StreamOptions.UntilEnd), nameof(HostOptions.CreateTopics), StatefulSetKey],
        [
            (KafkaSection, $"{KafkaSection}:{nameof(KafkaOptions.BootstrapServers)}"),
            (ClientSection, $"{ClientSection}:NAME"),
            (SnapshotsSection, $"{SnapshotsSection}:{nameof(SnapshotSettings.Store)}"),
            (KubernetesSection, StatefulSetKey),
        ],
        ClientSection,
        StatefulSetKey);

    private readonly Dictionary<Setting, Option<string?>> _options = All.ToDictionary(
        setting => setting, setting => new Option<string?>(setting.Name) { Description = setting.Help, HelpName = setting.HelpName });

    private readonly Option<string[]> _set = new(SetName)
    {
        Description = "a setting of the Kafka client by its name, for example security.protocol=SASL_SSL; repeatable; values are never shown",
        HelpName = "NAME=VALUE",
    };

    public Option<bool> UntilEnd { get; } = new("--until-end") { Description = "process what the inputs have now, then end" };

    public Option<bool> CreateTopics { get; } = new("--create-topics") { Description = "make the inputs and outputs that are missing, as the broker's defaults say; without Kafka that is always done" };

    public IEnumerable<Option> Options => [.. _options.Values, _set, UntilEnd, CreateTopics];

    /// <summary>Those that say where to load data to.</summary>
    public IEnumerable<Option> LoadOptions => [.. _options.Where(option => option.Key.ToKafka is not null || option.Key.Key is nameof(StreamOptions.StateDir)).Select(option => option.Value), _set];

    /// <summary>The one that says where health is served.</summary>
    public Option HttpOption => _options.Single(option => option.Key.Name == HttpName).Value;

    /// <summary>Those that say where the broker and the snapshots are.</summary>
    public IEnumerable<Option> SnapshotOptions =>
    [
        .. _options.Where(option => option.Key.ToKafka is not null || option.Key.Key is nameof(StreamOptions.StateDir) or nameof(StreamOptions.AppId) or "Snapshots:Store").Select(option => option.Value),
        _set,
    ];

    /// <summary>The options of a command line, and where it says nothing those of the configuration: null for the process's own.</summary>
    /// <exception cref="UsageException">A value cannot be used, or the configuration has an unknown name.</exception>
    public HostOptions Read(ParseResult parsed, IConfiguration? configuration = null)
    {
        HostOptions options = Read(configuration ?? Configuration(), setting => parsed.GetValue(_options[setting]), parsed.GetValue(_set) ?? []);
        return options with
        {
            Stream = options.Stream with { UntilEnd = options.Stream.UntilEnd || parsed.GetValue(UntilEnd) },
            CreateTopics = options.CreateTopics || parsed.GetValue(CreateTopics),
        };
    }

    /// <summary>The options of the configuration alone.</summary>
    /// <exception cref="UsageException">A value cannot be used, or the configuration has an unknown name.</exception>
    public static HostOptions Read(IConfiguration configuration) => Read(configuration, _ => null, []);

    private static HostOptions Read(IConfiguration configuration, Func<Setting, string?> commandLine, string[] clientSettings)
    {
        IConfigurationSection section = configuration.GetSection(Section);
        Names.Check(section);
        Dictionary<string, string> typed = [];
        StreamOptions stream = new() { UntilEnd = Flag(section, nameof(StreamOptions.UntilEnd)) };
        SnapshotSettings snapshots = new();
        ProcessSettings process = new();
        string? needsStore = null;
        KafkaOptions kafka = new() { BootstrapServers = "", Settings = ClientSettings(section.GetSection(ClientSection), clientSettings) };
        string? needsKafka = kafka.Settings.Count == 0 ? null : clientSettings.Length > 0 ? SetName : $"{Section}:{ClientSection}";
        foreach (Setting setting in All)
        {
            string? given = commandLine(setting);
            if ((given ?? section[setting.Key]) is not { } text)
            {
                continue;
            }

            string name = given is null ? $"{Section}:{setting.Key}" : setting.Name;
            typed[setting.Key.Replace(':', '.')] = name;
            if (string.IsNullOrWhiteSpace(text))
            {
                throw new UsageException($"{name} is empty. Give it a value, or leave it out for its default.");
            }

            try
            {
                stream = setting.ToStream?.Invoke(stream, text) ?? stream;
                kafka = setting.ToKafka?.Invoke(kafka, text) ?? kafka;
                snapshots = setting.ToSnapshots?.Invoke(snapshots, text) ?? snapshots;
                process = setting.ToProcess?.Invoke(process, text) ?? process;
                needsStore ??= setting.ToSnapshots is null ? null : name;
                needsKafka ??= setting.ToKafka is null ? null : name;
            }
            catch (FormatException error)
            {
                throw new UsageException($"{name} '{text}': {error.Message}", error);
            }
        }

        HostOptions options = new(stream, kafka.BootstrapServers.Length > 0 ? kafka : null, snapshots)
        {
            Http = process.Endpoint,
            BrokerWait = process.BrokerWait,
            CreateTopics = Flag(section, nameof(HostOptions.CreateTopics)),
            StatefulSet = section[StatefulSetKey] is { Length: > 0 } set ? set : null,
            IsEmbedded = process.IsEmbedded,
            Log = LogSettings.Read(configuration, process.LogLevel, process.LogsJson),
            Typed = typed,
        };
        options.Check(stream);
        if (process.IsEmbedded && needsKafka is not null)
        {
            throw new UsageException($"{needsKafka} names Kafka, and {typed[nameof(Broker)]} asks for the embedded broker: give one of them.");
        }

        if (needsStore is not null && snapshots.Store is null)
        {
            throw new UsageException($"{needsStore} is for snapshots, and no store of them is named. Name it by --snapshots STORE, or by {Section}:{SnapshotsSection}:{nameof(SnapshotSettings.Store)} in the configuration.");
        }

        return needsKafka is null || options.Kafka is not null
            ? options
            : throw new UsageException($"{needsKafka} is for Kafka, and no cluster is named. Name it by --kafka HOST:PORT, or by {Section}:{KafkaSection}:{nameof(KafkaOptions.BootstrapServers)} in the configuration.");
    }

    /// <summary>The client's settings of the configuration, and over them those of the command line. What is wrong is told without any value: it may be a password.</summary>
    private static Dictionary<string, string> ClientSettings(IConfigurationSection section, string[] commandLine)
    {
        Dictionary<string, string> settings = section.GetChildren().ToDictionary(entry => entry.Key, entry => entry.Value ?? "");
        foreach (string pair in commandLine)
        {
            int equals = pair.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                throw new UsageException($"{SetName}: one word NAME=VALUE is needed, for example {SetName} security.protocol=SASL_SSL.");
            }

            settings[pair[..equals].Trim()] = pair[(equals + 1)..];
        }

        return settings;
    }

    private static string Servers(string text) => text.Split(',').All(server => Address().IsMatch(server.Trim()))
        ? text
        : throw new FormatException("HOST:PORT is needed, several with commas between.");

    private static IPEndPoint Endpoint(string text)
    {
        int colon = text.LastIndexOf(':');
        string address = colon < 0 ? "" : text[..colon];
        bool isBare = address.Contains(':', StringComparison.Ordinal) && !(address.StartsWith('[') && address.EndsWith(']'));
        return !isBare
            && IPAddress.TryParse(address switch { "localhost" => "127.0.0.1", "*" => "::", _ => address }, out IPAddress? parsed)
            && ushort.TryParse(text[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out ushort port)
            ? new IPEndPoint(parsed, port)
            : throw new FormatException("ADDRESS:PORT is needed, for example 127.0.0.1:8080, *:8080 for every address, or [::1]:8080.");
    }

    private static KafkaGroupProtocol Protocol(string text) => text switch
    {
        "classic" => KafkaGroupProtocol.Classic,
        "consumer" => KafkaGroupProtocol.Consumer,
        _ => throw new FormatException("it is classic or consumer."),
    };

    /// <summary>A host or an address in brackets, with a port of its own or Kafka's; the client takes a protocol in front.</summary>
    [GeneratedRegex(@"^([A-Za-z_]+://)?(\[[0-9A-Fa-f:.]+\]|[^\s:,/\[\]]+)(:[0-9]{1,5})?$")]
    private static partial Regex Address();

    private static bool Flag(IConfigurationSection section, string name) => section[name] is not { } text ? false
        : bool.TryParse(text, out bool flag) ? flag
        : throw new UsageException($"{Section}:{name} '{text}': true or false is needed.");

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

    private static bool Bool(string text) => bool.TryParse(text, out bool flag) ? flag : throw new FormatException("true or false is needed.");

    private static bool Embedded(string text) => text == "embedded" ? true : throw new FormatException("only embedded is accepted; name Kafka by --kafka HOST:PORT.");

    private static bool Json(string text) => text switch
    {
        "text" => false,
        "json" => true,
        _ => throw new FormatException("text or json is needed."),
    };

    private static LogLevel Level(string text) => LogSettings.Levels.TryGetValue(text, out LogLevel level)
        ? level
        : throw new FormatException($"{string.Join(", ", LogSettings.Levels.Keys)} is needed.");

    private static TimeSpan Wait(string text) => Time(text) is var time && time >= TimeSpan.FromSeconds(1) && time <= TimeSpan.FromHours(1)
        ? time
        : throw new FormatException("a time from 1s to 1h is needed.");

    private static Guarantee ParseGuarantee(string text) => text switch
    {
        "exactly-once" => Guarantee.ExactlyOnce,
        "at-least-once" => Guarantee.AtLeastOnce,
        _ => throw new FormatException("exactly-once or at-least-once is needed."),
    };

    private sealed record Setting(
        string Name,
        string Key,
        string HelpName,
        string Help,
        Func<StreamOptions, string, StreamOptions>? ToStream,
        Func<KafkaOptions, string, KafkaOptions>? ToKafka,
        Func<SnapshotSettings, string, SnapshotSettings>? ToSnapshots,
        Func<ProcessSettings, string, ProcessSettings>? ToProcess)
    {
        public Setting(string name, string key, string helpName, string help, Func<StreamOptions, string, StreamOptions> apply)
            : this(name, key, helpName, help, apply, null, null, null)
        {
        }

        public Setting(string name, string key, string helpName, string help, Func<KafkaOptions, string, KafkaOptions> apply)
            : this(name, key, helpName, help, null, apply, null, null)
        {
        }

        public Setting(string name, string key, string helpName, string help, Func<SnapshotSettings, string, SnapshotSettings> apply)
            : this(name, key, helpName, help, null, null, apply, null)
        {
        }

        public Setting(string name, string key, string helpName, string help, Func<ProcessSettings, string, ProcessSettings> apply)
            : this(name, key, helpName, help, null, null, null, apply)
        {
        }
    }
}
