namespace KStreamSharp.Hosting;

/// <summary>The instance that committed a shard last, and when that was.</summary>
internal sealed record ShardOwner(string Instance, DateTimeOffset LastCommit);

/// <summary>Who has the shards of an application now, by the last commit marker of each in the changelog.</summary>
internal sealed class ShardOwners(Broker broker, string app)
{
    private const long FirstLook = 100;
    private const int BatchMax = 1_000;

    private static readonly TimeSpan Turn = TimeSpan.FromMilliseconds(100);

    /// <summary>Of the shards in a folder those that another instance has now.</summary>
    /// <param name="state">The folder.</param>
    /// <param name="instance">The instance that lives in the folder.</param>
    /// <exception cref="StreamException">The broker does not answer.</exception>
    public IReadOnlyDictionary<int, ShardOwner> Elsewhere(StoredState state, string instance)
    {
        int there = BrokerCalls.Ask(() => broker.DescribeTopic(InternalTopics.Changelog(app)))?.Partitions ?? 0;
        return state.Shards
            .Where(shard => shard < there)
            .Select(shard => (shard, Owner: Of(shard)))
            .Where(shard => shard.Owner is { } owner && owner.Instance != instance)
            .ToDictionary(shard => shard.shard, shard => shard.Owner!);
    }

    /// <summary>The owner of a shard; null before its first commit.</summary>
    /// <exception cref="StreamException">The broker does not answer.</exception>
    public ShardOwner? Of(int shard)
    {
        TopicPartition partition = new(InternalTopics.Changelog(app), shard);
        long start = BrokerCalls.Ask(() => broker.StartOffset(partition));
        long end = BrokerCalls.Ask(() => broker.EndOffset(partition, committedOnly: true));

        // Every commit ends with a marker: the last one is near the end.
        for (long look = FirstLook; ; look *= 10)
        {
            long from = Math.Max(start, end - look);
            ShardOwner? owner = Last(partition, from, end);
            if (owner is not null || from == start)
            {
                return owner;
            }
        }
    }

    private ShardOwner? Last(TopicPartition partition, long from, long end)
    {
        ShardOwner? last = null;
        using Reader reader = BrokerCalls.Ask(() => broker.CreateReader(readCommitted: true, hurries: true));
        BrokerCalls.Ask(() => reader.Assign(partition, from));
        while (reader.Position(partition) < end)
        {
            if (BrokerCalls.Ask(() => reader.Read(partition, BatchMax)) is not { } batch)
            {
                reader.Wait(Turn);
                continue;
            }

            for (int i = 0; i < batch.Count; i++)
            {
                if (batch[i].HasValue && ShardChanges.ReadKey(batch[i].Key, out _) is null)
                {
                    // An id is app/instance/slot.
                    string id = CommitMarker.Read(batch[i].Value).TransactionalId;
                    last = new(id.Split('/') is [_, var instance, ..] ? instance : id, RecordTime.Of(batch[i].Timestamp));
                }
            }
        }

        return last;
    }
}
