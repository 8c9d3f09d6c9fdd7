namespace KStreamSharp.Testing;

/// <summary>A broker that passes every call on to another one; what derives from it changes some of them.</summary>
/// <param name="broker">The broker behind it.</param>
internal abstract class PassingBroker(Broker broker) : Broker
{
    internal override TopicDescription? DescribeTopic(string topic) => broker.DescribeTopic(topic);

    internal override TopicDescription CreateTopic(TopicSpec topic) => broker.CreateTopic(topic);

    internal override void DeleteTopic(string topic) => broker.DeleteTopic(topic);

    internal override void DeleteRecords(TopicPartition partition, long beforeOffset) => broker.DeleteRecords(partition, beforeOffset);

    internal override long StartOffset(TopicPartition partition) => broker.StartOffset(partition);

    internal override long EndOffset(TopicPartition partition, bool committedOnly) => broker.EndOffset(partition, committedOnly);

    internal override bool TryGetCommittedOffsets(string group, IReadOnlyList<TopicPartition> partitions, out long?[] offsets) =>
        broker.TryGetCommittedOffsets(group, partitions, out offsets);

    internal override int CountMembers(string group) => broker.CountMembers(group);

    internal override void DeleteGroup(string group) => broker.DeleteGroup(group);

    internal override GroupMember JoinGroup(GroupOptions options) => broker.JoinGroup(options);

    internal override Reader CreateReader(bool readCommitted, bool hurries = false) => broker.CreateReader(readCommitted, hurries);

    internal override TransactionalWriter CreateWriter(string transactionalId, TimeSpan transactionTimeout) =>
        broker.CreateWriter(transactionalId, transactionTimeout);

    internal override OutputWriter CreateOutputWriter(TimeSpan? dropsAfter = null) => broker.CreateOutputWriter(dropsAfter);
}
