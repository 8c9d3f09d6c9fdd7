namespace KStreamSharp;

/// <summary>Asks the broker now and then where what the shards read ends, one partition per step, so that their lag is known.</summary>
internal sealed class LagWatch(EngineParts parts)
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    private readonly Queue<StepFigures> _next = [];
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
            foreach (ShardFigures shard in parts.Figures)
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
            Volatile.Write(ref source.End, parts.Broker.EndOffset(source.Partition!.Value, committedOnly: true));
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
}
