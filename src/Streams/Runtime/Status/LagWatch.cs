namespace KStreamSharp;

/// <summary>Asks the broker now and then where what the shards read ends, one partition per step, so that their lag is known.</summary>
internal sealed class LagWatch(InstanceContext parts, IReadOnlyList<ShardFigures> shards)
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    /// <summary>A position that stands still for so long may be held back by an open transaction. The engine's own end sooner.</summary>
    private static readonly TimeSpan SayAfter = TimeSpan.FromSeconds(30);

    private readonly Queue<StepFigures> _next = [];
    private readonly Dictionary<TopicPartition, Standing> _stands = [];
    private long _lookedAt = parts.Time.GetTimestamp();
    private bool _hasFailed;

    /// <summary>One question at the most; true when there may be more to ask.</summary>
    public bool Step()
    {
        bool all = parts.Time.GetElapsedTime(_lookedAt) >= Every;
        if (_hasFailed && !all)
        {
            // Restores go on meanwhile, on the same thread: a question without an answer takes seconds.
            return false;
        }

        _hasFailed = false;
        if (_next.Count == 0)
        {
            foreach (ShardFigures shard in shards)
            {
                if (shard.IsHere)
                {
                    Take(shard, all);
                }
            }

            _lookedAt = all ? parts.Time.GetTimestamp() : _lookedAt;
        }

        if (!_next.TryDequeue(out StepFigures? source))
        {
            return false;
        }

        try
        {
            Look(source, source.Partition!.Value);
        }
        catch (BrokerException)
        {
            // Lag is for people. Whoever needs the broker to go on says what is wrong with it.
            _hasFailed = true;
            _next.Clear();
            _lookedAt = parts.Time.GetTimestamp();
            return false;
        }

        return true;
    }

    /// <summary>The end is that of all records, also of those whose transaction is open: they are still to be processed.</summary>
    private void Look(StepFigures source, TopicPartition partition)
    {
        long position = Volatile.Read(ref source.Position);
        long end = parts.Broker.EndOffset(partition, committedOnly: false);
        Volatile.Write(ref source.End, end);
        long now = parts.Time.GetTimestamp();
        if (!_stands.TryGetValue(partition, out Standing? standing) || standing.Position != position || position >= end)
        {
            _stands[partition] = new Standing(position, now, now);
        }
        else if (parts.Time.GetElapsedTime(standing.ToldAt, now) >= SayAfter && parts.Broker.EndOffset(partition, committedOnly: true) <= position)
        {
            Log.HeldBack(parts.Logger, source.Step, partition, position, end, parts.Time.GetElapsedTime(standing.Since, now).TotalSeconds, partition.Topic, partition.Partition);
            _stands[partition] = standing with { ToldAt = now };
        }
    }

    private void Take(ShardFigures shard, bool all)
    {
        foreach (StepFigures step in shard.Steps)
        {
            if (step.Partition is not null && (all || step.IsEndUnknown))
            {
                _next.Enqueue(step);
            }
        }
    }

    private sealed record Standing(long Position, long Since, long ToldAt);
}
