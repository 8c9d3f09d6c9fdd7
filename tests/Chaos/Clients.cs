using Confluent.Kafka;
using Confluent.Kafka.Admin;

namespace KStreamSharp.Tests.Chaos;

/// <summary>Plain clients, as anybody would write them: nothing of the engine's is used to read what it wrote.</summary>
internal static class Clients
{
    private const int Attempts = 20;

    public static ConsumerConfig Consumer(string address, IsolationLevel isolation, string group = "kstream-chaos") => new()
    {
        BootstrapServers = address,
        GroupId = group,
        IsolationLevel = isolation,
        EnableAutoCommit = false,
        EnableAutoOffsetStore = false,
        AutoOffsetReset = AutoOffsetReset.Earliest,
        EnablePartitionEof = true,
        AllowAutoCreateTopics = false,
    };

    public static IAdminClient Admin(string address) =>
        new AdminClientBuilder(new AdminClientConfig { BootstrapServers = address }).SetErrorHandler((_, _) => { }).SetLogHandler((_, _) => { }).Build();

    /// <summary>Creates a topic.</summary>
    public static Task CreateAsync(IAdminClient admin, TopicSpecification topic, CancellationToken stop) => AskAsync(
        async () =>
        {
            try
            {
                await admin.CreateTopicsAsync([topic]);
            }
            catch (CreateTopicsException error) when (error.Results[0].Error.Code == ErrorCode.TopicAlreadyExists)
            {
                // By an attempt whose answer was lost: names are a run's own.
            }

            return topic.Name;
        },
        stop);

    /// <summary>Brokers that have just started drop connections on which a client waits: it is asked again.</summary>
    public static async Task<T> AskAsync<T>(Func<Task<T>> question, CancellationToken stop)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await question();
            }
            catch (KafkaException error) when (error.Error.IsLocalError && attempt < Attempts)
            {
                await Task.Delay(500, stop);
            }
        }
    }
}
