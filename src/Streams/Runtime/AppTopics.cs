namespace KStreamSharp;

/// <summary>The topics of an application: its inputs and outputs as they are, and the internal ones, made where they are missing.</summary>
internal sealed class AppTopics
{
    private readonly Dictionary<string, int> _partitions;

    private AppTopics(int shardCount, Guid changelogId, Dictionary<string, int> partitions)
    {
        ShardCount = shardCount;
        ChangelogId = changelogId;
        _partitions = partitions;
    }

    public int ShardCount { get; }

    public Guid ChangelogId { get; }

    public int PartitionCount(string topic) => _partitions[topic];

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
    /// <exception cref="StreamException">A topic is missing or does not fit.</exception>
    public static AppTopics Prepare(Broker broker, Dataflow flow, string app, int? shardsWanted)
    {
        Dictionary<string, int> partitions = [];
        foreach (Step step in flow.Steps.Where(step => step.Topic is not null))
        {
            TopicDescription topic = broker.ExpectTopic(step.Topic!)
                ?? throw new StreamException(ExitCode.Broker, $"Topic '{step.Topic}' of {step.Operator} step '{step.Id}' does not exist. Create it first.");
            partitions[topic.Name] = topic.Partitions;
        }

        int largest = flow.Steps.Where(step => step.Input is not null).Max(step => partitions[step.Topic!]);
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
            string topic = flow.Steps.First(step => step.Input is not null && partitions[step.Topic!] == largest).Topic!;
            throw new StreamException(
                ExitCode.Broker, $"Topic '{topic}' has {largest} partitions, application '{app}' has {shards} shards since its first start: some partitions would have no reader, and keys have moved. Start another application id, go back to the old partition count, or begin anew (command reset).");
        }

        CheckCopartitioning(flow, partitions, shards);
        Ensure(broker, new TopicSpec(InternalTopics.Shards(app), shards, TopicCleanup.Compact));
        TopicDescription changelog = Ensure(broker, new TopicSpec(InternalTopics.Changelog(app), shards, TopicCleanup.Compact));
        foreach (Step step in flow.Steps.Where(step => step.IsRepartition))
        {
            partitions[step.RepartitionTopic(app)] = Ensure(broker, new TopicSpec(step.RepartitionTopic(app), shards, TopicCleanup.Keep)).Partitions;
        }

        return new AppTopics(shards, changelog.Id, partitions);
    }

    private static TopicDescription Ensure(Broker broker, TopicSpec wanted)
    {
        TopicDescription topic = broker.CreateTopic(wanted);
        return topic.Partitions == wanted.Partitions && topic.Cleanup == wanted.Cleanup
            ? topic
            : throw new StreamException(
                ExitCode.Broker,
                $"Topic '{wanted.Name}' exists with {topic.Partitions} partitions and cleanup {topic.Cleanup}; the application needs {wanted.Partitions} and {wanted.Cleanup}. Start another application id, or delete the topic if nothing of it is needed.");
    }

    /// <summary>Every stateful step's upstreams must be partitioned alike, so that one shard sees all values of a key.</summary>
    private static void CheckCopartitioning(Dataflow flow, Dictionary<string, int> partitions, int shards)
    {
        foreach (Step step in flow.Steps.Where(step => step.State is not null))
        {
            (string Source, int Count, TopicPartitioner Partitioner)[] sources =
                [.. step.Sources.Select(source => (source.Topic ?? source.Id, source.IsRepartition ? shards : partitions[source.Topic!], source.Input?.Partitioner ?? TopicPartitioner.Murmur2))];
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

    /// <summary>Looks whether the inputs still have the partitions that they had at the start.</summary>
    /// <exception cref="StreamException">One has not: keys have moved, or partitions have no reader.</exception>
    public void Look(Broker broker, Dataflow flow)
    {
        foreach (Step step in flow.Steps.Where(step => step.Input is not null))
        {
            int? now = broker.ExpectTopic(step.Topic!)?.Partitions;
            if (now != PartitionCount(step.Topic!))
            {
                throw new StreamException(
                    ExitCode.Broker,
                    now is null
                        ? $"Topic '{step.Topic}' of input step '{step.Id}' has been deleted. Create it again, or take the step out of the flow."
                        : $"Topic '{step.Topic}' of input step '{step.Id}' had {PartitionCount(step.Topic!)} partitions when this instance started and has {now} now: keys have moved, and their state has not. Start another application id, which reads the topic from its start.");
            }
        }
    }
}
