namespace KStreamSharp.Testing;

/// <summary>
/// The broker as one instance sees it. What a client learns of its group, it cannot learn while the process stands still: the
/// instance knows of what it has lost, and has another token, when its membership makes its next turn.
/// </summary>
/// <param name="broker">The broker itself.</param>
/// <param name="whenMembershipTurns">Does something now, or when the membership turns again.</param>
/// <param name="seen">Told what the group does to this member: "revocation over budget" or "membership lost".</param>
/// <param name="restores">Told where a reader begins to read a partition.</param>
/// <param name="fault">Called before a call that may fail, with its name and the partition; of a call for a whole topic, partition −1.</param>
internal sealed class MemberBroker(
    Broker broker,
    Action<Action> whenMembershipTurns,
    Action<string> seen,
    Action<TopicPartition, long> restores,
    Action<string, TopicPartition> fault) : PassingBroker(broker)
{
    internal override GroupMember JoinGroup(GroupOptions options) => new Member(
        base.JoinGroup(new GroupOptions
        {
            Group = options.Group,
            Topic = options.Topic,
            InstanceId = options.InstanceId,
            SessionTimeout = options.SessionTimeout,
            RevocationBudget = options.RevocationBudget,
            Voided = partitions => whenMembershipTurns(() => options.Voided(partitions)),
            Number = options.Number,
        }),
        seen);

    internal override TopicDescription? DescribeTopic(string topic)
    {
        fault(nameof(DescribeTopic), new(topic, -1));
        return base.DescribeTopic(topic);
    }

    internal override TopicDescription CreateTopic(TopicSpec topic)
    {
        fault(nameof(CreateTopic), new(topic.Name, -1));
        return base.CreateTopic(topic);
    }

    internal override void DeleteRecords(TopicPartition partition, long beforeOffset)
    {
        fault(nameof(DeleteRecords), partition);
        base.DeleteRecords(partition, beforeOffset);
    }

    internal override long StartOffset(TopicPartition partition)
    {
        fault(nameof(StartOffset), partition);
        return base.StartOffset(partition);
    }

    internal override long EndOffset(TopicPartition partition, bool committedOnly)
    {
        fault(nameof(EndOffset), partition);
        return base.EndOffset(partition, committedOnly);
    }

    internal override bool TryGetCommittedOffsets(string group, IReadOnlyList<TopicPartition> partitions, out long?[] offsets)
    {
        fault(nameof(TryGetCommittedOffsets), partitions[0]);
        return base.TryGetCommittedOffsets(group, partitions, out offsets);
    }

    internal override Reader CreateReader(bool readCommitted, bool hurries = false) =>
        new SeenReader(base.CreateReader(readCommitted, hurries), restores, fault);

    /// <summary>
    /// The token is the one of the last poll. The embedded broker's member knows at once that it was removed; a client learns
    /// it from its broker, later.
    /// </summary>
    private sealed class Member(GroupMember member, Action<string> seen) : GroupMember
    {
        private readonly HashSet<int> _revoking = [];
        private GroupToken _token;

        public override GroupToken Token => _token;

        public override GroupEvent? Poll()
        {
            GroupEvent? change = member.Poll();
            _token = member.Token;
            if (change?.Kind == GroupEventKind.Revoking)
            {
                _revoking.UnionWith(change.Partitions);
            }
            else if (change?.Kind == GroupEventKind.Lost)
            {
                seen(change.Partitions.All(_revoking.Contains) ? "revocation over budget" : "membership lost");
                _revoking.ExceptWith(change.Partitions);
            }

            return change;
        }

        public override void Release(IReadOnlyList<int> partitions)
        {
            _revoking.ExceptWith(partitions);
            member.Release(partitions);
        }

        public override void Leave()
        {
            member.Leave();
            _token = member.Token;
        }

        public override void Dispose() => member.Dispose();
    }

    private sealed class SeenReader(Reader reader, Action<TopicPartition, long> begins, Action<string, TopicPartition> fault) : Reader
    {
        private readonly HashSet<TopicPartition> _unread = [];

        public override void Assign(TopicPartition partition, long offset)
        {
            _unread.Add(partition);
            reader.Assign(partition, offset);
        }

        public override void Unassign(TopicPartition partition) => reader.Unassign(partition);

        public override RecordBatch? Read(TopicPartition partition, int max)
        {
            if (_unread.Remove(partition))
            {
                begins(partition, reader.Position(partition));
            }

            fault(nameof(Read), partition);
            return reader.Read(partition, max);
        }

        public override long Position(TopicPartition partition) => reader.Position(partition);

        public override bool AtEnd(TopicPartition partition) => reader.AtEnd(partition);

        public override void Wait(TimeSpan atMost) => reader.Wait(atMost);

        public override void Wake() => reader.Wake();

        public override void Dispose() => reader.Dispose();
    }
}
