using System.Diagnostics;
using System.Globalization;

namespace KStreamSharp.Tests.Chaos;

/// <summary>A broker of one node in a container of its own, which survives being stopped and killed. Uses the command docker.</summary>
internal sealed class OwnBroker : IAsyncDisposable
{
    private const string Image = "apache/kafka:4.3.1";

    /// <summary>As the image starts, but a container that is started again has its folder formatted already.</summary>
    private const string Command =
        "[ -e /tmp/own/meta.properties ] && exec java -Xmx512m -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties || exec /etc/kafka/docker/run";

    private readonly string _name;

    private OwnBroker(string name, string address)
    {
        _name = name;
        Address = address;
    }

    /// <summary>The same after a restart.</summary>
    public string Address { get; }

    public static async Task<OwnBroker> StartAsync()
    {
        int port = Toxiproxy.FreePort();
        string name = $"kstream-chaos-{Environment.ProcessId}";
        string[] settings =
        [
            "KAFKA_LOG_DIRS=/tmp/own",
            "KAFKA_NODE_ID=1",
            "KAFKA_PROCESS_ROLES=broker,controller",
            "KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9093",
            "KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
            $"KAFKA_LISTENERS=CLIENTS://0.0.0.0:{port},BROKER://localhost:9092,CONTROLLER://localhost:9093",
            $"KAFKA_ADVERTISED_LISTENERS=CLIENTS://127.0.0.1:{port},BROKER://localhost:9092",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CLIENTS:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "KAFKA_INTER_BROKER_LISTENER_NAME=BROKER",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1",
            "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS=4",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1",
            "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS=4",
            "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR=1",
            "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR=1",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0",
            "KAFKA_LOG_RETENTION_MS=-1",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE=false",
            "KAFKA_LOG_CLEANER_BACKOFF_MS=3000",
            "KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS=6000",
            "KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS=6000",
            "KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS=1000",
            "KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS=1000",
        ];
        await DockerAsync(
        [
            "run", "--detach", "--name", name, "--label", "kstreamsharp.chaos", "--publish", string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{port}:{port}"),
            .. settings.SelectMany(setting => new[] { "--env", setting }), Image, "/bin/sh", "-c", Command,
        ]);
        return new OwnBroker(name, $"127.0.0.1:{port}");
    }

    /// <summary>SIGTERM, and SIGKILL ten seconds later; true when it is down.</summary>
    public async Task<bool> StopAsync()
    {
        await DockerAsync("stop", _name);
        return await StateAsync() == "exited";
    }

    public async Task<bool> KillAsync()
    {
        await DockerAsync("kill", _name);
        return await StateAsync() == "exited";
    }

    public Task StartAgainAsync() => DockerAsync("start", _name);

    /// <summary>Its threads stand still; true when they do.</summary>
    public async Task<bool> PauseAsync()
    {
        await DockerAsync("pause", _name);
        return await StateAsync() == "paused";
    }

    public Task WakeAsync() => DockerAsync("unpause", _name);

    public async ValueTask DisposeAsync() => await DockerAsync("rm", "--force", "--volumes", _name);

    private Task<string> StateAsync() => DockerAsync("inspect", "--format", "{{.State.Status}}", _name);

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
