using System.Collections.Frozen;

namespace KStreamSharp;

/// <summary>The topics of an application: its inputs and outputs as they are, and the internal ones, made where they are missing.</summary>
internal sealed class AppTopics
{
    private readonly string _app;
    private readonly Dataflow _flow;
    private readonly Dictionary<string, TopicDescription> _topics;

    private AppTopics(string app, Dataflow flow, Dictionary<string, TopicDescription> topics)
    {
        _app = app;
        _flow = flow;
        _topics = topics;
    }

    public int ShardCount => PartitionCount(InternalTopics.Shards(_app));

    public Guid ChangelogId => Id(InternalTopics.Changelog(_app));

    public int PartitionCount(string topic) => _topics[topic].Partitions;

    /// <summary>The id that a topic had at the start.</summary>
    public Guid Id(string topic) => _topics[topic].Id;

    /// <summary>What to do when a position is of no use, for an error.</summary>
    public string WayOn =>
        $"Stop every instance, then go on by the command '{ResetCommand(_flow, _app)} --keep-state --to earliest', which keeps the states and reads every input from its start (what was counted before is counted once more), or by '--to latest', which passes over what is there now.";

    /// <summary>The partitions that a shard reads: that of its number in every input that has it, and in every repartition topic.</summary>
    public IEnumerable<(Step Step, TopicPartition Partition)> Sources(Dataflow flow, string app, int shard) =>
        from step in flow.Steps
        where step.IsSource
        let topic = step.Topic ?? step.RepartitionTopic(app)
        where shard < PartitionCount(topic)
        select (step, new TopicPartition(topic, shard));

    /// <summary>Every partition of every input.</summary>
    public IEnumerable<TopicPartition> InputPartitions(Dataflow flow) =>
        from step in flow.Steps
        where step.Input is not null
        from partition in Enumerable.Range(0, PartitionCount(step.Topic!))
        select new TopicPartition(step.Topic!, partition);

    /// <summary>Looks at the topics and makes the internal ones that are missing.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="flow">The flow.</param>
    /// <param name="app">The application.</param>
    /// <param name="shardsWanted">How many shards it is to have, or null for as many as the inputs ask for.</param>
    /// <param name="now">The time, in milliseconds since 1970.</param>
    /// <exception cref="StreamException">A topic is missing or does not fit, or the application is another flow's.</exception>
    public static AppTopics Prepare(Broker broker, Dataflow flow, string app, int? shardsWanted, long now)
    {
        Dictionary<string, TopicDescription> topics = [];
        foreach (Step step in flow.Steps.Where(step => step.Topic is not null))
        {
            topics[step.Topic!] = broker.ExpectTopic(step.Topic!)
                ?? throw new StreamException(ExitCode.Broker, $"Topic '{step.Topic}' of {step.Operator} step '{step.Id}' does not exist. Create it first.");
        }

        int largest = flow.Steps.Where(step => step.Input is not null).Max(step => topics[step.Topic!].Partitions);
        TopicDescription? existing = broker.DescribeTopic(InternalTopics.Shards(app));
        if (broker.DescribeTopic(InternalTopics.Reset(app)) is not null)
        {
            throw new StreamException(
                ExitCode.State, $"A reset of application '{app}' was begun and is not finished: part of what the application keeps is gone. Finish it by the command reset, then start again.");
        }

        int shards = existing?.Partitions ?? shardsWanted ?? largest;
        if (existing is not null && shardsWanted is { } wanted && wanted != shards)
        {
            throw new StreamException(
                ExitCode.Usage, $"Application '{app}' has {shards} shards since its first start; option Shards says {wanted}. Leave the option out, start another application id, or bring this one back to its beginning (command reset).");
        }

        if (largest > shards)
        {
            string topic = flow.Steps.First(step => step.Input is not null && topics[step.Topic!].Partitions == largest).Topic!;
            throw new StreamException(
                ExitCode.Broker, $"Topic '{topic}' has {largest} partitions, application '{app}' has {shards} shards since its first start: some partitions would have no reader, and keys have moved. Start another application id, go back to the old partition count, or begin anew (command reset).");
        }

        CheckCopartitioning(flow, topics, shards);
        string shardsTopic = InternalTopics.Shards(app);
        topics[shardsTopic] = Ensure(broker, new TopicSpec(shardsTopic, shards, TopicCleanup.Compact));
        AppRecord record = Claim(broker, flow, app, now, new TopicSpec(InternalTopics.Changelog(app), shards, TopicCleanup.Compact));
        topics[InternalTopics.Changelog(app)] = Ensure(broker, new TopicSpec(InternalTopics.Changelog(app), shards, TopicCleanup.Compact));
        foreach (Step step in flow.Steps.Where(step => step.IsRepartition))
        {
            topics[step.RepartitionTopic(app)] = Ensure(broker, new TopicSpec(step.RepartitionTopic(app), shards, TopicCleanup.Keep));
        }

        AppTopics made = new(app, flow, topics);
        return made.ChangelogId == record.ChangelogId ? made : throw made.MadeAnew(InternalTopics.Changelog(app), isThere: true);
    }

    /// <summary>
    /// Brings the application's record up to what this start needs: it is this flow's, its changelog is the one that it had, and
    /// the repartition topics are its own. Those are claimed before they are made, and others' claims are looked at after that:
    /// of two applications that claim one name, at least one sees it.
    /// </summary>
    private static AppRecord Claim(Broker broker, Dataflow flow, string app, long now, TopicSpec changelog)
    {
        Dictionary<string, Step> steps = flow.Steps.Where(step => step.IsRepartition).ToDictionary(step => step.RepartitionTopic(app));
        string[] claimed = [];
        AppRecord record = AppRecord.Settle(broker, app, now, known =>
        {
            if (known is not null && known.Flow != flow.Id)
            {
                throw new StreamException(
                    ExitCode.Usage, $"Application '{app}' is of flow '{known.Flow}', not of flow '{flow.Id}': it would take over the positions and states of the other. Give this flow an application id of its own (AppId, --app-id), or bring the application back to its beginning first (command reset).");
            }

            Guid changelogId = known is null ? Ensure(broker, changelog).Id : ChangelogAsItWas(broker, flow, app, known);
            claimed = [.. steps.Keys.Where(topic => known?.Repartitions.Contains(topic) != true)];
            if (FirstOfAnother(broker, app, claimed) is { } taken)
            {
                throw Taken(taken.Topic, steps[taken.Topic], taken.Owner);
            }

            // An application of an earlier version has run without a record, and may have written them.
            bool hasRun = known is null && HasRecords(broker, changelog.Name);
            foreach (string topic in claimed.Where(_ => !hasRun))
            {
                CheckUnused(broker, app, steps[topic].Id, topic);
            }

            return known is not null && claimed.Length == 0 ? known : new AppRecord
            {
                Flow = flow.Id,
                ChangelogId = changelogId,
                Repartitions = claimed.Union(known?.Repartitions ?? FrozenSet<string>.Empty).ToFrozenSet(),
            };
        });
        // Once more, now that the claim can be seen: of two that claim one name at once, at least one sees the other's.
        if (FirstOfAnother(broker, app, claimed) is { } other)
        {
            AppRecord.Settle(broker, app, now, known => known! with { Repartitions = known.Repartitions.Except(claimed).ToFrozenSet() });
            throw Taken(other.Topic, steps[other.Topic], other.Owner);
        }

        return record;
    }

    private static (string Topic, string Owner)? FirstOfAnother(Broker broker, string app, string[] topics)
    {
        foreach (string topic in topics)
        {
            if (AppRecord.OwnerOf(broker, topic, app) is { } owner)
            {
                return (topic, owner);
            }
        }

        return null;
    }

    private static StreamException Taken(string topic, Step step, string owner) => new(
        ExitCode.Usage, $"Topic '{topic}' of step '{step.Id}' belongs to application '{owner}': the names of application and step join alike, and each application would read the other's items. Give the step or the application another id.");

    private static Guid ChangelogAsItWas(Broker broker, Dataflow flow, string app, AppRecord known)
    {
        string changelog = InternalTopics.Changelog(app);
        Guid? now = broker.TopicId(changelog) ?? broker.ExpectTopic(changelog)?.Id;
        return now == known.ChangelogId ? known.ChangelogId : throw ChangelogIsGone(flow, app, isThere: now is not null);
    }

    private static void CheckUnused(Broker broker, string app, string step, string topic)
    {
        if (AppRecord.OwnerOf(broker, topic, app) is null && HasRecords(broker, topic))
        {
            throw new StreamException(
                ExitCode.Usage, $"Topic '{topic}' of step '{step}' has records that application '{app}' has not written. Delete it if nothing of it is needed, or give the step or the application another id.");
        }
    }

    private static bool HasRecords(Broker broker, string topic) =>
        broker.DescribeTopic(topic) is { } found
        && Enumerable.Range(0, found.Partitions).Any(partition => broker.EndOffset(new(topic, partition), committedOnly: false) > 0);

    private static TopicDescription Ensure(Broker broker, TopicSpec wanted)
    {
        TopicDescription topic = broker.CreateTopic(wanted);
        if (topic.IsStampedByBroker && wanted.Cleanup == TopicCleanup.Keep)
        {
            throw new StreamException(
                ExitCode.Broker,
                $"Topic '{topic.Name}' has message.timestamp.type=LogAppendTime: items would lose the timestamps of their records. Set it by 'kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics --entity-name {topic.Name} --add-config message.timestamp.type=CreateTime', then start again.");
        }

        return topic.Partitions == wanted.Partitions && topic.Cleanup == wanted.Cleanup
            ? topic
            : throw new StreamException(
                ExitCode.Broker,
                $"Topic '{wanted.Name}' exists with {topic.Partitions} partitions and cleanup {topic.Cleanup}; the application needs {wanted.Partitions} and {wanted.Cleanup}. Start another application id, or delete the topic if nothing of it is needed.");
    }

    /// <summary>Every stateful step's upstreams must be partitioned alike, so that one shard sees all values of a key.</summary>
    private static void CheckCopartitioning(Dataflow flow, Dictionary<string, TopicDescription> topics, int shards)
    {
        foreach (Step step in flow.Steps.Where(step => step.State is not null))
        {
            (string Source, int Count, TopicPartitioner Partitioner)[] sources =
                [.. step.Sources.Select(source => (source.Topic ?? source.Id, source.IsRepartition ? shards : topics[source.Topic!].Partitions, source.Input?.Partitioner ?? TopicPartitioner.Murmur2))];
            if (sources.Select(source => source.Count).Distinct().Count() > 1)
            {
                throw new StreamException(
                    ExitCode.Broker,
                    $"The upstreams of step '{step.Id}' have different partition counts: {string.Join(", ", sources.Select(source => $"{source.Source} {source.Count}"))}. Put .Repartition(\"...\") before the step on the ones that differ.");
            }

            if (sources.Select(source => source.Partitioner).Distinct().Count() > 1)
            {
                throw new StreamException(
                    ExitCode.Usage,
                    $"The upstreams of step '{step.Id}' are spread over their partitions in different ways: {string.Join(", ", sources.Select(source => $"{source.Source} by {source.Partitioner}"))}. Put .Repartition(\"...\") before the step on the ones that are not spread by Murmur2.");
            }
        }
    }

    /// <summary>Looks whether the topics that are read, and those of the application, are still the ones that they were at the start.</summary>
    /// <exception cref="StreamException">One is not: keys have moved, partitions have no reader, or positions and states are another topic's.</exception>
    public void Look(Broker broker)
    {
        foreach (Step step in _flow.Steps.Where(step => step.Input is not null))
        {
            TopicDescription? now = broker.ExpectTopic(step.Topic!);
            if (now?.Partitions != PartitionCount(step.Topic!))
            {
                throw new StreamException(
                    ExitCode.Broker,
                    now is null
                        ? $"Topic '{step.Topic}' of input step '{step.Id}' has been deleted. Create it again, or take the step out of the flow."
                        : $"Topic '{step.Topic}' of input step '{step.Id}' had {PartitionCount(step.Topic!)} partitions when this instance started and has {now.Partitions} now: keys have moved, and their state has not. Start another application id, which reads the topic from its start.");
            }

            CheckSame(step.Topic!, now.Id, mayHaveBeenRead: true);
        }

        foreach (string topic in _flow.Steps.Where(step => step.IsRepartition).Select(step => step.RepartitionTopic(_app)).Append(InternalTopics.Shards(_app)).Append(InternalTopics.Changelog(_app)))
        {
            CheckSame(topic, broker.TopicId(topic) ?? broker.ExpectTopic(topic)?.Id ?? throw MadeAnew(topic, isThere: false), mayHaveBeenRead: true);
        }
    }

    /// <summary>Looks whether a topic is still the one that it was at the start. One that cannot be found now is another call's to report.</summary>
    /// <exception cref="StreamException">It was made anew.</exception>
    public void CheckSame(Broker broker, string topic)
    {
        if (broker.TopicId(topic) is { } now)
        {
            CheckSame(topic, now);
        }
    }

    /// <summary>As <see cref="CheckSame(Broker, string)"/>, with an id that is known from somewhere.</summary>
    public void CheckSame(string topic, Guid id, bool mayHaveBeenRead = false)
    {
        if (id != Id(topic))
        {
            throw MadeAnew(topic, isThere: true, mayHaveBeenRead);
        }
    }

    private StreamException MadeAnew(string topic, bool isThere, bool mayHaveBeenRead = false)
    {
        if (topic == InternalTopics.Changelog(_app))
        {
            return ChangelogIsGone(_flow, _app, isThere);
        }

        string happened = isThere ? "was deleted and made anew" : "was deleted";
        if (topic == InternalTopics.Shards(_app))
        {
            return new StreamException(ExitCode.Broker, $"Topic '{topic}', by whose partitions application '{_app}' shares out its work, {happened}. Stop every instance, then start them again.");
        }

        Step step = _flow.Steps.First(step => (step.Topic ?? (step.IsRepartition ? step.RepartitionTopic(_app) : null)) == topic && step.IsSource);
        string lost = step.IsRepartition ? "items that were on their way are gone, and positions in it are of no use" : "positions in it are of no use";
        string read = mayHaveBeenRead && isThere ? " Since the last check, at most a minute ago, records of the new topic may have been processed from the old position." : "";
        return new StreamException(ExitCode.Broker, $"Topic '{topic}' of step '{step.Id}' {happened}: {lost}.{read} {WayOn}");
    }

    private static StreamException ChangelogIsGone(Dataflow flow, string app, bool isThere) => new(
        ExitCode.State, $"The changelog '{InternalTopics.Changelog(app)}' of application '{app}' was deleted{(isThere ? " and made anew" : "")}: its states are gone, and local folders and snapshots belong to the old one. Stop every instance, then begin anew by the command '{ResetCommand(flow, app)}'.");

    private static string ResetCommand(Dataflow flow, string app) => $"reset {flow.Id}{(app == flow.Id ? "" : $" --app-id {app}")}";
}
