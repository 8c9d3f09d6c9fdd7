namespace KStreamSharp;

/// <summary>What an instance has done so far, and how its shards are.</summary>
public sealed record EngineStatus
{
    /// <summary>The records of inputs and repartition topics that were processed since the start, aborted work included.</summary>
    public required long RecordsIn { get; init; }

    /// <summary>Those of <see cref="RecordsIn"/> that came from inputs.</summary>
    public required long RecordsFromInputs { get; init; }

    /// <summary>The records appended to outputs and repartition topics since the start, aborted work included.</summary>
    public required long RecordsOut { get; init; }

    /// <summary>The records of inputs that were passed over as bad.</summary>
    public required long RecordsSkipped { get; init; }

    /// <summary>The transactions committed.</summary>
    public required long Commits { get; init; }

    /// <summary>The changelog records replayed in restores.</summary>
    public required long RecordsRestored { get; init; }

    /// <summary>The time that restores took, added up over the shards.</summary>
    public required TimeSpan RestoreTime { get; init; }

    /// <summary>The time from the first record processed to the last commit; zero before.</summary>
    public required TimeSpan ProcessingTime { get; init; }

    /// <summary>The shards of the application, all instances together; 0 before the start.</summary>
    public required int ShardCount { get; init; }

    /// <summary>The shards that this instance owns, by number.</summary>
    public required IReadOnlyList<ShardStatus> Shards { get; init; }
}

/// <summary>A shard of an instance.</summary>
/// <param name="Shard">Its number.</param>
/// <param name="State">What happens with it.</param>
public sealed record ShardStatus(int Shard, ShardState State);

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
