namespace KStreamSharp;

/// <summary>
/// What a member of a group is told: always the difference between what is true now and what it was told last. A queue of
/// events would do harm: an assignment that is taken back before it was told would still be told, and run.
/// </summary>
/// <remarks>Used under the member's lock.</remarks>
/// <param name="number">Gives a partition its number when its assignment is told.</param>
internal sealed class GroupNews(Func<int, long> number)
{
    private readonly HashSet<int> _told = [];
    private readonly HashSet<int> _toldToRevoke = [];
    private readonly HashSet<int> _taken = [];

    /// <summary>What the group counts as the member's; the member itself may not have heard of it.</summary>
    public HashSet<int> Owned { get; } = [];

    /// <summary>Which of it is to be given up.</summary>
    public HashSet<int> Revoking { get; } = [];

    /// <summary>What is to be given up and was never told: nothing can be running there, so it can go at once.</summary>
    public int[] RevokingUntold => [.. Revoking.Except(_told).Order()];

    /// <summary>The member has given partitions up, as it was asked to.</summary>
    public void Release(IEnumerable<int> partitions)
    {
        _told.ExceptWith(partitions);
        Remove(partitions);
    }

    /// <summary>The group has taken partitions away; what was told of them is told back as lost.</summary>
    public void Take(IEnumerable<int> partitions)
    {
        _taken.UnionWith(partitions.Where(_told.Remove));
        Remove(partitions);
    }

    /// <summary>The group has given the member up.</summary>
    public void TakeAll()
    {
        _taken.UnionWith(_told);
        _told.Clear();
        _toldToRevoke.Clear();
        Owned.Clear();
        Revoking.Clear();
    }

    /// <summary>What to tell next, losses first; null when the member knows all.</summary>
    public GroupEvent? Next()
    {
        if (_taken.Count > 0)
        {
            int[] lost = [.. _taken.Order()];
            _taken.Clear();
            return new(GroupEventKind.Lost, lost);
        }

        int[] revoking = [.. Revoking.Where(_told.Contains).Except(_toldToRevoke).Order()];
        if (revoking.Length > 0)
        {
            _toldToRevoke.UnionWith(revoking);
            return new(GroupEventKind.Revoking, revoking);
        }

        int[] assigned = [.. Owned.Except(Revoking).Except(_told).Order()];
        _told.UnionWith(assigned);
        return assigned.Length > 0 ? new(GroupEventKind.Assigned, assigned) { Numbers = [.. assigned.Select(number)] } : null;
    }

    private void Remove(IEnumerable<int> partitions)
    {
        _toldToRevoke.ExceptWith(partitions);
        Owned.ExceptWith(partitions);
        Revoking.ExceptWith(partitions);
    }
}
