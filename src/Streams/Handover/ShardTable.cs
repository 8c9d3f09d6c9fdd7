namespace KStreamSharp;

/// <summary>
/// Where each shard of this instance is, and how it moves: membership → restorer → worker → closed. Locks are taken when a
/// shard moves, never per record.
/// </summary>
/// <remarks>
/// Always true: a shard is in one place; a shard that comes back while its old store is being closed waits until it is.
/// </remarks>
internal sealed class ShardTable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<int, Slot> _slots = [];
    private readonly Queue<(int Shard, long Number)> _toRestore = [];
    private readonly List<int> _closed = [];

    public IReadOnlyList<ShardStatus> Status
    {
        get
        {
            lock (_lock)
            {
                return [.. _slots.OrderBy(entry => entry.Key).Select(entry => new ShardStatus(entry.Key, entry.Value.State) { Restore = entry.Value.Restore })];
            }
        }
    }

    /// <summary>The group gave the shard to this instance. What runs of it under an older number is dropped first.</summary>
    public void Assign(int shard, long number)
    {
        lock (_lock)
        {
            if (!_slots.TryGetValue(shard, out Slot? old))
            {
                Begin(shard, number);
                return;
            }

            old.Next = number;
            if (old.State != ShardState.Closing)
            {
                old.State = ShardState.Closing;
                old.Worker?.Post(new DropMessage(shard));
            }
        }
    }

    /// <summary>The shard is to be given up (commit first) or is lost (drop everything).</summary>
    public void GiveUp(int shard, bool lost)
    {
        lock (_lock)
        {
            if (!_slots.TryGetValue(shard, out Slot? slot))
            {
                _closed.Add(shard);
                return;
            }

            slot.Next = null;
            slot.State = ShardState.Closing;
            slot.Worker?.Post(lost ? new DropMessage(shard) : new ReleaseMessage(shard));
        }
    }

    /// <summary>For the restorer: the next shard to take over.</summary>
    public bool TryTakeNext(out int shard, out long number)
    {
        lock (_lock)
        {
            while (_toRestore.TryDequeue(out (int Shard, long Number) next))
            {
                (shard, number) = next;
                if (!_slots.TryGetValue(shard, out Slot? slot))
                {
                    continue;
                }

                if (slot.State == ShardState.Owned)
                {
                    slot.State = ShardState.Restoring;
                    return true;
                }

                Close(shard);
            }

            (shard, number) = (-1, 0);
            return false;
        }
    }

    /// <summary>For the restorer: whether the shard is still wanted.</summary>
    public bool IsWanted(int shard)
    {
        lock (_lock)
        {
            return _slots.TryGetValue(shard, out Slot? slot) && slot.State == ShardState.Restoring;
        }
    }

    /// <summary>How far the restore of a shard has come; null when it is over.</summary>
    public void Report(int shard, RestoreProgress? progress)
    {
        lock (_lock)
        {
            if (_slots.TryGetValue(shard, out Slot? slot))
            {
                slot.Restore = progress;
            }
        }
    }

    /// <summary>A restored shard goes to a worker; false when it is no longer wanted (close it, then <see cref="Closed"/>).</summary>
    public bool HandOver(RestoredShard shard, ShardMailbox worker)
    {
        lock (_lock)
        {
            if (!_slots.TryGetValue(shard.Shard, out Slot? slot) || slot.State != ShardState.Restoring)
            {
                return false;
            }

            slot.State = ShardState.Running;
            slot.Worker = worker;
            worker.Post(new AdoptMessage(shard));
            return true;
        }
    }

    /// <summary>The shard's store is closed and nothing of it is in memory.</summary>
    public void Closed(int shard)
    {
        lock (_lock)
        {
            Close(shard);
        }
    }

    /// <summary>A worker gives a shard back for another takeover under the same ownership; its store is closed.</summary>
    public void TakeOverAgain(int shard, long number)
    {
        lock (_lock)
        {
            if (_slots.TryGetValue(shard, out Slot? slot) && slot.State == ShardState.Running)
            {
                Begin(shard, number);
            }
            else
            {
                Close(shard);
            }
        }
    }

    /// <summary>For membership: the shards that were given up since the last call.</summary>
    public IReadOnlyList<int> TakeClosed()
    {
        lock (_lock)
        {
            if (_closed.Count == 0)
            {
                return [];
            }

            int[] closed = [.. _closed];
            _closed.Clear();
            return closed;
        }
    }

    private void Begin(int shard, long number)
    {
        _slots[shard] = new Slot();
        _toRestore.Enqueue((shard, number));
    }

    private void Close(int shard)
    {
        if (!_slots.Remove(shard, out Slot? slot))
        {
            return;
        }

        _closed.Add(shard);
        if (slot.Next is { } number)
        {
            Begin(shard, number);
        }
    }

    private sealed class Slot
    {
        public ShardState State { get; set; } = ShardState.Owned;

        public ShardMailbox? Worker { get; set; }

        public RestoreProgress? Restore { get; set; }

        /// <summary>The ownership number under which the shard came back while it was being closed.</summary>
        public long? Next { get; set; }
    }
}
