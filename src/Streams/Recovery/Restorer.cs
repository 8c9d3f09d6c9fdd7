namespace KStreamSharp;

/// <summary>
/// Takes over the shards that the group gives to this instance, beside the workers: the shards that run go on meanwhile. An
/// instance may have several, each on a thread of its own; a shard is with one of them.
/// </summary>
internal sealed class Restorer(InstanceContext parts, ShardTable table, Func<int, long, Takeover> newTakeover, IReadOnlyList<ShardMailbox> workers, int atOnce) : IDisposable
{
    private readonly List<Takeover> _active = [];
    private readonly List<Takeover> _closing = [];
    private bool _workersAreReady;

    /// <summary>One bounded turn; true when something got further.</summary>
    public bool Step()
    {
        bool moved = false;
        _workersAreReady = _workersAreReady || workers.All(worker => worker.IsReady);
        while (_workersAreReady && _active.Count < atOnce && table.TryTakeNext(out int shard, out long number))
        {
            _active.Add(newTakeover(shard, number));
            moved = true;
        }

        for (int i = _active.Count - 1; i >= 0; i--)
        {
            Takeover takeover = _active[i];
            if (!table.IsWanted(takeover.Shard))
            {
                _active.RemoveAt(i);
                _closing.Add(takeover);
                moved = true;
                continue;
            }

            bool stepped = TryStep(takeover, out RestoredShard? restored);
            table.Report(takeover.Shard, takeover.Progress);
            if (!stepped)
            {
                continue;
            }

            moved = true;
            if (restored is null)
            {
                continue;
            }

            _active.RemoveAt(i);
            takeover.TryClose();
            ShardMailbox leastLoaded = workers.MinBy(worker => worker.Load)!;
            if (!table.HandOver(restored, leastLoaded))
            {
                restored.Store.Dispose();
                table.Closed(restored.Shard);
            }
        }

        foreach (Takeover takeover in _closing.FindAll(takeover => takeover.TryClose()))
        {
            _closing.Remove(takeover);
            table.Closed(takeover.Shard);
            moved = true;
        }

        return moved;
    }

    public void Dispose()
    {
        foreach (Takeover takeover in _active.Concat(_closing))
        {
            takeover.TryClose();
        }

        _active.Clear();
        _closing.Clear();
    }

    /// <summary>A call that is to be called again is: every step of a takeover can be.</summary>
    private bool TryStep(Takeover takeover, out RestoredShard? restored)
    {
        try
        {
            return takeover.Step(out restored);
        }
        catch (BrokerException error) when (error.Consequence == Consequence.Retry)
        {
            // The broker is away for a while: the same step again in the next turn.
            Log.RestoreRetries(parts.Logger, takeover.Shard, error.Message);
            restored = null;
            return false;
        }
    }

    /// <summary>Stops as a crash would.</summary>
    public void Abandon()
    {
        foreach (Takeover takeover in _active.Concat(_closing))
        {
            takeover.Abandon();
        }

        _active.Clear();
        _closing.Clear();
    }
}
