namespace KStreamSharp;

/// <summary>Where a Kafka cluster is and how to talk to it.</summary>
public sealed record KafkaOptions
{
    /// <summary>The brokers to ask first, as <c>host:port</c>, several with commas between.</summary>
    public required string BootstrapServers { get; init; }

    /// <summary>
    /// Settings of librdkafka by their names, for every client of the engine: security, compression, fetch sizes and the
    /// like. Those that exactly-once depends on are refused by name. Values are never logged. Default: none.
    /// </summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    /// <summary>How the group shares out the shards; default <see cref="KafkaGroupProtocol.Classic"/>.</summary>
    public KafkaGroupProtocol GroupProtocol { get; init; } = KafkaGroupProtocol.Classic;

    /// <summary>The replication factor of the topics that the engine makes; default −1, the broker's own default.</summary>
    public short ReplicationFactor { get; init; } = -1;
}

/// <summary>The protocols by which a group shares out partitions.</summary>
public enum KafkaGroupProtocol
{
    /// <summary>
    /// Any broker; cooperative-sticky, with static members: an instance that restarts under its id within the session
    /// time-out goes on without a rebalance.
    /// </summary>
    Classic,

    /// <summary>
    /// Kafka 4 and newer (KIP-848, <c>group.protocol=consumer</c>): the broker assigns. Members are dynamic, since a static
    /// one that ends would keep its shards until the session time-out, which the broker sets here
    /// (<c>group.consumer.session.timeout.ms</c>, 45 s by default).
    /// </summary>
    Consumer,
}
