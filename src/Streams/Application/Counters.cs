namespace KStreamSharp;

/// <summary>What an instance counts; written by its threads once per turn or commit, read by anyone.</summary>
internal sealed class Counters
{
    public long RecordsIn;
    public long RecordsFromInputs;
    public long RecordsOut;
    public long RecordsSkipped;
    public long Commits;
    public long RecordsRestored;
    public long RestoreTicks;
    public long Restores;
    public long Snapshots;
    public long SnapshotBytes;
    public long SnapshotFailures;
    public long SnapshotsRestored;
    public long SnapshotBytesRestored;
    public long SnapshotsRefused;
    public long Wipes;
    public long FirstRecordAt;
    public long LastCommitAt;
    public long ShardsAssigned;
    public long ShardsRevoked;
    public long ShardsLost;

    /// <summary>By what they asked of the engine (<see cref="Consequence"/>).</summary>
    public readonly long[] TransactionFailures = new long[Enum.GetValues<Consequence>().Length];
}
