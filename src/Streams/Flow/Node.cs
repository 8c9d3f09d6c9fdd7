namespace KStreamSharp;

/// <summary>A step's part of one shard, where it does more than pass items on: it acts at the end of a turn and of the input.</summary>
internal abstract class Node(FlowInstance instance, Step step)
{
    public Step Step { get; } = step;

    protected FlowInstance Instance { get; } = instance;

    /// <summary>The turn's items have been pushed: batches are handled, then due timers.</summary>
    /// <exception cref="TurnTooLongException">The transaction has grown too old in the midst of a batch.</exception>
    public abstract void EndTurn();

    /// <summary>Items were gathered and not handled, or keys called and not asked when they want to be notified. No commit may come then.</summary>
    public virtual bool IsInTurn => false;

    /// <summary>The transaction was aborted: what the turn has gathered is forgotten.</summary>
    public virtual void Reset()
    {
    }

    /// <summary>
    /// All upstreams have ended: one slice of the work of that. True when it is complete; else <paramref name="cursor"/>
    /// says where the next slice, perhaps after a crash, goes on.
    /// </summary>
    public virtual bool EndInput(ref byte[]? cursor)
    {
        EndTurn();
        return true;
    }
}
