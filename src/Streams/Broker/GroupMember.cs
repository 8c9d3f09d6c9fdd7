namespace KStreamSharp;

/// <summary>
/// One member of a consumer group that shares out the partitions of one topic. Two-phase: after
/// <see cref="GroupEventKind.Revoking"/> the partitions stay this member's until <see cref="Release"/> or until the
/// budget is over, so that their work can be committed first.
/// </summary>
internal abstract class GroupMember : IDisposable
{
    /// <summary>
    /// One turn: keeps the membership alive and answers what happened, or null. Call it at least every third of the
    /// session time-out. Never blocks longer than a second.
    /// </summary>
    /// <exception cref="BrokerException">Stop: another live member uses the same instance id, or the group refuses this member.</exception>
    public abstract GroupEvent? Poll();

    /// <summary>Answers a <see cref="GroupEventKind.Revoking"/>: these partitions may go to another member now.</summary>
    public abstract void Release(IReadOnlyList<int> partitions);

    /// <summary>What a transaction sends along with its positions, so that the broker can refuse a member that is gone.</summary>
    public abstract GroupToken Token { get; }

    /// <summary>Leaves for good: the group shares out this member's partitions at once.</summary>
    public abstract void Leave();

    /// <summary>Closes without leaving: a static member's partitions wait for it until the session times out.</summary>
    public abstract void Dispose();
}

/// <summary>The kinds of <see cref="GroupEvent"/>.</summary>
internal enum GroupEventKind
{
    /// <summary>These partitions are this member's now.</summary>
    Assigned,

    /// <summary>These partitions are to be given up: commit, let go, then <see cref="GroupMember.Release"/>.</summary>
    Revoking,

    /// <summary>These partitions are gone already, and may have another owner: nothing of them may be committed.</summary>
    Lost,
}

/// <summary>A change in what a member owns.</summary>
internal sealed record GroupEvent(GroupEventKind Kind, IReadOnlyList<int> Partitions)
{
    /// <summary>For <see cref="GroupEventKind.Assigned"/>: the number of each partition, by <see cref="GroupOptions.Number"/>.</summary>
    public IReadOnlyList<long> Numbers { get; init; } = [];
}

/// <summary>
/// The identity of a member at one moment. The broker refuses a generation that is older than the group's; an empty
/// member or generation −1 would pass unchecked, which is why a commit refuses those itself (<see cref="IsMember"/>).
/// </summary>
internal readonly record struct GroupToken(string MemberId, int Generation)
{
    public bool IsMember => !string.IsNullOrEmpty(MemberId) && Generation >= 0;
}

/// <summary>How to join a group.</summary>
internal sealed class GroupOptions
{
    /// <summary>The group's id.</summary>
    public required string Group { get; init; }

    /// <summary>The topic whose partitions are shared out.</summary>
    public required string Topic { get; init; }

    /// <summary>The static id of this member, or null for a dynamic member.</summary>
    public required string? InstanceId { get; init; }

    /// <summary>A member that does not poll for this long is removed.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long <see cref="GroupEventKind.Revoking"/> waits for <see cref="GroupMember.Release"/>.</summary>
    public TimeSpan RevocationBudget { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Called with partitions that stop being this member's, before the group can learn of it: on release, when the
    /// budget is over, and when they are lost, also to another member of the same instance id. It may run on a thread of
    /// the client, and more than once for the same partitions.
    /// </summary>
    public required Action<IReadOnlyList<int>> Voided { get; init; }

    /// <summary>
    /// Gives a partition a number when it becomes this member's. Called under the same lock as <see cref="Voided"/>: one that is
    /// lost between the event and its handling must not get a number after it was voided.
    /// </summary>
    public Func<int, long> Number { get; init; } = static _ => 0;
}
