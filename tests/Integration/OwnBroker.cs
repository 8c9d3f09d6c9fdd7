using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Docker.DotNet;
using Docker.DotNet.Models;
using DotNet.Testcontainers.Builders;
using DotNet.Testcontainers.Configurations;
using DotNet.Testcontainers.Containers;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A broker of one node in a container of its own, with settings of its own, which can be killed and started again.</summary>
internal sealed class OwnBroker : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(90);

    private const string Kafka = "java -Xmx512m -Dlog4j2.configurationFile=/etc/kafka/docker/broker-log.xml -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties";

    /// <summary>
    /// As the image starts; a container that is started again has its folder formatted already. Its controller starts alone
    /// then, until it has taken the leadership of all partitions away: a broker that finds itself still their leader drops the
    /// end of each transaction that was being committed when it was killed, and leaves it open for ever (KAFKA-20734).
    /// </summary>
    private const string Command =
        $"""
        [ -e /tmp/own/meta.properties ] || exec /etc/kafka/docker/run
        {Kafka} --override process.roles=controller --override listeners=CONTROLLER://localhost:9093 --override advertised.listeners=CONTROLLER://localhost:9093 >/tmp/controller.log 2>&1 &
        until grep -q 'Fencing broker 1' /tmp/controller.log; do sleep 0.1; done
        kill $!
        wait $!
        exec {Kafka}
        """;

    private readonly IContainer _container;

    private OwnBroker(IContainer container, string address)
    {
        _container = container;
        Address = address;
    }

    /// <summary>The same after a restart: the port is bound by number, since the broker tells it to its clients.</summary>
    public string Address { get; }

    /// <summary>Starts the container.</summary>
    public static Task<OwnBroker> Start(string listenerSecurity, params (string Name, string Value)[] settings) => Start(listenerSecurity, toldPort: null, [], settings);

    /// <summary>Starts the container.</summary>
    /// <param name="listenerSecurity">The protocol of the clients' listener.</param>
    /// <param name="toldPort">The port that clients are told, of whatever stands before the broker; null for its own.</param>
    /// <param name="files">Files that are put into the container.</param>
    /// <param name="settings">Settings of the broker, as the image takes them.</param>
    public static async Task<OwnBroker> Start(string listenerSecurity, int? toldPort, (string Path, byte[] Content)[] files, params (string Name, string Value)[] settings)
    {
        int port = FreePort();
        ContainerBuilder builder = new ContainerBuilder("apache/kafka:4.3.1")
            .WithLabel(DockerEngine.Label, Environment.ProcessId.ToString(CultureInfo.InvariantCulture))
            .WithCommand("/bin/sh", "-c", Command)
            .WithPortBinding(port, port)
            .WithEnvironment("KAFKA_LOG_DIRS", "/tmp/own")
            .WithEnvironment("KAFKA_NODE_ID", "1")
            .WithEnvironment("KAFKA_PROCESS_ROLES", "broker,controller")
            .WithEnvironment("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093")
            .WithEnvironment("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
            .WithEnvironment("KAFKA_LISTENERS", $"CLIENTS://0.0.0.0:{port},BROKER://localhost:9092,CONTROLLER://localhost:9093")
            .WithEnvironment("KAFKA_ADVERTISED_LISTENERS", $"CLIENTS://127.0.0.1:{toldPort ?? port},BROKER://localhost:9092")
            .WithEnvironment("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", $"CLIENTS:{listenerSecurity},BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT")
            .WithEnvironment("KAFKA_INTER_BROKER_LISTENER_NAME", "BROKER")
            .WithEnvironment("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1")
            .WithEnvironment("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4")
            .WithEnvironment("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1")
            .WithEnvironment("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1")
            .WithEnvironment("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "4")
            .WithEnvironment("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR", "1")
            .WithEnvironment("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR", "1")
            .WithEnvironment("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
            .WithEnvironment("KAFKA_LOG_RETENTION_MS", "-1")
            .WithEnvironment("KAFKA_BROKER_SESSION_TIMEOUT_MS", "1000")
            .WithEnvironment("KAFKA_BROKER_HEARTBEAT_INTERVAL_MS", "200");
        builder = files.Aggregate(builder, (with, file) => with.WithResourceMapping(file.Content, file.Path));
        IContainer container = settings.Aggregate(builder, (with, setting) => with.WithEnvironment(setting.Name, setting.Value)).Build();
        await container.StartAsync(TestContext.Current.CancellationToken);
        return new OwnBroker(container, $"127.0.0.1:{port}");
    }

    /// <summary>Returns when the broker answers a client.</summary>
    public void AwaitAnswer(IReadOnlyDictionary<string, string>? settings = null)
    {
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = Address, Settings = settings ?? new Dictionary<string, string>() }) { Patience = StartLimit };
        broker.DescribeTopic("any");
    }

    public async Task Kill()
    {
        using IDockerClient docker = Docker();
        await docker.Containers.KillContainerAsync(_container.Id, new ContainerKillParameters { Signal = "SIGKILL" }, TestContext.Current.CancellationToken);
        await docker.Containers.WaitContainerAsync(_container.Id, TestContext.Current.CancellationToken);
    }

    public async Task StartAgain()
    {
        using IDockerClient docker = Docker();
        await docker.Containers.StartContainerAsync(_container.Id, new ContainerStartParameters(), TestContext.Current.CancellationToken);
    }

    public ValueTask DisposeAsync() => _container.DisposeAsync();

    private static IDockerClient Docker() => TestcontainersSettings.OS.DockerEndpointAuthConfig.GetDockerClientBuilder(Guid.Empty).Build();

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
