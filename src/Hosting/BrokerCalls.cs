using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>Brokers as a host uses them beside the engine.</summary>
internal static class BrokerCalls
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AwaitPatience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Turn = TimeSpan.FromMilliseconds(50);

    /// <summary>The Kafka of the settings, else a broker embedded in the folder <c>broker</c> of the state folder.</summary>
    /// <exception cref="StreamException">A client setting or the folder cannot be used.</exception>
    /// <exception cref="UsageException">A pod names no broker, and does not ask for one of its own.</exception>
    public static Broker Open(HostOptions options, ILoggerFactory logging) =>
        options is { Kafka: null, StatefulSet: { } set, IsEmbedded: false }
            ? throw new UsageException(
                $"This is a pod of StatefulSet '{set}', and no broker is named: it would run on an embedded broker of its own, healthy and idle. Set KStreamSharp:Kafka:BootstrapServers (in the chart config.Kafka.BootstrapServers), or, for a trial inside the pod, KStreamSharp:Broker=embedded (embedded=true).")
        : options.Kafka is not { } kafka ? EmbeddedBroker.Open(EmbeddedFolder(options))
        : options.BrokerWait is { } wait ? new KafkaBroker(kafka, logging) { Patience = wait }
        : new KafkaBroker(kafka, logging);

    /// <summary>As <see cref="Open"/>, but makes no broker where there is none.</summary>
    /// <exception cref="StreamException">There is no folder of an embedded broker; a client setting or the folder cannot be used.</exception>
    public static Broker OpenExisting(HostOptions options, ILoggerFactory logging) => options.Kafka is not null || HasEmbedded(options)
        ? Open(options, logging)
        : throw new StreamException(
            ExitCode.State, $"There is no broker in {Path.GetFullPath(options.Stream.StateDir)}. Name the folder of the embedded broker by --state-dir, or the cluster by --kafka.");

    /// <summary>Waits for the broker's first answer, so that what follows finds it there.</summary>
    /// <exception cref="OperationCanceledException">The end was asked for before it answered.</exception>
    /// <exception cref="StreamException">It does not answer in time, or refuses.</exception>
    public static async Task AwaitAnswerAsync(Broker broker, Dataflow flow, CancellationToken stop)
    {
        // A question cannot be taken back: its thread goes on until the client gives up.
        string topic = flow.Describe().Steps.First(step => step.Operator == "input").Topic!;
        await Task.Run(() => Ask(() => broker.TopicId(topic)), CancellationToken.None).WaitAsync(stop);
    }

    /// <summary>Waits until something is so on the broker.</summary>
    /// <exception cref="StreamException">It was not so in time; with the message of <paramref name="otherwise"/>.</exception>
    public static void Await(Func<bool> condition, Func<string> otherwise)
    {
        for (long began = TimeProvider.System.GetTimestamp(); !condition();)
        {
            if (TimeProvider.System.GetElapsedTime(began) > AwaitPatience)
            {
                throw new StreamException(ExitCode.Broker, otherwise());
            }

            Thread.Sleep(Turn);
        }
    }

    /// <summary>Whether there is an embedded broker in the state folder.</summary>
    public static bool HasEmbedded(HostOptions options) => Directory.Exists(EmbeddedFolder(options));

    /// <summary>The folder of the embedded broker.</summary>
    public static string EmbeddedFolder(HostOptions options) => Path.Combine(options.Stream.StateDir, "broker");

    /// <exception cref="StreamException">There is no such topic, or the broker does not answer.</exception>
    public static TopicPartition[] Partitions(Broker broker, string topic) =>
        [.. Enumerable.Range(0, PartitionCount(broker, topic, "Create it first.")).Select(partition => new TopicPartition(topic, partition))];

    /// <inheritdoc cref="FlowBroker.RequireTopic"/>
    public static int PartitionCount(Broker broker, string topic, string fix) =>
        Ask(() => broker.ExpectTopic(topic))?.Partitions ?? throw new StreamException(ExitCode.Broker, $"Topic '{topic}' does not exist. {fix}");

    /// <summary>
    /// A call whose failure is told to the user. A moment of the broker's is waited out: just after a topic was made, or while
    /// a leader moves, it refuses what it grants a little later.
    /// </summary>
    public static T Ask<T>(Func<T> question)
    {
        long began = TimeProvider.System.GetTimestamp();
        while (true)
        {
            try
            {
                return question();
            }
            catch (BrokerException error) when (error.Consequence == Consequence.Retry && TimeProvider.System.GetElapsedTime(began) < Patience)
            {
                Thread.Sleep(Turn);
            }
            catch (BrokerException error)
            {
                throw new StreamException(ExitCode.Broker, error.Message, error);
            }
        }
    }

    /// <inheritdoc cref="Ask{T}"/>
    public static void Ask(Action call) => Ask(() =>
    {
        call();
        return true;
    });
}
