namespace KStreamSharp;

/// <summary>A stateful step in one shard, as the commit sees it.</summary>
internal abstract class StatefulNode(FlowInstance instance, Step step) : Node(instance, step)
{
    /// <summary>The stateful nodes of a flow in a shard, in topological order.</summary>
    public static IReadOnlyList<StatefulNode> Of(FlowInstance instance) => [.. instance.Nodes.OfType<StatefulNode>()];

    /// <summary>The estimated bytes of logics that were called since the last commit.</summary>
    public abstract long DirtyBytes { get; }

    /// <summary>The estimated bytes of all logics in memory.</summary>
    public abstract long CacheBytes { get; }

    /// <summary>The keys in memory.</summary>
    public abstract int CacheKeys { get; }

    /// <summary>How many keys were not in memory since the last call, and were looked for in the store.</summary>
    public abstract long TakeCacheMisses();

    /// <summary>The key that the step's code was called with last, for errors.</summary>
    public abstract string LastKey { get; }

    /// <summary>Whether more timers are due than the last turn handled.</summary>
    public abstract bool HasMoreDue { get; }

    /// <summary>Commit, step 1: every touched logic is asked for its state, in ascending order of the keys.</summary>
    public abstract void WriteChanges(ShardChanges changes);

    /// <summary>Commit, step 5 is done: what was touched is clean now.</summary>
    public abstract void Applied();

    /// <summary>The saved or live state of a key as its envelope, and whether it is there; for tests and tools.</summary>
    public abstract byte[]? Peek(ReadOnlySpan<byte> key);

    /// <summary>The pending notification times by key, live ones included; for tests and tools.</summary>
    public abstract IReadOnlyDictionary<byte[], long> PeekTimers();
}
