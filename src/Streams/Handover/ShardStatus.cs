namespace KStreamSharp;

/// <summary>A shard of an instance.</summary>
/// <param name="Shard">Its number.</param>
/// <param name="State">What happens with it.</param>
public sealed record ShardStatus(int Shard, ShardState State)
{
    /// <summary>How far its restore has come; null when none is under way.</summary>
    public RestoreProgress? Restore { get; init; }

    /// <summary>
    /// How many offsets its inputs and repartition topics are ahead of it, all together; null while that is not known, and when
    /// it does not run here. The ends are asked for every 5 seconds.
    /// </summary>
    public long? Lag { get; init; }

    /// <summary>When it was last committed, here or by the owner before; null when it never was, and when it does not run here.</summary>
    public DateTimeOffset? LastCommit { get; init; }

    /// <summary>Its newest published snapshot; null when there is none, and when it does not run here.</summary>
    public SnapshotStatus? LastSnapshot { get; init; }
}

/// <summary>A published snapshot of a shard.</summary>
/// <param name="Id">Its id within the shard, as <c>snapshots list</c> shows it.</param>
/// <param name="TakenAt">When it was taken.</param>
/// <param name="Bytes">The bytes of all its files.</param>
public sealed record SnapshotStatus(string Id, DateTimeOffset TakenAt, long Bytes);

/// <summary>How far a part of a restore has come.</summary>
/// <param name="Source">Where the state comes from now: a snapshot, by its id, or the changelog.</param>
/// <param name="Done">How much of it is done.</param>
/// <param name="Total">How much there is.</param>
/// <param name="Unit">In what both are counted: <c>bytes</c> or <c>offsets</c>.</param>
/// <param name="Remaining">How long the rest will take at the speed so far; null when that is not known.</param>
public sealed record RestoreProgress(string Source, long Done, long Total, string Unit, TimeSpan? Remaining);

/// <summary>The life of a shard in an instance: owned → restoring → running → closing → gone.</summary>
public enum ShardState
{
    /// <summary>The group gave it to this instance; its restore has not begun.</summary>
    Owned,

    /// <summary>Its state is brought up to the last commit.</summary>
    Restoring,

    /// <summary>A worker processes its records.</summary>
    Running,

    /// <summary>It is being given up.</summary>
    Closing,
}
