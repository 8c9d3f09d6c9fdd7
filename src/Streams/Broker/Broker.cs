namespace KStreamSharp;

/// <summary>
/// What the engine needs of a broker: the contract of one group of classes (admin calls here, <see cref="GroupMember"/>,
/// <see cref="Reader"/>, <see cref="TransactionalWriter"/>), implemented by <see cref="EmbeddedBroker"/> and <see cref="KafkaBroker"/>.
/// </summary>
/// <remarks>
/// The meaning is Kafka's, also where Kafka is untidy: offsets have gaps where transactions ended, aborted records take
/// offsets, and the end of a transaction may become visible later on one partition than on another. One test suite
/// runs against every implementation.
/// </remarks>
public abstract class Broker
{
    private protected Broker()
    {
    }

    /// <summary>How long a compacted topic of the engine keeps tombstones.</summary>
    internal static TimeSpan TombstoneRetention { get; } = TimeSpan.FromDays(7);

    /// <summary>Describes a topic, or answers null when there is none of that name.</summary>
    internal abstract TopicDescription? DescribeTopic(string topic);

    /// <summary>
    /// As <see cref="DescribeTopic"/>, for a topic whose absence is an error: a broker of several may not have heard yet of one
    /// that was made a moment ago, so null is the answer only when it stays the answer for some seconds.
    /// </summary>
    internal virtual TopicDescription? ExpectTopic(string topic) => DescribeTopic(topic);

    /// <summary>The id of a topic, or null when there is none of that name: the half of <see cref="DescribeTopic"/> that is asked for often.</summary>
    internal virtual Guid? TopicId(string topic) => DescribeTopic(topic)?.Id;

    /// <summary>Creates a topic. One that exists already is left as it is.</summary>
    /// <returns>What there is now: to ask for it again may meet a broker that has not heard of it yet.</returns>
    internal abstract TopicDescription CreateTopic(TopicSpec topic);

    /// <summary>Deletes a topic with everything in it, and returns when it is gone. One that does not exist is no error.</summary>
    internal abstract void DeleteTopic(string topic);

    /// <summary>Deletes records below <paramref name="beforeOffset"/>: the partition's start offset moves up to it.</summary>
    internal abstract void DeleteRecords(TopicPartition partition, long beforeOffset);

    /// <summary>The offset of the oldest record that is kept.</summary>
    internal abstract long StartOffset(TopicPartition partition);

    /// <summary>
    /// The end of the log: one past the last record or transaction marker. With <paramref name="committedOnly"/>, the last
    /// stable offset instead: the first offset of the oldest transaction whose end this partition has not seen.
    /// </summary>
    internal abstract long EndOffset(TopicPartition partition, bool committedOnly);

    /// <summary>
    /// The positions committed by a group, null where it committed none. False while a transaction that sent positions for
    /// any of these partitions is pending (Kafka: require stable); ask again later.
    /// </summary>
    internal abstract bool TryGetCommittedOffsets(string group, IReadOnlyList<TopicPartition> partitions, out long?[] offsets);

    /// <summary>The number of members of a group: also those that are away, until their session times out.</summary>
    internal abstract int CountMembers(string group);

    /// <summary>Forgets a group with all positions that it has committed. One that does not exist is no error.</summary>
    /// <exception cref="BrokerException">Stop: the group has members.</exception>
    internal abstract void DeleteGroup(string group);

    /// <summary>Joins a group that shares out the partitions of one topic; nothing is owned before the first poll says so.</summary>
    internal abstract GroupMember JoinGroup(GroupOptions options);

    /// <summary>A reader of its own, outside any group.</summary>
    /// <param name="readCommitted">Leaves out what is aborted, and waits before what is open.</param>
    /// <param name="hurries">Learns of the end of a partition at once; asks the broker more often while it waits there.</param>
    internal abstract Reader CreateReader(bool readCommitted, bool hurries = false);

    /// <summary>A writer for one transactional id; call <see cref="TransactionalWriter.Initialize"/> before anything else.</summary>
    internal abstract TransactionalWriter CreateWriter(string transactionalId, TimeSpan transactionTimeout);

    /// <summary>A writer without transactions: what it appends is visible at once, and may come twice after a failure.</summary>
    /// <param name="dropsAfter">What was not delivered in this time never is, and <see cref="OutputWriter.Flush"/> says so; null for 30 s.</param>
    internal abstract OutputWriter CreateOutputWriter(TimeSpan? dropsAfter = null);
}

/// <summary>One partition of a topic.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number, from 0.</param>
public readonly record struct TopicPartition(string Topic, int Partition)
{
    /// <summary>The form that logs and errors use: <c>topic[partition]</c>.</summary>
    public override string ToString() => $"{Topic}[{Partition}]";
}

/// <summary>How a topic forgets old records.</summary>
internal enum TopicCleanup
{
    /// <summary>Oldest first, when the partition is larger than its bound (Kafka: <c>cleanup.policy=delete</c>).</summary>
    Delete,

    /// <summary>Keeps the newest record of each key (Kafka: <c>cleanup.policy=compact</c>).</summary>
    Compact,

    /// <summary>Keeps every record until the engine deletes it (Kafka: <c>delete</c> with unlimited retention).</summary>
    Keep,
}

/// <summary>A topic to create.</summary>
internal sealed record TopicSpec(string Name, int Partitions, TopicCleanup Cleanup);

/// <summary>A topic as it is; <paramref name="Id"/> changes when a topic is deleted and made anew under its old name.</summary>
internal sealed record TopicDescription(string Name, Guid Id, int Partitions, TopicCleanup Cleanup)
{
    /// <summary>Whether the broker writes its own time over the timestamps of records.</summary>
    public bool IsStampedByBroker { get; init; }
}
