namespace KStreamSharp.Hosting;

/// <summary>The topics that a flow reads and writes, made where they are missing. On the embedded broker that is always done: there is no one else to make them.</summary>
internal static class FlowTopics
{
    /// <summary>The partitions of the topics of a new application: enough that shards, workers and repartition can be seen.</summary>
    private const int PartitionsOfNew = 4;

    /// <exception cref="StreamException">The broker refuses or does not answer.</exception>
    public static void Make(Dataflow flow, Broker broker, StreamOptions options)
    {
        StepDescription[] steps = Steps(flow);
        Dictionary<string, int?> known = steps.Select(step => step.Topic!).Distinct().ToDictionary(topic => topic, topic => PartitionCount(broker, topic));
        int partitions = steps.Where(step => step.Operator == "input").Max(step => known[step.Topic!]) ?? options.Shards ?? PartitionsOfNew;
        foreach (string topic in known.Where(topic => topic.Value is null).Select(topic => topic.Key))
        {
            BrokerCalls.Ask(() => broker.CreateTopic(new TopicSpec(topic, partitions, TopicCleanup.Delete)));
        }
    }

    /// <summary>What a run works with, in a line: a wrong broker or folder is seen at once.</summary>
    /// <exception cref="StreamException">The broker refuses or does not answer.</exception>
    public static string StartLine(Dataflow flow, Broker broker, StreamOptions options)
    {
        StepDescription[] steps = Steps(flow);
        string app = options.AppId ?? flow.Id;
        int? shards = PartitionCount(broker, InternalTopics.Shards(app)) ?? options.Shards ?? steps.Where(step => step.Operator == "input").Max(step => PartitionCount(broker, step.Topic!));
        string outputs = string.Join(", ", steps.Where(step => step.Operator == "output").Select(step => step.Topic).Distinct());
        return $"{Name(broker)}, flow {flow.Id}{(app == flow.Id ? "" : $" as application {app}")}: "
            + $"{string.Join(", ", steps.Where(step => step.Operator == "input").Select(step => step.Topic).Distinct())} -> {(outputs.Length > 0 ? outputs : "no output")}, "
            + $"{(shards is { } count ? $"{count} shard{(count == 1 ? "" : "s")}" : "shards as the inputs have partitions")}, state in {Path.Combine(options.StateDir, app)}";
    }

    private static string Name(Broker broker) => broker switch
    {
        KafkaBroker kafka => $"Kafka {kafka.Settings.BootstrapServers}",
        EmbeddedBroker { Folder: { } folder } => $"Embedded broker in {folder}",
        _ => "Embedded broker in memory",
    };

    private static int? PartitionCount(Broker broker, string topic) => BrokerCalls.Ask(() => broker.DescribeTopic(topic))?.Partitions;

    private static StepDescription[] Steps(Dataflow flow) => [.. flow.Describe().Steps.Where(step => step.Operator is "input" or "output")];
}
