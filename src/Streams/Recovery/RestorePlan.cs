namespace KStreamSharp;

/// <summary>What is known of a shard's local folder. A new folder has no identity.</summary>
/// <param name="ChangelogId">The id of the changelog topic that it was filled from.</param>
/// <param name="Position">Where the changelog goes on after what it holds.</param>
/// <param name="BrokerTime">The time of its last marker, in milliseconds since 1970.</param>
internal sealed record LocalState(Guid ChangelogId, long Position, long BrokerTime);

/// <summary>What is known of a shard's changelog partition.</summary>
internal sealed record ChangelogState(Guid Id, long Start, long End);

/// <summary>The kinds of <see cref="RestorePlan"/>.</summary>
internal enum RestoreKind
{
    /// <summary>Keep the local folder and replay the tail.</summary>
    Local,

    /// <summary>Wipe the local folder, if there is one, and replay the whole changelog.</summary>
    Everything,

    /// <summary>Stop: state would be lost.</summary>
    Refuse,
}

/// <summary>Where the restore of a shard begins. A pure decision; <c>docs/guarantees.md</c> has its table.</summary>
internal sealed record RestorePlan(RestoreKind Kind, long From, string Reason)
{
    /// <summary>How much earlier than the tombstones a source is taken to be too old.</summary>
    private static readonly TimeSpan Margin = TimeSpan.FromHours(1);

    /// <param name="local">The local folder, or null when it is new.</param>
    /// <param name="changelog">The changelog partition.</param>
    /// <param name="groupHasPositions">Whether the group has committed positions for the shard's sources.</param>
    /// <param name="now">The time, in milliseconds since 1970.</param>
    /// <param name="tombstoneRetention">How long the changelog keeps tombstones.</param>
    public static RestorePlan Decide(LocalState? local, ChangelogState changelog, bool groupHasPositions, long now, TimeSpan tombstoneRetention)
    {
        if (groupHasPositions && changelog.End == 0)
        {
            return new(RestoreKind.Refuse, 0, "the group has positions, but the changelog is empty: it was deleted and made anew");
        }

        string? useless = WhyUseless(local, changelog, now, tombstoneRetention);
        if (local is not null && useless is null)
        {
            return new(RestoreKind.Local, local.Position, $"local state at offset {local.Position}, {changelog.End - local.Position} offsets behind");
        }

        string because = useless is null ? "no local state" : $"the local state cannot be used: {useless}";
        return changelog.Start > 0
            ? new(RestoreKind.Refuse, 0, $"{because}, and the changelog begins at offset {changelog.Start}: what was before is lost")
            : new(RestoreKind.Everything, 0, because);
    }

    private static string? WhyUseless(LocalState? local, ChangelogState changelog, long now, TimeSpan tombstoneRetention)
    {
        if (local is null)
        {
            return null;
        }

        if (local.ChangelogId != changelog.Id)
        {
            return "the changelog topic was made anew since it was written";
        }

        if (local.Position > changelog.End)
        {
            return $"it is at offset {local.Position}, the changelog ends at {changelog.End}";
        }

        if (local.Position < changelog.Start)
        {
            return $"it is at offset {local.Position}, the changelog begins at {changelog.Start}";
        }

        bool hasTail = local.Position < changelog.End;
        return hasTail && now - local.BrokerTime >= (tombstoneRetention - Margin).TotalMilliseconds
            ? $"it is older than the changelog keeps tombstones ({tombstoneRetention.TotalDays:0.#} days): deleted keys would come back"
            : null;
    }
}
