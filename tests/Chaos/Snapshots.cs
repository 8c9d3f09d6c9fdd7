using Confluent.Kafka;

namespace KStreamSharp.Tests.Chaos;

/// <summary>What an application has published of its snapshots.</summary>
internal static class Snapshots
{
    /// <summary>The position of each shard's newest snapshot; 0 where there is none.</summary>
    public static long[] NewestPositions(string address, Application app)
    {
        using Topics topics = new(address);
        long[] positions = new long[app.Partitions];
        foreach (ConsumeResult<byte[], byte[]> record in topics.Read(InternalTopics.Shards(app.Id), app.Partitions).SelectMany(partition => partition.Records))
        {
            if (record.Message.Key is { } key && record.Message.Value is { } value && SnapshotList.ListKey.SequenceEqual(key))
            {
                positions[record.Partition.Value] = SnapshotList.Read(value) is [SnapshotEntry newest, ..] ? newest.Position : 0;
            }
        }

        return positions;
    }
}
