namespace KStreamSharp;

/// <summary>A broker inside the process.</summary>
public sealed class EmbeddedBroker : Broker, IDisposable
{
    internal override TopicDescription? DescribeTopic(string topic) => throw new NotImplementedException();

    internal override void CreateTopic(TopicSpec topic) => throw new NotImplementedException();

    internal override void DeleteRecords(TopicPartition partition, long beforeOffset) => throw new NotImplementedException();

    internal override long StartOffset(TopicPartition partition) => throw new NotImplementedException();

    internal override long EndOffset(TopicPartition partition, bool committedOnly) => throw new NotImplementedException();

    internal override bool TryGetCommittedOffsets(string group, IReadOnlyList<TopicPartition> partitions, out long?[] offsets) => throw new NotImplementedException();

    internal override GroupMember JoinGroup(GroupOptions options) => throw new NotImplementedException();

    internal override Reader CreateReader(bool readCommitted) => throw new NotImplementedException();

    internal override TransactionalWriter CreateWriter(string transactionalId, TimeSpan transactionTimeout) => throw new NotImplementedException();

    /// <summary>Closes the broker.</summary>
    public void Dispose()
    {
    }
}
