namespace KStreamSharp.Hosting;

/// <summary>The instance that committed a shard last, and when that was.</summary>
internal sealed record ShardOwner(string Instance, DateTimeOffset LastCommit);

/// <summary>Who has the shards of an application now, by the last commit marker of each in the changelog.</summary>
internal sealed class ShardOwners(Broker broker, string app)
{
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
        long end = BrokerCalls.Ask(() => broker.EndOffset(partition, committedOnly: true));
        if (LastCommit.Find(broker, app, partition, end, "look") is not { } last)
        {
            return null;
        }

        // An id is app/instance/slot.
        string id = last.Marker.TransactionalId;
        return new(id.Split('/') is [_, var instance, ..] ? instance : id, RecordTime.Of(last.Timestamp));
    }
}
