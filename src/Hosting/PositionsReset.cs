namespace KStreamSharp.Hosting;

/// <summary>
/// Moves the positions of an application and keeps its states: a takeover of every shard whose claim says other positions.
/// <list type="number">
/// <item>It joins the group, until every shard is its own: no instance can commit from then on.</item>
/// <item>The group's positions and the last commit marker of every shard are read, as takeover steps 1 to 3 do.</item>
/// <item>In one transaction: of every shard a marker with the new positions and the ids that the topics have now, the next owner epoch, the watermark as it was and
/// no run under way; the end of the last run; the positions. The token is taken before the ownership is looked at, as in
/// commit step 3.</item>
/// <item>It leaves the group.</item>
/// </list>
/// </summary>
/// <remarks>
/// A crash before the end of 3 changes nothing, one after it has changed everything: the next takeover finds group and
/// marker equal. Repartition topics keep their positions, unless they were
/// made anew or have lost what is there: what is in them comes from inputs that were read already.
/// </remarks>
internal sealed class PositionsReset(Broker broker, Dataflow flow, string app, StartAt to, Action<string>? reached = null) : ResetJob(broker, app, reached)
{
    private static readonly TimeSpan TransactionTimeout = new StreamOptions().TransactionTimeout;

    private readonly HashSet<int> _owned = [];
    private volatile bool _voided;

    public override IReadOnlyList<string> Look()
    {
        if (Exists(InternalTopics.Reset(App)))
        {
            throw new StreamException(ExitCode.State, $"A reset of application '{App}' was begun and is not finished: its states are gone. Finish it without --keep-state.");
        }

        if (!Exists(InternalTopics.Shards(App)) || !Exists(InternalTopics.Changelog(App)))
        {
            return [];
        }

        string end = to == StartAt.Latest ? "latest" : "earliest";
        return
        [
            .. flow.Steps.Where(step => step.Input is not null).Select(step => $"move the positions of group {App} in topic {step.Topic} to the {end} records"),
            $"keep the states, with a new commit marker of each shard in topic {InternalTopics.Changelog(App)}",
        ];
    }

    public override void Run(Action<string> tell)
    {
        CheckMembers();
        AppTopics topics = BrokerCalls.Ask(() => AppTopics.Prepare(Broker, flow, App, shardsWanted: null, TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()));

        // 1
        using GroupMember member = BrokerCalls.Ask(() => Broker.JoinGroup(new GroupOptions { Group = App, Topic = InternalTopics.Shards(App), InstanceId = null, Voided = _ => _voided = true }));
        try
        {
            BrokerCalls.Await(
                () =>
                {
                    Turn(member);
                    return _owned.Count == topics.ShardCount;
                },
                () => $"The group '{App}' gives only {_owned.Count} of {topics.ShardCount} shards: another member has joined. Stop its instances, then reset again.");
            Reach("keep.1");

            // 2
            (int Shard, CommitMarker Marker)[] markers = [.. Enumerable.Range(0, topics.ShardCount).Select(shard => (shard, NewMarker(topics, shard, member)))];
            Reach("keep.2");

            // 3
            Commit(markers, topics, member, tell);
            Reach("keep.3");
        }
        finally
        {
            // 4
            member.Leave();
        }
    }

    /// <summary>Keeps the membership alive, and sees whether it is the only one.</summary>
    private void Turn(GroupMember member)
    {
        while (BrokerCalls.Ask(member.Poll) is { } change)
        {
            if (change.Kind != GroupEventKind.Assigned)
            {
                throw Joined();
            }

            _owned.UnionWith(change.Partitions);
        }
    }

    private StreamException Joined() => new(ExitCode.Broker, $"An instance of application '{App}' has joined the group meanwhile. Nothing was changed. Stop its instances, then reset again.");

    private CommitMarker NewMarker(AppTopics topics, int shard, GroupMember member)
    {
        (Step Step, TopicPartition Partition)[] sources = [.. topics.Sources(flow, App, shard)];
        long?[] group = Positions([.. sources.Select(source => source.Partition)]);
        TopicPartition changelog = new(InternalTopics.Changelog(App), shard);
        CommitMarker? marker = LastCommit.Find(Broker, App, changelog, BrokerCalls.Ask(() => Broker.EndOffset(changelog, committedOnly: false)), "reset")?.Marker;
        if (marker is null && Array.Exists(group, position => position is not null))
        {
            throw new StreamException(
                ExitCode.State, $"Group '{App}' has positions for shard {shard}, but {changelog} has no commit marker: its states are gone, so they cannot be kept. Reset without --keep-state.");
        }

        Dictionary<TopicPartition, long> positions = new(marker?.Positions ?? new Dictionary<TopicPartition, long>());
        Dictionary<string, Guid> ids = new(marker?.TopicIds ?? new Dictionary<string, Guid>());
        foreach ((Step step, TopicPartition source) in sources)
        {
            Guid id = topics.Id(source.Topic);
            if (step.Input is not null)
            {
                positions[source] = BrokerCalls.Ask(() => to == StartAt.Latest ? Broker.EndOffset(source, committedOnly: true) : Broker.StartOffset(source));
            }
            else if (positions.TryGetValue(source, out long position))
            {
                // What the topic has lost, or had before it was made anew, is gone: on from what it has.
                long start = BrokerCalls.Ask(() => Broker.StartOffset(source));
                long end = BrokerCalls.Ask(() => Broker.EndOffset(source, committedOnly: false));
                positions[source] = ids.GetValueOrDefault(source.Topic, id) == id ? Math.Clamp(position, start, end) : start;
            }

            ids[source.Topic] = id;
        }

        Turn(member);
        return new CommitMarker
        {
            OwnerEpoch = (marker?.OwnerEpoch ?? 0) + 1,
            TransactionalId = TransactionalId,
            Positions = positions,
            TopicIds = ids,
            Watermark = marker?.Watermark ?? -1,
            Run = marker?.Run ?? new RunProgress(),
        };
    }

    /// <summary>The ids of workers have two slashes.</summary>
    private string TransactionalId => $"{App}/reset";

    private void Commit((int Shard, CommitMarker Marker)[] markers, AppTopics topics, GroupMember member, Action<string> tell)
    {
        List<KeyValuePair<TopicPartition, long>> sent = [];
        using TransactionalWriter writer = BrokerCalls.Ask(() => Broker.CreateWriter(TransactionalId, TransactionTimeout));
        BrokerCalls.Ask(writer.Initialize);
        BrokerCalls.Ask(writer.Begin);
        try
        {
            Write(writer, markers, topics, member, sent);
        }
        catch (StreamException)
        {
            Abort(writer);
            throw;
        }

        BrokerCalls.Ask(writer.Commit);
        foreach (IGrouping<string, KeyValuePair<TopicPartition, long>> topic in sent.Where(entry => flow.Steps.Any(step => step.Input is not null && step.Topic == entry.Key.Topic)).GroupBy(entry => entry.Key.Topic))
        {
            tell($"moved the positions of group {App} in topic {topic.Key} to {string.Join(", ", topic.OrderBy(entry => entry.Key.Partition).Select(entry => entry.Value))}");
        }
    }

    private void Write(TransactionalWriter writer, (int Shard, CommitMarker Marker)[] markers, AppTopics topics, GroupMember member, List<KeyValuePair<TopicPartition, long>> sent)
    {
        long now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        long run = markers.Max(entry => entry.Marker.Run.Run);
        foreach ((int shard, CommitMarker marker) in markers)
        {
            // A run that was under way has no meaning with other positions: it counts as done, so that ends of it that are still
            // on their way are passed over, and the next run is another one.
            byte[] data = (marker with { Run = new RunProgress { Run = run, Done = run > 0 } }).Write();
            BrokerCalls.Ask(() => ShardChanges.PutMarker(writer.Append, new(InternalTopics.Changelog(App), shard), data, now));
            if (run > 0)
            {
                BrokerCalls.Ask(() => RunLedger.AppendDone(writer.Append, App, shard, run, now));
            }

            sent.AddRange(topics.Sources(flow, App, shard).Where(source => marker.Positions.ContainsKey(source.Partition)).Select(source => KeyValuePair.Create(source.Partition, marker.Positions[source.Partition])));
        }

        Turn(member);
        GroupToken token = member.Token;
        if (!token.IsMember || _voided)
        {
            throw Joined();
        }

        BrokerCalls.Ask(() => writer.SendOffsets(App, sent, token));
    }

    /// <summary>What cannot be aborted now is aborted by its time-out, or by the next reset.</summary>
    private static void Abort(TransactionalWriter writer)
    {
        try
        {
            writer.Abort();
        }
        catch (BrokerException)
        {
        }
    }
}
