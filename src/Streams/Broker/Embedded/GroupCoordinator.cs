namespace KStreamSharp;

/// <summary>
/// The groups of an embedded broker: members share out the partitions of a topic cooperatively. A partition that moves is
/// first given up by its owner (or taken from it when the budget is over), then given to the next. Used under the
/// broker's lock.
/// </summary>
internal sealed class GroupCoordinator(TimeProvider time)
{
    private readonly Dictionary<string, Group> _groups = [];
    private int _lastMember;

    /// <summary>The group of a name, made if there is none, or none any more.</summary>
    public Group Named(string name, int partitions)
    {
        if (!_groups.TryGetValue(name, out Group? group))
        {
            _groups[name] = group = new Group(name, partitions);
        }

        return group;
    }

    public int CountMembers(string name) => _groups.TryGetValue(name, out Group? group) ? group.Members.Count : 0;

    /// <exception cref="BrokerException">The group has members.</exception>
    public void Delete(string name)
    {
        if (CountMembers(name) is > 0 and int members)
        {
            throw new BrokerException(Consequence.Stop, $"Group '{name}' cannot be deleted: it has {members} members.");
        }

        _groups.Remove(name);
    }

    /// <exception cref="BrokerException">The token is not that of a member of the group's present generation.</exception>
    public void Check(string name, GroupToken token)
    {
        // As on Kafka: a commit without a member is not fenced.
        if (token.MemberId is null or "" && token.Generation < 0)
        {
            return;
        }

        Expire();
        if (!_groups.TryGetValue(name, out Group? group) || !group.Members.Exists(member => member.MemberId == token.MemberId))
        {
            throw new BrokerException(Consequence.LostMembership, $"Group '{name}' does not know member '{token.MemberId}'.");
        }

        if (token.Generation != group.Generation)
        {
            throw new BrokerException(Consequence.Abort, $"Group '{name}' is at generation {group.Generation}, the member at {token.Generation}.");
        }
    }

    /// <summary>Removes members that have not polled for their session time-out, and takes partitions whose budget is over.</summary>
    public void Expire()
    {
        foreach (Group group in _groups.Values)
        {
            bool taken = false;
            for (int i = group.Members.Count - 1; i >= 0; i--)
            {
                EmbeddedGroupMember member = group.Members[i];
                if (time.GetElapsedTime(member.PolledAt) >= member.Options.SessionTimeout)
                {
                    Remove(group, member);
                    taken = true;
                }
                else if (member.Revoking.Count > 0 && time.GetElapsedTime(member.RevokingSince) >= member.Options.RevocationBudget)
                {
                    Free(member, [.. member.Revoking]);
                    taken = true;
                }
            }

            if (taken)
            {
                Rebalance(group);
            }
        }
    }

    public void Enter(Group group, EmbeddedGroupMember member)
    {
        Expire();
        EmbeddedGroupMember? former = member.Options.InstanceId is { } instance ? group.Members.Find(other => other.Options.InstanceId == instance) : null;
        member.MemberId = $"{member.Options.InstanceId ?? "member"}-{++_lastMember}";
        member.PolledAt = time.GetTimestamp();
        if (former is null)
        {
            group.Members.Add(member);
            Rebalance(group);
            return;
        }

        // A static member that comes back has its partitions at once, without a rebalance; its former self is fenced.
        group.Members[group.Members.IndexOf(former)] = member;
        former.IsFenced = true;
        former.Options.Voided([.. former.Owned]);
        member.Owned.UnionWith(former.Owned.Except(former.Revoking));
        if (former.Revoking.Count > 0)
        {
            Rebalance(group);
        }
    }

    public void Poll(EmbeddedGroupMember member)
    {
        member.PolledAt = time.GetTimestamp();
        Expire();
    }

    public void Release(Group group, EmbeddedGroupMember member, IEnumerable<int> partitions)
    {
        int[] released = [.. partitions.Where(member.Revoking.Contains)];
        if (released.Length > 0)
        {
            member.Options.Voided(released);
            member.News.Release(released);
            Rebalance(group);
        }
    }

    public void Leave(Group group, EmbeddedGroupMember member)
    {
        if (group.Members.Contains(member))
        {
            Remove(group, member);
            Rebalance(group);
        }
    }

    private static void Free(EmbeddedGroupMember member, int[] partitions)
    {
        member.Options.Voided(partitions);
        member.News.Take(partitions);
    }

    private static void Remove(Group group, EmbeddedGroupMember member)
    {
        group.Members.Remove(member);
        member.IsRemoved = true;
        member.Options.Voided([.. member.Owned]);
    }

    /// <summary>Sticky and even: members keep what they have up to their share; who has more gives up the highest numbers.</summary>
    private void Rebalance(Group group)
    {
        group.Generation++;
        if (group.Members.Count == 0)
        {
            return;
        }

        int share = group.Partitions / group.Members.Count;
        int larger = group.Partitions % group.Members.Count;
        EmbeddedGroupMember[] members = [.. group.Members.OrderByDescending(member => member.Owned.Count).ThenBy(member => member.Options.InstanceId ?? member.MemberId, StringComparer.Ordinal)];
        Dictionary<EmbeddedGroupMember, int> quota = members.Select((member, rank) => (member, quota: share + (rank < larger ? 1 : 0))).ToDictionary(entry => entry.member, entry => entry.quota);
        foreach (EmbeddedGroupMember member in members)
        {
            int[] surplus = [.. member.Owned.Except(member.Revoking).OrderDescending().Take(member.Owned.Count - member.Revoking.Count - quota[member]).Order()];
            if (surplus.Length > 0)
            {
                if (member.Revoking.Count == 0)
                {
                    member.RevokingSince = time.GetTimestamp();
                }

                member.Revoking.UnionWith(surplus);
            }
        }

        Queue<int> free = new(Enumerable.Range(0, group.Partitions).Where(partition => !group.Members.Exists(member => member.Owned.Contains(partition))));
        foreach (EmbeddedGroupMember member in members)
        {
            while (free.Count > 0 && member.Owned.Count - member.Revoking.Count < quota[member])
            {
                member.Owned.Add(free.Dequeue());
            }
        }
    }

    /// <summary>A group and who is in it.</summary>
    internal sealed class Group(string name, int partitions)
    {
        public string Name { get; } = name;

        public int Partitions { get; } = partitions;

        public int Generation { get; set; }

        public List<EmbeddedGroupMember> Members { get; } = [];
    }
}

/// <summary>A member of a group of an embedded broker.</summary>
internal sealed class EmbeddedGroupMember(EmbeddedBroker broker, GroupCoordinator groups, GroupCoordinator.Group group, GroupOptions options) : GroupMember
{
    private int _knownGeneration = -1;
    private bool _isGone;

    public GroupOptions Options { get; } = options;

    public string MemberId { get; set; } = "";

    public long PolledAt { get; set; }

    public long RevokingSince { get; set; }

    public GroupNews News { get; } = new(options.Number);

    public HashSet<int> Owned => News.Owned;

    public HashSet<int> Revoking => News.Revoking;

    /// <summary>The session timed out, or the member has left.</summary>
    public bool IsRemoved { get; set; }

    /// <summary>Another member has taken its instance id.</summary>
    public bool IsFenced { get; set; }

    public override GroupToken Token
    {
        get
        {
            lock (broker.Gate)
            {
                return MemberId.Length == 0 || IsRemoved || IsFenced || _isGone ? new("", -1) : new(MemberId, _knownGeneration);
            }
        }
    }

    public override GroupEvent? Poll()
    {
        lock (broker.Gate)
        {
            if (IsFenced)
            {
                throw new BrokerException(
                    Consequence.Stop, $"Another member of group '{group.Name}' uses instance id '{Options.InstanceId}'. Give each instance an id of its own (InstanceId, --instance-id).");
            }

            if (_isGone)
            {
                return null;
            }

            if (IsRemoved)
            {
                return Lose();
            }

            if (MemberId.Length == 0)
            {
                // Since the member was made the group may have been deleted, and made anew by another one.
                group = groups.Named(Options.Group, broker.PartitionsOf(Options.Topic));
                groups.Enter(group, this);
            }

            groups.Poll(this);
            if (IsRemoved)
            {
                return Lose();
            }

            groups.Release(group, this, News.RevokingUntold);
            _knownGeneration = group.Generation;
            return News.Next();
        }
    }

    public override void Release(IReadOnlyList<int> partitions)
    {
        lock (broker.Gate)
        {
            if (!IsRemoved && !IsFenced && !_isGone)
            {
                groups.Release(group, this, partitions);
            }
        }
    }

    public override void Leave()
    {
        lock (broker.Gate)
        {
            _isGone = true;
            groups.Leave(group, this);
        }
    }

    public override void Dispose()
    {
        if (Options.InstanceId is null)
        {
            Leave();
        }

        _isGone = true;
    }

    private GroupEvent? Lose()
    {
        Options.Voided([.. Owned]);
        News.TakeAll();
        IsRemoved = false;
        MemberId = "";
        _knownGeneration = -1;
        return News.Next();
    }
}
