using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>Brokers as a host uses them beside the engine.</summary>
internal static class BrokerCalls
{
    /// <summary>The Kafka of the settings, else a broker embedded in the folder <c>broker</c> of the state folder.</summary>
    /// <exception cref="StreamException">A client setting or the folder cannot be used.</exception>
    public static Broker Open(HostOptions options, ILoggerFactory logging) =>
        options.Kafka is { } kafka ? new KafkaBroker(kafka, logging) : EmbeddedBroker.Open(Path.Combine(options.Stream.StateDir, "broker"));

    /// <exception cref="StreamException">There is no such topic, or the broker does not answer.</exception>
    public static TopicPartition[] Partitions(Broker broker, string topic)
    {
        TopicDescription found = Ask(() => broker.DescribeTopic(topic)) ?? throw new StreamException(ExitCode.Broker, $"Topic '{topic}' does not exist. Create it first.");
        return [.. Enumerable.Range(0, found.Partitions).Select(partition => new TopicPartition(topic, partition))];
    }

    /// <summary>A call whose failure is told to the user.</summary>
    public static T Ask<T>(Func<T> question)
    {
        try
        {
            return question();
        }
        catch (BrokerException error)
        {
            throw new StreamException(ExitCode.Broker, error.Message, error);
        }
    }

    /// <inheritdoc cref="Ask{T}"/>
    public static void Ask(Action call) => Ask(() =>
    {
        call();
        return true;
    });
}
