namespace KStreamSharp.Tests;

/// <summary>The contract, on Kafka with the classic group protocol.</summary>
[Needs<KafkaCluster>]
public sealed class KafkaClassicContract(KafkaCluster cluster) : BrokerContract
{
    private protected override Broker CreateBroker() => new KafkaBroker(new KafkaOptions { BootstrapServers = cluster.Address });

    private protected override int Backlog => 60_000;

    private protected override bool IsFull(Reader reader, TopicPartition partition) => ((KafkaReader)reader).IsPaused(partition);
}

/// <summary>The contract, on Kafka with the group protocol of Kafka 4.</summary>
[Needs<KafkaCluster>]
public sealed class KafkaConsumerContract(KafkaCluster cluster) : BrokerContract
{
    private protected override Broker CreateBroker() =>
        new KafkaBroker(new KafkaOptions { BootstrapServers = cluster.Address, GroupProtocol = KafkaGroupProtocol.Consumer });

    private protected override bool HasStaticMembers => false;

    private protected override int Backlog => 60_000;

    private protected override bool IsFull(Reader reader, TopicPartition partition) => ((KafkaReader)reader).IsPaused(partition);
}
