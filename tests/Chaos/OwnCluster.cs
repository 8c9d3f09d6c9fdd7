using System.Diagnostics;
using System.Globalization;

namespace KStreamSharp.Tests.Chaos;

/// <summary>
/// A cluster of this run's own: two brokers that are stopped, killed and paused, one at a time, and a controller that is not,
/// each in a container. Everything has a replica on either broker: a cluster whose only broker is killed may forget a commit
/// (KAFKA-20734), which no client can mend. Uses the command docker.
/// </summary>
internal sealed class OwnCluster : IAsyncDisposable
{
    private const string Image = "apache/kafka:4.3.1";
    private const int Controller = 100;

    /// <summary>As the image starts, but a container that is started again has its folder formatted already.</summary>
    private const string Command =
        "[ -e /tmp/own/meta.properties ] && exec java -Xmx384m -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties || exec /etc/kafka/docker/run";

    private readonly string _name = $"kstream-chaos-{Environment.ProcessId}";
    private readonly List<string> _containers = [];
    private readonly List<int> _ports = [];
    private bool _hasNetwork;

    private OwnCluster()
    {
    }

    /// <summary>The containers of the brokers.</summary>
    public IReadOnlyList<string> Brokers => [.. _containers.Skip(1)];

    /// <summary>The same after a restart.</summary>
    public string Address => string.Join(',', _ports.Select(port => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{port}")));

    public static async Task<OwnCluster> StartAsync()
    {
        OwnCluster cluster = new();
        try
        {
            await DockerAsync("network", "create", cluster._name);
            cluster._hasNetwork = true;
            await cluster.RunAsync(Controller, null, "KAFKA_PROCESS_ROLES=controller", "KAFKA_LISTENERS=CONTROLLER://:9093", "KAFKA_HEAP_OPTS=-Xmx256m");
            foreach (int node in (int[])[1, 2])
            {
                int port = Toxiproxy.FreePort();
                cluster._ports.Add(port);
                await cluster.RunAsync(
                    node,
                    port,
                    "KAFKA_PROCESS_ROLES=broker",
                    $"KAFKA_LISTENERS=CLIENTS://:{port},BROKER://:9092",
                    $"KAFKA_ADVERTISED_LISTENERS=CLIENTS://127.0.0.1:{port},BROKER://{cluster.NameOf(node)}:9092",
                    "KAFKA_INTER_BROKER_LISTENER_NAME=BROKER",
                    "KAFKA_HEAP_OPTS=-Xmx384m",
                    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=2",
                    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS=4",
                    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=2",
                    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1",
                    "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS=4",

                    // Else a transaction may outlive its time-out by ten seconds, and a pause must be as long to have it aborted.
                    "KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS=1000",
                    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0",
                    "KAFKA_LOG_RETENTION_MS=-1",
                    "KAFKA_AUTO_CREATE_TOPICS_ENABLE=false",
                    "KAFKA_LOG_CLEANER_BACKOFF_MS=3000",
                    "KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS=6000",
                    "KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS=6000",
                    "KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS=1000",
                    "KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS=1000");
            }

            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>SIGTERM, and SIGKILL ten seconds later; true when it is down.</summary>
    public static async Task<bool> StopAsync(string broker)
    {
        await DockerAsync("stop", broker);
        return await StateAsync(broker) == "exited";
    }

    public static async Task<bool> KillAsync(string broker)
    {
        await DockerAsync("kill", broker);
        return await StateAsync(broker) == "exited";
    }

    public static Task StartAgainAsync(string broker) => DockerAsync("start", broker);

    /// <summary>Its threads stand still; true when they do.</summary>
    public static async Task<bool> PauseAsync(string broker)
    {
        await DockerAsync("pause", broker);
        return await StateAsync(broker) == "paused";
    }

    public static Task WakeAsync(string broker) => DockerAsync("unpause", broker);

    public async ValueTask DisposeAsync()
    {
        if (_containers.Count > 0)
        {
            await DockerAsync(["rm", "--force", "--volumes", .. _containers]);
        }

        if (_hasNetwork)
        {
            await DockerAsync("network", "rm", _name);
        }
    }

    private string NameOf(int node) => string.Create(CultureInfo.InvariantCulture, $"{_name}-{node}");

    private async Task RunAsync(int node, int? port, params string[] settings)
    {
        string[] all =
        [
            "KAFKA_LOG_DIRS=/tmp/own",
            $"KAFKA_NODE_ID={node}",

            // Every one may everything, until an entry for a resource says who may what of it.
            "KAFKA_AUTHORIZER_CLASS_NAME=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND=true",

            // The controller's counts: a partition without a leader would meet KAFKA-20734.
            "KAFKA_DEFAULT_REPLICATION_FACTOR=2",
            $"KAFKA_CONTROLLER_QUORUM_VOTERS={Controller}@{NameOf(Controller)}:9093",
            "KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CLIENTS:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            .. settings,
        ];
        _containers.Add(NameOf(node));
        await DockerAsync(
        [
            "run", "--detach", "--name", NameOf(node), "--hostname", NameOf(node), "--network", _name, "--label", "kstreamsharp.chaos",
            .. port is { } published ? new[] { "--publish", string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{published}:{published}") } : [],
            .. all.SelectMany(setting => new[] { "--env", setting }), Image, "/bin/sh", "-c", Command,
        ]);
    }

    private static Task<string> StateAsync(string container) => DockerAsync("inspect", "--format", "{{.State.Status}}", container);

    private static async Task<string> DockerAsync(params string[] arguments)
    {
        ProcessStartInfo start = new("docker", arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0
            ? output.Trim()
            : throw new InvalidOperationException($"docker {arguments[0]} fails: {(await errors).Trim()}");
    }
}
