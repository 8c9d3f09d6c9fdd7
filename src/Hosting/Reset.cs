namespace KStreamSharp.Hosting;

/// <summary>
/// Brings an application back to its beginning, in numbered steps:
/// <list type="number">
/// <item>The topic <c>app-shards.reset</c> is made: no instance starts while it is there.</item>
/// <item>Repartition topics are deleted, also those of steps that the flow has no longer.</item>
/// <item>The changelog is deleted: every local folder and copy of the state is of another topic now.</item>
/// <item>Snapshots are deleted, if their store is named.</item>
/// <item>The group is deleted, with its positions.</item>
/// <item>The local state folder is deleted.</item>
/// <item>The topic of shards is deleted, with the runs and the application's record in it.</item>
/// <item>The topic of step 1 is deleted.</item>
/// </list>
/// </summary>
/// <remarks>
/// Each step does nothing where it has been done. So a reset that was cut off is finished by another one, and until then a
/// start is refused. Inputs and outputs are the user's: they stay.
/// </remarks>
internal sealed class Reset(Broker broker, Dataflow flow, string app, LocalFolder folder, ISnapshotStore? store = null, Action<string>? reached = null) : ResetJob(broker, app, reached)
{
    private string[] _repartitions = [];
    private IReadOnlyList<SnapshotObject> _snapshots = [];

    public override IReadOnlyList<string> Look()
    {
        _repartitions = [.. Repartitions().Order(StringComparer.Ordinal)];
        string[] topics = [.. _repartitions.Append(InternalTopics.Changelog(App)).Append(InternalTopics.Shards(App)).Where(Exists)];
        TopicPartition[] sources = [.. Sources()];
        int positions = Positions(sources).Count(position => position is not null);
        _snapshots = store is null ? [] : Ask("listed", stop => store.ListAsync($"{App}/", stop));
        bool unfinished = Exists(InternalTopics.Reset(App));
        return topics.Length == 0 && positions == 0 && _snapshots.Count == 0 && !folder.Exists && !unfinished
            ? []
            :
            [
                .. unfinished ? ["finish an earlier reset, which was cut off"] : Array.Empty<string>(),
                .. topics.Select(topic => $"delete topic {topic}"),
                .. _snapshots.Count > 0 ? [$"delete all snapshots of {App} ({_snapshots.Count} objects, {_snapshots.Sum(one => one.Bytes):N0} bytes)"] : Array.Empty<string>(),
                .. store is null && HasSnapshots() ? ["keep the snapshots, which are of no use any more: their store is not named (--snapshots)"] : Array.Empty<string>(),
                $"delete group {App}{(positions == 0 ? "" : $" with its positions in {positions} partitions")}",
                .. folder.Exists ? [$"delete folder {folder.Path}"] : Array.Empty<string>(),
                "keep inputs and outputs: the flow will read its inputs from their start (StartAt) and write its results once more",
            ];
    }

    public override void Run(Action<string> tell)
    {
        CheckMembers();

        // 1
        BrokerCalls.Ask(() => Broker.CreateTopic(new TopicSpec(InternalTopics.Reset(App), 1, TopicCleanup.Keep)));
        Reach("reset.1");
        CheckMembers();

        // 2
        foreach (string topic in _repartitions)
        {
            Delete(topic, tell);
        }

        Reach("reset.2");

        // 3
        Delete(InternalTopics.Changelog(App), tell);
        Reach("reset.3");

        // 4: after the changelog, so that none is missed that still could be restored from
        foreach (SnapshotObject one in _snapshots)
        {
            Ask("deleted", async stop =>
            {
                await store!.DeleteAsync(one.Name, stop).ConfigureAwait(false);
                return true;
            });
        }

        if (_snapshots.Count > 0)
        {
            tell($"deleted the snapshots of {App}");
        }

        Reach("reset.4");

        // 5
        BrokerCalls.Ask(() => Broker.DeleteGroup(App));
        tell($"deleted group {App}");
        Reach("reset.5");

        // 6
        if (folder.Exists)
        {
            folder.Delete();
            tell($"deleted folder {folder.Path}");
        }

        Reach("reset.6");

        // 7
        Delete(InternalTopics.Shards(App), tell);
        Reach("reset.7");

        // 8
        BrokerCalls.Ask(() => Broker.DeleteTopic(InternalTopics.Reset(App)));
        Reach("reset.8");
    }

    private void Delete(string topic, Action<string> tell)
    {
        if (Exists(topic))
        {
            BrokerCalls.Ask(() => Broker.DeleteTopic(topic));
            tell($"deleted topic {topic}");
        }
    }

    /// <summary>
    /// Those that the application's record claims; else, for an application of an earlier version, those of the flow and those that
    /// the last commits name. A step that comes back must not find its old items. A list of all topics would not tell those of
    /// application a, step b-c, from those of application a-b, step c.
    /// </summary>
    private HashSet<string> Repartitions()
    {
        if (Exists(InternalTopics.Shards(App)) && BrokerCalls.Ask(() => AppRecord.Find(Broker, App)) is { } record)
        {
            return OnlyOwn([.. record.Repartitions]);
        }

        HashSet<string> topics = [.. flow.Steps.Where(step => step.IsRepartition).Select(step => step.RepartitionTopic(App))];
        string changelog = InternalTopics.Changelog(App);
        int shards = BrokerCalls.Ask(() => Broker.DescribeTopic(changelog))?.Partitions ?? 0;
        for (int shard = 0; shard < shards; shard++)
        {
            TopicPartition partition = new(changelog, shard);
            CommitMarker? marker = LastCommit.Find(Broker, App, partition, BrokerCalls.Ask(() => Broker.EndOffset(partition, committedOnly: true)), "reset")?.Marker;
            topics.UnionWith((marker?.Positions.Keys ?? []).Select(source => source.Topic).Where(IsRepartition));
        }

        return OnlyOwn(topics);
    }

    /// <summary>Without those that another application claims, too: of two first starts at once, one that was killed may not have taken its claim back.</summary>
    private HashSet<string> OnlyOwn(HashSet<string> topics)
    {
        topics.RemoveWhere(topic => BrokerCalls.Ask(() => AppRecord.OwnerOf(Broker, topic, App)) is not null);
        return topics;
    }

    /// <summary>Whether a shard has published a snapshot.</summary>
    private bool HasSnapshots() => Exists(InternalTopics.Shards(App)) && new SnapshotCatalog(Broker, App).All().Count > 0;

    private static T Ask<T>(string what, Func<CancellationToken, Task<T>> question)
    {
        try
        {
            return question(CancellationToken.None).GetAwaiter().GetResult();
        }
        catch (IOException error)
        {
            throw new StreamException(ExitCode.State, $"Snapshots cannot be {what}: {error.Message.TrimEnd('.')}. Mend that, then reset again.", error);
        }
    }

    /// <summary>Whether a topic that the application has read is one that the engine made for it, and not a user's.</summary>
    private bool IsRepartition(string topic) =>
        topic.StartsWith($"{App}-", StringComparison.Ordinal)
        && InternalTopics.IsOfAStep(topic[(App.Length + 1)..])
        && !flow.Steps.Any(step => step.Topic == topic)
        && BrokerCalls.Ask(() => Broker.DescribeTopic(topic)) is { Cleanup: TopicCleanup.Keep };

    private IEnumerable<TopicPartition> Sources() =>
        from topic in flow.Steps.Where(step => step.Input is not null).Select(step => step.Topic!).Concat(_repartitions)
        let partitions = BrokerCalls.Ask(() => Broker.DescribeTopic(topic))?.Partitions ?? 0
        from partition in Enumerable.Range(0, partitions)
        select new TopicPartition(topic, partition);
}
