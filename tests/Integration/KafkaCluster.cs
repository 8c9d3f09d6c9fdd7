using System.Globalization;
using Testcontainers.Kafka;
using Xunit;

[assembly: AssemblyFixture(typeof(KStreamSharp.Tests.KafkaCluster))]

namespace KStreamSharp.Tests;

/// <summary>
/// The broker of a test run, one for all tests: the one that <c>KSTREAM_KAFKA</c> names, else a container where a Docker
/// engine answers. With neither, tests are left out, or fail when <c>KSTREAM_REQUIRE_KAFKA</c> is 1.
/// </summary>
public sealed class KafkaCluster : IAsyncLifetime, IServer
{
    private KafkaContainer? _container;
    private string? _address;
    private string? _why;

    /// <summary>Whether the environment names a broker.</summary>
    internal static bool IsGiven => Environment.GetEnvironmentVariable("KSTREAM_KAFKA") is { Length: > 0 };

    public static bool IsRequired => Environment.GetEnvironmentVariable("KSTREAM_REQUIRE_KAFKA") == "1";

    /// <summary>The broker's address; fails the test when there is none.</summary>
    public string Address => _address ?? throw new InvalidOperationException(_why);

    public static async Task<string?> WhyMissing() => !IsGiven && await DockerEngine.WhySilent() is { } why
        ? $"No Kafka: KSTREAM_KAFKA is not set, and no Docker engine answers{why}. Set KSTREAM_KAFKA=HOST:PORT, or start Docker."
        : null;

    public async ValueTask InitializeAsync()
    {
        _why = await WhyMissing();
        if (_why is not null)
        {
            return;
        }

        if (IsGiven)
        {
            _address = Environment.GetEnvironmentVariable("KSTREAM_KAFKA");
            return;
        }

        _container = new KafkaBuilder("apache/kafka:4.3.1")
            .WithLabel(DockerEngine.Label, Environment.ProcessId.ToString(CultureInfo.InvariantCulture))
            .WithEnvironment("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
            .WithEnvironment("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4")
            .WithEnvironment("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "4")
            .WithEnvironment("KAFKA_LOG_RETENTION_MS", "-1")
            .WithEnvironment("KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS", "6000")
            .WithEnvironment("KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS", "6000")
            .WithEnvironment("KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS", "1000")
            .WithEnvironment("KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS", "1000")
            .Build();
        await _container.StartAsync();
        _address = new Uri(_container.GetBootstrapAddress()).Authority;
    }

    public async ValueTask DisposeAsync()
    {
        if (_container is not null)
        {
            await _container.DisposeAsync();
        }
    }
}
