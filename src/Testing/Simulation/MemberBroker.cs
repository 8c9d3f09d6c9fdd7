namespace KStreamSharp.Testing;

/// <summary>
/// The broker as one instance sees it. What a client tells its process, it cannot tell while the process stands still: the
/// instance learns of partitions that it has lost when its membership makes its next turn.
/// </summary>
internal sealed class MemberBroker(Broker broker, Action<Action> whenMembershipTurns) : Broker
{
    internal override GroupMember JoinGroup(GroupOptions options) => broker.JoinGroup(new GroupOptions
    {
        Group = options.Group,
        Topic = options.Topic,
        InstanceId = options.InstanceId,
        SessionTimeout = options.SessionTimeout,
        RevocationBudget = options.RevocationBudget,
        Voided = partitions => whenMembershipTurns(() => options.Voided(partitions)),
    });

    internal override TopicDescription? DescribeTopic(string topic) => broker.DescribeTopic(topic);

    internal override void CreateTopic(TopicSpec topic) => broker.CreateTopic(topic);

    internal override void DeleteTopic(string topic) => broker.DeleteTopic(topic);

    internal override int CountMembers(string group) => broker.CountMembers(group);

    internal override void DeleteGroup(string group) => broker.DeleteGroup(group);

    internal override void DeleteRecords(TopicPartition partition, long beforeOffset) => broker.DeleteRecords(partition, beforeOffset);

    internal override long StartOffset(TopicPartition partition) => broker.StartOffset(partition);

    internal override long EndOffset(TopicPartition partition, bool committedOnly) => broker.EndOffset(partition, committedOnly);

    internal override bool TryGetCommittedOffsets(string group, IReadOnlyList<TopicPartition> partitions, out long?[] offsets) =>
        broker.TryGetCommittedOffsets(group, partitions, out offsets);

    internal override Reader CreateReader(bool readCommitted) => broker.CreateReader(readCommitted);

    internal override TransactionalWriter CreateWriter(string transactionalId, TimeSpan transactionTimeout) => broker.CreateWriter(transactionalId, transactionTimeout);

    internal override OutputWriter CreateOutputWriter() => broker.CreateOutputWriter();
}
