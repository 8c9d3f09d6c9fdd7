namespace KStreamSharp.Hosting;

/// <summary>On the embedded broker the topics of a flow are made where they are missing: there is no one else to make them.</summary>
internal static class EmbeddedTopics
{
    /// <summary>The partitions of the topics of a new application: enough that shards, workers and repartition can be seen.</summary>
    private const int PartitionsOfNew = 4;

    public static void Make(Dataflow flow, EmbeddedBroker broker, StreamOptions options)
    {
        StepDescription[] steps = [.. flow.Describe().Steps.Where(step => step.Operator is "input" or "output")];
        int partitions = steps.Where(step => step.Operator == "input").Max(step => broker.PartitionCount(step.Topic!)) ?? options.Shards ?? PartitionsOfNew;
        foreach (StepDescription step in steps)
        {
            broker.CreateTopic(step.Topic!, partitions);
        }
    }
}
