using System.Collections.Frozen;
using System.Globalization;
using Confluent.Kafka;

namespace KStreamSharp;

/// <summary>
/// The settings of every client: defaults that a user may change, then the user's, then those that exactly-once depends on.
/// </summary>
internal sealed class KafkaSettings
{
    /// <summary>What a writer's client may hold of records that go, unless the user says otherwise.</summary>
    public const long WriterQueueBytes = 64L << 20;

    /// <summary>What a reader's client may hold of records that come, beside the buffers of its partitions.</summary>
    public const long ReaderQueueBytes = 16L << 20;

    private const string ByTheEngine = "the engine sets it";

    /// <summary>The settings that cannot be given, with the reason.</summary>
    public static FrozenDictionary<string, string> Refused { get; } = new Dictionary<string, string>
    {
        ["bootstrap.servers"] = "use KafkaOptions.BootstrapServers",
        ["metadata.broker.list"] = "use KafkaOptions.BootstrapServers",
        ["group.protocol"] = "use KafkaOptions.GroupProtocol",
        ["group.id"] = "the group is the application's id (StreamOptions.AppId)",
        ["group.instance.id"] = "use StreamOptions.InstanceId",
        ["session.timeout.ms"] = "use StreamOptions.SessionTimeout",
        ["heartbeat.interval.ms"] = "it follows from StreamOptions.SessionTimeout",
        ["max.poll.interval.ms"] = "membership has a thread of its own, whatever the steps do",
        ["partition.assignment.strategy"] = "shards move cooperatively, which the handover depends on",
        ["isolation.level"] = "exactly-once reads committed records only",
        ["enable.auto.commit"] = "positions are committed in the engine's transactions",
        ["auto.commit.enable"] = "positions are committed in the engine's transactions",
        ["auto.commit.interval.ms"] = "positions are committed in the engine's transactions",
        ["enable.auto.offset.store"] = "positions are committed in the engine's transactions",
        ["auto.offset.reset"] = "use InputOptions.StartAt; a position that is gone must stop the application, not move",
        ["enable.partition.eof"] = ByTheEngine + " to know the end of a partition",
        ["allow.auto.create.topics"] = "a topic made by accident has the wrong partitions; create it yourself",
        ["transactional.id"] = "it follows from the application and the instance (StreamOptions.AppId, InstanceId)",
        ["transaction.timeout.ms"] = "use StreamOptions.TransactionTimeout",
        ["message.timeout.ms"] = "it follows from StreamOptions.TransactionTimeout and SessionTimeout",
        ["delivery.timeout.ms"] = "it follows from StreamOptions.TransactionTimeout and SessionTimeout",
        ["enable.idempotence"] = "without it records repeat or change their order",
        ["enable.gapless.guarantee"] = ByTheEngine,
        ["acks"] = "a record counts as written when every in-sync replica has it",
        ["request.required.acks"] = "a record counts as written when every in-sync replica has it",
        ["partitioner"] = "the engine chooses the partition itself, as Java's producer does",
        ["delivery.report.only.error"] = ByTheEngine + " to learn the offset of each commit",
    }.ToFrozenDictionary();

    private readonly KafkaOptions _options;
    private readonly string[] _secrets;

    /// <exception cref="StreamException">A setting cannot be given.</exception>
    public KafkaSettings(KafkaOptions options)
    {
        _options = options;
        _secrets = [.. options.Settings.Where(setting => IsSecret(setting.Key) && setting.Value.Length > 0).Select(setting => setting.Value)];
        if (string.IsNullOrWhiteSpace(options.BootstrapServers))
        {
            throw new StreamException(ExitCode.Usage, "KafkaOptions.BootstrapServers is empty: name a broker as host:port.");
        }

        if (options.ReplicationFactor is 0 or < -1)
        {
            throw new StreamException(ExitCode.Usage, $"KafkaOptions.ReplicationFactor cannot be {options.ReplicationFactor}: give 1 or more, or -1 for the broker's default.");
        }

        foreach (string name in options.Settings.Keys)
        {
            if (Refused.TryGetValue(name, out string? why))
            {
                throw new StreamException(ExitCode.Usage, $"Client setting '{name}' cannot be set: {why}.");
            }

            if (name.StartsWith("dotnet.", StringComparison.Ordinal))
            {
                throw new StreamException(ExitCode.Usage, $"Client setting '{name}' cannot be set: it belongs to the .NET client, which the engine sets up itself.");
            }
        }
    }

    public string BootstrapServers => _options.BootstrapServers;

    public KafkaGroupProtocol GroupProtocol => _options.GroupProtocol;

    public short ReplicationFactor => _options.ReplicationFactor;

    /// <summary>The user's <c>security.protocol</c>; null for the client's default, which is without TLS.</summary>
    public string? SecurityProtocol => _options.Settings.GetValueOrDefault("security.protocol");

    /// <summary>How many bytes the client sends at once, as librdkafka's <c>message.max.bytes</c> has it.</summary>
    public long LargestMessage =>
        _options.Settings.TryGetValue("message.max.bytes", out string? set) && long.TryParse(set, NumberStyles.None, CultureInfo.InvariantCulture, out long bytes) ? bytes : 1_000_000;

    public IEnumerable<KeyValuePair<string, string>> Admin() => Merge([], []);

    public ConsumerConfig Reader(bool readCommitted, bool hurries) => new(Merge(
        new()
        {
            // Past its bounds the client leaves a partition alone for this long; the default of 1 s starves a fast reader.
            ["fetch.queue.backoff.ms"] = "5",
            ["queued.min.messages"] = "20000",
            ["queued.max.messages.kbytes"] = (ReaderQueueBytes >> 10).ToString(CultureInfo.InvariantCulture),

            // A partition that is assigned waits until the fetch under way is answered, and only an empty one tells of an end.
            ["fetch.wait.max.ms"] = hurries ? "10" : "100",
            ["fetch.error.backoff.ms"] = "100",
        },
        new()
        {
            // Asked for by the client, never joined: the reader assigns its partitions itself.
            ["group.id"] = "kstreamsharp-reader",
            ["enable.auto.commit"] = "false",
            ["enable.auto.offset.store"] = "false",
            ["enable.partition.eof"] = "true",
            ["auto.offset.reset"] = "error",
            ["isolation.level"] = readCommitted ? "read_committed" : "read_uncommitted",
            ["allow.auto.create.topics"] = "false",
        }));

    /// <summary>Read committed: positions of a pending transaction are waited for.</summary>
    public ConsumerConfig Positions(string group) => new(Merge([], new()
    {
        ["group.id"] = group,
        ["enable.auto.commit"] = "false",
        ["isolation.level"] = "read_committed",
        ["allow.auto.create.topics"] = "false",
    }));

    public ConsumerConfig Member(GroupOptions group)
    {
        Dictionary<string, string> settings = new()
        {
            ["group.id"] = group.Group,
            ["enable.auto.commit"] = "false",
            ["enable.auto.offset.store"] = "false",
            ["auto.offset.reset"] = "latest",
            ["allow.auto.create.topics"] = "false",

            // As long as the session, and so longer than a revocation's budget.
            ["max.poll.interval.ms"] = Milliseconds(group.SessionTimeout),
        };
        if (_options.GroupProtocol == KafkaGroupProtocol.Consumer)
        {
            settings["group.protocol"] = "consumer";
        }
        else
        {
            settings["partition.assignment.strategy"] = "cooperative-sticky";
            settings["session.timeout.ms"] = Milliseconds(group.SessionTimeout);

            // Members learn of a rebalance by their heartbeat: the shorter, the faster a handover.
            settings["heartbeat.interval.ms"] = Milliseconds(TimeSpan.FromMilliseconds(Math.Min(1000, group.SessionTimeout.TotalMilliseconds / 4)));
            if (group.InstanceId is not null)
            {
                settings["group.instance.id"] = group.InstanceId;
            }
        }

        return new(Merge(new() { ["fetch.wait.max.ms"] = "500", ["queued.min.messages"] = "1" }, settings));
    }

    public ProducerConfig Writer(string transactionalId, TimeSpan transactionTimeout) => new(Merge(
        ProducerDefaults(),
        new()
        {
            ["transactional.id"] = transactionalId,
            ["transaction.timeout.ms"] = Milliseconds(transactionTimeout),
            ["message.timeout.ms"] = Milliseconds(transactionTimeout * 0.9),
            ["enable.idempotence"] = "true",
            ["allow.auto.create.topics"] = "false",

            // The writer polls itself: a thread of the client would take the delivery reports from the commit, which then
            // waits for its next look at the queue.
            ["dotnet.producer.enable.background.poll"] = "false",
            ["dotnet.producer.delivery.report.fields"] = "none",
        }));

    public ProducerConfig Outputs(TimeSpan dropsAfter) => new(Merge(
        ProducerDefaults(),
        new()
        {
            ["enable.idempotence"] = "true",
            ["message.timeout.ms"] = Milliseconds(dropsAfter),
            ["allow.auto.create.topics"] = "false",
            ["dotnet.producer.enable.background.poll"] = "false",
            ["dotnet.producer.delivery.report.fields"] = "none",
        }));

    /// <summary>A text of the client without the values of secret settings.</summary>
    public string Redact(string text) => _secrets.Aggregate(text, (cleaned, secret) => cleaned.Replace(secret, "***", StringComparison.Ordinal));

    private static Dictionary<string, string> ProducerDefaults() => new()
    {
        ["linger.ms"] = "5",
        ["queue.buffering.max.messages"] = "1000000",
        ["queue.buffering.max.kbytes"] = (WriterQueueBytes >> 10).ToString(CultureInfo.InvariantCulture),
    };

    private static bool IsSecret(string name) =>
        name.Contains("password", StringComparison.Ordinal)
        || name.Contains("secret", StringComparison.Ordinal)
        || name.Contains("key.pem", StringComparison.Ordinal)
        || name.Contains("oauthbearer.config", StringComparison.Ordinal)
        || name.Contains("token", StringComparison.Ordinal);

    private static string Milliseconds(TimeSpan time) => ((long)time.TotalMilliseconds).ToString(CultureInfo.InvariantCulture);

    private Dictionary<string, string> Merge(Dictionary<string, string> defaults, Dictionary<string, string> fixedSettings)
    {
        Dictionary<string, string> settings = new(defaults) { ["enable.metrics.push"] = "false" };
        foreach ((string name, string value) in _options.Settings.Concat(fixedSettings))
        {
            settings[name] = value;
        }

        settings["bootstrap.servers"] = _options.BootstrapServers;
        return settings;
    }
}
