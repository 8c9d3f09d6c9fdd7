namespace KStreamSharp.Testing;

/// <summary>What must be true of every flow: of its commits at any moment, and of its topics when all have left.</summary>
internal sealed class SimulationAudit(Cluster cluster)
{
    private readonly string _changelog = InternalTopics.Changelog(cluster.Flow.Id);
    private readonly long[] _from = new long[cluster.Shards];
    private readonly Dictionary<int, CommitMarker> _last = [];

    /// <summary>The commits since the last look: one owner per epoch, and neither epochs nor positions go back.</summary>
    public void Look()
    {
        foreach (EmbeddedRecord record in cluster.Broker.ReadAll(_changelog, from: _from))
        {
            if (ShardChanges.ReadKey(record.Key, out _) is not null)
            {
                continue;
            }

            CommitMarker marker = CommitMarker.Read(record.Value);
            if (_last.TryGetValue(record.Partition, out CommitMarker? last))
            {
                Compare(record.Partition, last, marker);
            }

            _last[record.Partition] = marker;
        }
    }

    /// <summary>All have left: no transaction hangs, and the group's positions are those of the last commits.</summary>
    public void CheckEnd()
    {
        cluster.Clock.Advance(TimeSpan.FromSeconds(2));
        Look();
        foreach ((int shard, CommitMarker marker) in _last)
        {
            TopicPartition changelog = new(_changelog, shard);
            long end = cluster.Broker.EndOffset(changelog, committedOnly: false);
            if (cluster.Broker.EndOffset(changelog, committedOnly: true) != end)
            {
                throw new SimulationBreach($"{changelog} ends at {end}, but a transaction in it has no end");
            }

            TopicPartition[] sources = [.. marker.Positions.Keys];
            cluster.Broker.TryGetCommittedOffsets(cluster.Flow.Id, sources, out long?[] group);
            for (int i = 0; i < sources.Length; i++)
            {
                if (group[i] != marker.Positions[sources[i]])
                {
                    throw new SimulationBreach($"the last commit of shard {shard} says {marker.Positions[sources[i]]} for {sources[i]}, the group says {group[i]?.ToString() ?? "nothing"}");
                }
            }
        }
    }

    private static void Compare(int shard, CommitMarker last, CommitMarker next)
    {
        if (next.OwnerEpoch < last.OwnerEpoch)
        {
            throw new SimulationBreach($"shard {shard}: {next.TransactionalId} committed as owner {next.OwnerEpoch} after {last.TransactionalId} as owner {last.OwnerEpoch}");
        }

        if (next.OwnerEpoch == last.OwnerEpoch && next.TransactionalId != last.TransactionalId)
        {
            throw new SimulationBreach($"shard {shard}: {next.TransactionalId} and {last.TransactionalId} both committed as owner {next.OwnerEpoch}");
        }

        foreach ((TopicPartition source, long position) in last.Positions)
        {
            if (next.Positions.TryGetValue(source, out long now) && now < position)
            {
                throw new SimulationBreach($"shard {shard}: the position in {source} went back from {position} to {now}");
            }
        }
    }
}

/// <summary>Something that must hold did not.</summary>
internal sealed class SimulationBreach(string message) : Exception(message);
