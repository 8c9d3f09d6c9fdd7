namespace KStreamSharp;

/// <summary>
/// Copies of the shards' states outside of the instance, from which another one restores in the time of a download. Without
/// them a new owner replays the changelog.
/// </summary>
public sealed record SnapshotOptions
{
    /// <summary>Where they are kept; all instances of an application share one store.</summary>
    public required ISnapshotStore Store { get; init; }

    /// <summary>
    /// Whether an instance ends where the store does not answer, or refuses it, at its start; default false: it goes on with a
    /// warning, and shards restore from the changelog alone until the store can be used.
    /// </summary>
    public bool Required { get; init; }

    /// <summary>How long after its last snapshot a shard that has changed gets the next one; default 5 minutes.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>After how many bytes of changelog a shard gets the next one, however soon; default 256 MiB.</summary>
    public long ChangelogBytesMax { get; init; } = 256L << 20;

    /// <summary>How many snapshots of each shard are kept; default 3. Older ones, and the files that only they need, are deleted.</summary>
    public int Kept { get; init; } = 3;

    /// <summary>
    /// How long the orderly end of an instance may take to bring the snapshots of its shards up to date; default 5 s, zero
    /// for none. What is not done by then is left: the changelog has it.
    /// </summary>
    public TimeSpan EndTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How many bytes per second an instance uploads at most, all shards together; null (the default) for no limit.</summary>
    public long? BytesPerSecondMax { get; init; }

    internal void Check(Action<bool, string, string> refuse)
    {
        refuse(Interval < TimeSpan.FromSeconds(1), $"Snapshots.{nameof(Interval)}", $"{Interval} is less than 1 s");
        refuse(ChangelogBytesMax < 1 << 20, $"Snapshots.{nameof(ChangelogBytesMax)}", $"{ChangelogBytesMax} is less than 1 MiB");
        refuse(Kept is < 1 or > 100, $"Snapshots.{nameof(Kept)}", $"{Kept} is not between 1 and 100");
        refuse(EndTimeout < TimeSpan.Zero, $"Snapshots.{nameof(EndTimeout)}", $"{EndTimeout} is negative");
        refuse(BytesPerSecondMax is < 1024, $"Snapshots.{nameof(BytesPerSecondMax)}", $"{BytesPerSecondMax} is less than 1 KiB");
    }
}
