namespace KStreamSharp;

/// <summary>Makes an instance's commits, takeovers and snapshots. The simulator is tested with ones that do a step wrongly.</summary>
internal class EngineSteps
{
    public static EngineSteps Default { get; } = new();

    public virtual Commit NewCommit(EngineParts parts, Membership membership, Transaction transaction) => new(parts, membership, transaction);

    public virtual Takeover NewTakeover(InstanceContext parts, int shard, long number) => new(parts, shard, number);

    /// <summary>Whether what a slice of the end of the input emitted is handled before a commit may come.</summary>
    public virtual bool EndsTurns => true;

    /// <summary>Purged records could not be deleted: that is housekeeping, and ends nothing.</summary>
    public virtual void PurgeFailed(BrokerException error)
    {
    }

    public virtual SnapshotSeries NewSnapshotSeries(InstanceContext parts, int shard, long ownerEpoch) => new(parts, shard, ownerEpoch);
}
