namespace KStreamSharp;

/// <summary>
/// Which shards this instance owns: passes the group's decisions on to the shard table, and the table's answers back. A
/// member of the group from the first turn on.
/// </summary>
internal sealed class Membership(EngineParts parts) : IDisposable
{
    private static readonly TimeSpan NothingComesMax = TimeSpan.FromSeconds(30);

    private readonly TimeSpan _nothingComes = 2 * parts.Options.RevocationBudget < NothingComesMax ? 2 * parts.Options.RevocationBudget : NothingComesMax;
    private readonly HashSet<int> _revoking = [];
    private GroupMember? _member;
    private bool _hasBeenAssigned;
    private long _withoutSince;

    /// <summary>What a commit sends along. Empty before the group has answered.</summary>
    public GroupToken Token => _member?.Token ?? default;

    /// <summary>
    /// Whether the group has given this instance anything yet. Transactions begin after it: an instance whose id is taken
    /// must not fence the healthy one.
    /// </summary>
    public bool HasBeenAssigned => Volatile.Read(ref _hasBeenAssigned);

    /// <summary>Whether the group counts this instance as a member, and has given it its share.</summary>
    public bool IsMember => Token.IsMember && (HasBeenAssigned || HasNothing);

    /// <summary>
    /// A group tells nobody that its share is nothing: it is when the others, whose shards might be meant for this instance,
    /// have had time to let go of them and to join again.
    /// </summary>
    private bool HasNothing => Volatile.Read(ref _withoutSince) is > 0 and long since && parts.Time.GetElapsedTime(since) > _nothingComes;

    /// <summary>The number of turns so far: a worker that lost its membership waits for the next one.</summary>
    public long Turns { get; private set; }

    /// <summary>One bounded turn; true when something happened.</summary>
    public bool Step()
    {
        _member ??= parts.Broker.JoinGroup(new GroupOptions
        {
            Group = parts.App,
            Topic = InternalTopics.Shards(parts.App),
            InstanceId = parts.InstanceId,
            SessionTimeout = parts.Options.SessionTimeout,
            RevocationBudget = parts.Options.RevocationBudget,
            Voided = parts.Ownership.Void,
            Number = parts.Ownership.Take,
        });

        GroupEvent? change = _member.Poll();
        switch (change?.Kind)
        {
            case GroupEventKind.Assigned:
                Log.Assigned(parts.Logger, string.Join(", ", change.Partitions));
                Interlocked.Add(ref parts.Counters.ShardsAssigned, change.Partitions.Count);
                foreach ((int shard, long number) in change.Partitions.Zip(change.Numbers))
                {
                    _revoking.Remove(shard);
                    parts.Table.Assign(shard, number);
                }

                Volatile.Write(ref _hasBeenAssigned, true);

                break;

            case GroupEventKind.Revoking:
                Log.Revoking(parts.Logger, string.Join(", ", change.Partitions));
                Interlocked.Add(ref parts.Counters.ShardsRevoked, change.Partitions.Count);
                foreach (int shard in change.Partitions)
                {
                    _revoking.Add(shard);
                    parts.Table.GiveUp(shard, lost: false);
                }

                break;

            case GroupEventKind.Lost:
                Log.Lost(parts.Logger, string.Join(", ", change.Partitions));
                Interlocked.Add(ref parts.Counters.ShardsLost, change.Partitions.Count);
                parts.Ownership.Void(change.Partitions);
                foreach (int shard in change.Partitions)
                {
                    _revoking.Remove(shard);
                    parts.Table.GiveUp(shard, lost: true);
                }

                break;
        }

        if (!HasBeenAssigned)
        {
            Volatile.Write(ref _withoutSince, !Token.IsMember ? 0 : _withoutSince == 0 ? parts.Time.GetTimestamp() : _withoutSince);
        }

        IReadOnlyList<int> closed = parts.Table.TakeClosed();
        if (closed.Count > 0)
        {
            int[] released = [.. closed.Where(_revoking.Remove)];
            if (released.Length > 0)
            {
                parts.Ownership.Void(released);
                _member.Release(released);
            }
        }

        Turns++;
        return change is not null || closed.Count > 0;
    }

    /// <summary>Leaves the group for good; the shards must be closed before.</summary>
    public void Leave() => _member?.Leave();

    public void Dispose() => _member?.Dispose();
}
