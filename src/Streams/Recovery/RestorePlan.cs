namespace KStreamSharp;

/// <summary>What is known of a shard's local folder. A new folder has no identity.</summary>
/// <param name="ChangelogId">The id of the changelog topic that it was filled from.</param>
/// <param name="Position">Where the changelog goes on after what it holds.</param>
/// <param name="BrokerTime">The time of its last marker, in milliseconds since 1970.</param>
/// <param name="Damage">Why it cannot be believed; null while nothing speaks against it.</param>
internal sealed record LocalState(Guid ChangelogId, long Position, long BrokerTime, string? Damage = null);

/// <summary>What is known of a shard's changelog partition.</summary>
internal sealed record ChangelogState(Guid Id, long Start, long End);

/// <summary>The kinds of <see cref="RestorePlan"/>.</summary>
internal enum RestoreKind
{
    /// <summary>Keep the local folder and replay the tail.</summary>
    Local,

    /// <summary>Download a snapshot in place of the local folder, and replay the tail.</summary>
    Snapshot,

    /// <summary>Wipe the local folder, if there is one, and replay the whole changelog.</summary>
    Everything,

    /// <summary>Stop: state would be lost.</summary>
    Refuse,
}

/// <summary>
/// Where the restore of a shard begins: of the sources that can be used, the one with the fewest bytes to move. A pure
/// decision; <c>docs/guarantees.md</c> has its table.
/// </summary>
/// <param name="Kind">The kind.</param>
/// <param name="From">The changelog offset from which to replay.</param>
/// <param name="Reason">Why, for the log.</param>
/// <param name="Snapshot">The snapshot to download, for <see cref="RestoreKind.Snapshot"/>.</param>
internal sealed record RestorePlan(RestoreKind Kind, long From, string Reason, SnapshotEntry? Snapshot = null)
{
    /// <summary>How much earlier than the tombstones a source is taken to be too old.</summary>
    private static readonly TimeSpan Margin = TimeSpan.FromHours(1);

    /// <param name="local">The local folder, or null when it is new.</param>
    /// <param name="snapshots">The published snapshots, newest first.</param>
    /// <param name="damaged">Why snapshots cannot be used that were tried already, by their ids.</param>
    /// <param name="changelog">The changelog partition.</param>
    /// <param name="groupHasPositions">Whether the group has committed positions for the shard's sources.</param>
    /// <param name="now">The time, in milliseconds since 1970.</param>
    /// <param name="tombstoneRetention">How long the changelog keeps tombstones.</param>
    /// <param name="bytesPerOffsetGuess">The bytes of a changelog offset where no snapshot has measured them.</param>
    public static RestorePlan Decide(
        LocalState? local,
        IReadOnlyList<SnapshotEntry> snapshots,
        IReadOnlyDictionary<string, string> damaged,
        ChangelogState changelog,
        bool groupHasPositions,
        long now,
        TimeSpan tombstoneRetention,
        long bytesPerOffsetGuess = 100)
    {
        if (groupHasPositions && changelog.End == 0)
        {
            return new(RestoreKind.Refuse, 0, "the group has positions, but the changelog is empty: it was deleted and made anew");
        }

        long bytesPerOffset = snapshots.FirstOrDefault(entry => entry.BytesPerOffset > 0)?.BytesPerOffset ?? bytesPerOffsetGuess;
        List<(RestorePlan Plan, long Cost)> usable = [];
        List<string> useless = [];
        if (local is null)
        {
            useless.Add("no local state");
        }
        else if ((local.Damage is null ? WhyUseless(local.ChangelogId, local.Position, local.BrokerTime) : $"it is damaged: {local.Damage}") is { } why)
        {
            useless.Add($"the local state cannot be used: {why}");
        }
        else
        {
            Consider(new(RestoreKind.Local, local.Position, $"local state at offset {local.Position}, {changelog.End - local.Position} offsets behind"), 0);
        }

        foreach (SnapshotEntry entry in snapshots)
        {
            if ((damaged.GetValueOrDefault(entry.Id) ?? WhyUseless(entry.ChangelogId, entry.Position, entry.BrokerTime)) is { } reason)
            {
                useless.Add($"snapshot {entry.Id} cannot be used: {reason}");
            }
            else
            {
                Consider(new(RestoreKind.Snapshot, entry.Position, $"snapshot {entry.Id} of {entry.Bytes} bytes, {changelog.End - entry.Position} offsets behind", entry), entry.Bytes);
            }
        }

        if (changelog.Start == 0)
        {
            Consider(new(RestoreKind.Everything, 0, "the whole changelog"), 0);
        }
        else
        {
            useless.Add($"the changelog begins at offset {changelog.Start}: what was before is lost");
        }

        // Of equals the first: what is here, then the newest.
        RestorePlan plan = usable.Count > 0 ? usable.MinBy(source => source.Cost).Plan : new(RestoreKind.Refuse, 0, "");
        string because = string.Join(", and ", useless);
        return plan.Kind == RestoreKind.Local ? plan : plan with { Reason = string.Join("; ", new[] { because, plan.Reason }.Where(part => part.Length > 0)) };

        void Consider(RestorePlan source, long bytes) => usable.Add((source, bytes + ((changelog.End - source.From) * bytesPerOffset)));

        string? WhyUseless(Guid changelogId, long position, long brokerTime) => RestorePlan.WhyUseless(changelogId, position, brokerTime, changelog, now, tombstoneRetention);
    }

    /// <summary>Why a source with these properties cannot be used, in words; null when it can.</summary>
    public static string? WhyUseless(Guid changelogId, long position, long brokerTime, ChangelogState changelog, long now, TimeSpan tombstoneRetention)
    {
        if (changelogId != changelog.Id)
        {
            return "the changelog topic was made anew since it was written";
        }

        if (position > changelog.End)
        {
            return $"it is at offset {position}, the changelog ends at {changelog.End}";
        }

        if (position < changelog.Start)
        {
            return $"it is at offset {position}, the changelog begins at {changelog.Start}";
        }

        bool hasTail = position < changelog.End;
        return hasTail && now - brokerTime >= (tombstoneRetention - Margin).TotalMilliseconds
            ? $"it is older than the changelog keeps tombstones ({tombstoneRetention.TotalDays:0.#} days): deleted keys would come back"
            : null;
    }
}
