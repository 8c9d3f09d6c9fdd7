namespace KStreamSharp;

/// <summary>Whether the files of a snapshot are what was published.</summary>
internal static class SnapshotCheck
{
    /// <summary>Opens the files of a snapshot, and compares what they say with what was published.</summary>
    /// <returns>The marker that they hold.</returns>
    /// <exception cref="SnapshotDamagedException">They say something else.</exception>
    /// <exception cref="ShardDamagedException">A file is missing or damaged.</exception>
    public static StoredMarker Open(string folder, string identity, long position, StateLimits limits)
    {
        ShardStore store = ShardStore.Open(folder, limits, readsAll: true, steps: []);
        try
        {
            string? found = store.ReadIdentity();
            StoredMarker? stored = store.ReadMarker();

            // Every block, by its checksum: what was damaged before it was uploaded has a hash that fits.
            store.CheckAll();

            return found == identity && stored?.ChangelogPosition == position
                ? stored
                : throw new SnapshotDamagedException($"its store says {found ?? "nothing"} at offset {stored?.ChangelogPosition}, not {identity} at offset {position}");
        }
        finally
        {
            store.Abandon();
        }
    }
}
