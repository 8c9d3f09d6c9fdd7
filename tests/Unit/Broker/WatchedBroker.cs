namespace KStreamSharp.Tests;

/// <summary>A broker that a test watches.</summary>
internal sealed class WatchedBroker(Broker broker) : Broker
{
    /// <summary>Told when it is asked where a partition begins or ends, before it answers.</summary>
    public Action<TopicPartition> Asked { get; init; } = _ => { };

    /// <summary>Told when a topic is asked for, before it answers.</summary>
    public Action<string> Described { get; init; } = _ => { };

    /// <summary>Told of each reader that is made, on the thread that makes it.</summary>
    public Action<Reader> MadeReader { get; init; } = _ => { };

    internal override long StartOffset(TopicPartition partition)
    {
        Asked(partition);
        return broker.StartOffset(partition);
    }

    internal override long EndOffset(TopicPartition partition, bool committedOnly)
    {
        Asked(partition);
        return broker.EndOffset(partition, committedOnly);
    }

    internal override TopicDescription? DescribeTopic(string topic)
    {
        Described(topic);
        return broker.DescribeTopic(topic);
    }

    internal override TopicDescription CreateTopic(TopicSpec topic) => broker.CreateTopic(topic);

    internal override void DeleteTopic(string topic) => broker.DeleteTopic(topic);

    internal override int CountMembers(string group) => broker.CountMembers(group);

    internal override void DeleteGroup(string group) => broker.DeleteGroup(group);

    internal override void DeleteRecords(TopicPartition partition, long beforeOffset) => broker.DeleteRecords(partition, beforeOffset);

    internal override bool TryGetCommittedOffsets(string group, IReadOnlyList<TopicPartition> partitions, out long?[] offsets) =>
        broker.TryGetCommittedOffsets(group, partitions, out offsets);

    internal override GroupMember JoinGroup(GroupOptions options) => broker.JoinGroup(options);

    internal override Reader CreateReader(bool readCommitted, bool hurries = false)
    {
        Reader reader = broker.CreateReader(readCommitted, hurries);
        MadeReader(reader);
        return reader;
    }

    internal override TransactionalWriter CreateWriter(string transactionalId, TimeSpan transactionTimeout) => broker.CreateWriter(transactionalId, transactionTimeout);

    internal override OutputWriter CreateOutputWriter(TimeSpan? dropsAfter = null) => broker.CreateOutputWriter(dropsAfter);
}
