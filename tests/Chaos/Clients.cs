using Confluent.Kafka;

namespace KStreamSharp.Tests.Chaos;

/// <summary>Plain clients, as anybody would write them: nothing of the engine's is used to read what it wrote.</summary>
internal static class Clients
{
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
}
