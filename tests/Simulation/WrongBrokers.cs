using System.Security.Cryptography;
using System.Text;
using KStreamSharp.Testing;

namespace KStreamSharp.Tests.Simulations;

/// <summary>The changelog has the same id, however often it is made anew: comparing it shows nothing.</summary>
internal sealed class IdsOfTheChangelogHidden(Broker broker, string app) : PassingBroker(broker)
{
    internal override TopicDescription? DescribeTopic(string topic) => base.DescribeTopic(topic) is { } found ? Hidden(found) : null;

    internal override TopicDescription CreateTopic(TopicSpec topic) => Hidden(base.CreateTopic(topic));

    private TopicDescription Hidden(TopicDescription topic) => topic.Name == InternalTopics.Changelog(app)
        ? topic with { Id = new Guid(SHA256.HashData(Encoding.UTF8.GetBytes(topic.Name)).AsSpan(0, 16)) }
        : topic;
}

/// <summary>There is no other application: nobody else's record is looked at before a repartition topic is used.</summary>
internal sealed class OtherApplicationsHidden(Broker broker, string app) : PassingBroker(broker)
{
    internal override TopicDescription? DescribeTopic(string topic) =>
        topic.EndsWith(InternalTopics.Shards(""), StringComparison.Ordinal) && topic != InternalTopics.Shards(app)
            ? null
            : base.DescribeTopic(topic);
}

/// <summary>An endless instance never answers that it is one.</summary>
internal sealed class AnswersDropped(Broker broker, string app) : PassingBroker(broker)
{
    internal override TransactionalWriter CreateWriter(string transactionalId, TimeSpan transactionTimeout) =>
        new Writer(base.CreateWriter(transactionalId, transactionTimeout), InternalTopics.Shards(app));

    private sealed class Writer(TransactionalWriter writer, string shards) : TransactionalWriter
    {
        public override void Initialize() => writer.Initialize();

        public override void Begin() => writer.Begin();

        public override void Append(TopicPartition partition, in OutgoingRecord record)
        {
            // The only records "mode" in a transaction are answers.
            if (partition.Topic != shards || !record.Key.SequenceEqual("mode"u8))
            {
                writer.Append(partition, record);
            }
        }

        public override void SendOffsets(string group, IReadOnlyList<KeyValuePair<TopicPartition, long>> positions, GroupToken token) =>
            writer.SendOffsets(group, positions, token);

        public override void Commit() => writer.Commit();

        public override void Abort() => writer.Abort();

        public override long LastOffset(TopicPartition partition) => writer.LastOffset(partition);

        public override void Dispose() => writer.Dispose();
    }
}
