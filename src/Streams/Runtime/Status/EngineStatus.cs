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

    /// <summary>The snapshots published since the start.</summary>
    public required long SnapshotsPublished { get; init; }

    /// <summary>The bytes of files uploaded for snapshots; files that the store had already are not among them.</summary>
    public required long SnapshotBytesUploaded { get; init; }

    /// <summary>The times that the snapshot store failed, in uploads, downloads and deletions.</summary>
    public required long SnapshotFailures { get; init; }

    /// <summary>The snapshots that shards were restored from.</summary>
    public required long SnapshotsRestored { get; init; }

    /// <summary>The bytes downloaded for them; files that were on this machine already are not among them.</summary>
    public required long SnapshotBytesRestored { get; init; }

    /// <summary>The snapshots that could not be used in a restore: missing, damaged, or of another format. The log says which and why.</summary>
    public required long SnapshotsRefused { get; init; }

    /// <summary>The local folders of shards that were wiped or replaced; never because of a crash. The log says why.</summary>
    public required long LocalStatesWiped { get; init; }

    /// <summary>The time from the first record processed to the last commit; zero before.</summary>
    public required TimeSpan ProcessingTime { get; init; }

    /// <summary>The shards of the application, all instances together; 0 before the start.</summary>
    public required int ShardCount { get; init; }

    /// <summary>The shards that this instance owns, by number.</summary>
    public required IReadOnlyList<ShardStatus> Shards { get; init; }

    /// <summary>The instance's id; empty before the start.</summary>
    public string InstanceId { get; init; } = "";

    /// <summary>Whether the group counts the instance as a member and has given it its share. Nothing is its share when the group has given it none for two revocation budgets (<see cref="StreamOptions.RevocationBudget"/>), or for 30 s if those are longer.</summary>
    public bool IsMember { get; init; }

    /// <summary>Whether the instance has begun to end: it takes no shards any more, commits, and lets go of what it has.</summary>
    public bool IsEnding { get; init; }

    /// <summary>When the loop that keeps the membership last turned; null before its first turn.</summary>
    public DateTimeOffset? LastMembershipTurn { get; init; }

    /// <summary>The threads that process records.</summary>
    public IReadOnlyList<WorkerStatus> Workers { get; init; } = [];
}

/// <summary>A thread that processes records.</summary>
/// <param name="Worker">Its number.</param>
/// <param name="LastTurn">When its last turn ended; null before the first one has. It gets old while the worker waits for the broker.</param>
/// <param name="InTurn">How long the turn under way has lasted, waiting for the broker excepted; zero between turns.</param>
public sealed record WorkerStatus(int Worker, DateTimeOffset? LastTurn, TimeSpan InTurn);
