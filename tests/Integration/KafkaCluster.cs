using System.Diagnostics;
using System.Globalization;
using Docker.DotNet;
using Docker.DotNet.Models;
using DotNet.Testcontainers.Builders;
using DotNet.Testcontainers.Configurations;
using Testcontainers.Kafka;
using Xunit;

[assembly: AssemblyFixture(typeof(KStreamSharp.Tests.KafkaCluster))]

namespace KStreamSharp.Tests;

/// <summary>
/// The broker of a test run, one for all tests: the one that <c>KSTREAM_KAFKA</c> names, else a container where a Docker
/// engine answers. With neither, tests are skipped, or fail when <c>KSTREAM_REQUIRE_KAFKA</c> is 1.
/// </summary>
public sealed class KafkaCluster : IAsyncLifetime
{
    /// <summary>What every container of the tests carries: its value is the process that started it.</summary>
    internal const string Label = "kstreamsharp.integration";

    private KafkaContainer? _container;
    private string? _address;
    private string _why = "";

    /// <summary>The broker's address; skips or fails the test when there is none.</summary>
    public string Address
    {
        get
        {
            if (_address is null)
            {
                Assert.SkipWhen(Environment.GetEnvironmentVariable("KSTREAM_REQUIRE_KAFKA") != "1", _why);
                Assert.Fail(_why);
            }

            return _address;
        }
    }

    public async ValueTask InitializeAsync()
    {
        if (Environment.GetEnvironmentVariable("KSTREAM_KAFKA") is { Length: > 0 } given)
        {
            _address = given;
            return;
        }

        try
        {
            await RemoveLeftovers();
            _container = new KafkaBuilder("apache/kafka:4.3.1")
                .WithLabel(Label, Environment.ProcessId.ToString(CultureInfo.InvariantCulture))
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
        catch (Exception error) when (error is DockerUnavailableException or HttpRequestException)
        {
            _why = $"No Kafka: KSTREAM_KAFKA is not set and no Docker engine answers ({error.Message.Split('\n')[0]}). Set KSTREAM_KAFKA=host:port, or start Docker.";
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_container is not null)
        {
            await _container.DisposeAsync();
        }
    }

    /// <summary>Containers of runs that were ended before they could remove theirs.</summary>
    private static async Task RemoveLeftovers()
    {
        IDockerEndpointAuthenticationConfiguration? engine = TestcontainersSettings.OS.DockerEndpointAuthConfig;
        if (engine is null)
        {
            return;
        }

        using IDockerClient docker = engine.GetDockerClientBuilder(Guid.Empty).Build();
        IList<ContainerListResponse> ours = await docker.Containers.ListContainersAsync(
            new ContainersListParameters { All = true, Filters = new Dictionary<string, IDictionary<string, bool>> { ["label"] = new Dictionary<string, bool> { [Label] = true } } });
        HashSet<int> running = [.. Process.GetProcesses().Select(process => process.Id)];
        foreach (ContainerListResponse left in ours.Where(container => !int.TryParse(container.Labels[Label], CultureInfo.InvariantCulture, out int owner) || !running.Contains(owner)))
        {
            await docker.Containers.RemoveContainerAsync(left.ID, new ContainerRemoveParameters { Force = true, RemoveVolumes = true });
        }
    }
}
