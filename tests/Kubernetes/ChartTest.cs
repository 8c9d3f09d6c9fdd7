using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using KStreamSharp.Tests.Chaos;

namespace KStreamSharp.Tests.Kubernetes;

/// <summary>A step of the test and how it went.</summary>
/// <param name="What">For people.</param>
/// <param name="Ready">How long until all pods were ready.</param>
/// <param name="Counts">Inputs and outputs after it.</param>
internal sealed record Step(string What, TimeSpan? Ready = null, Counts? Counts = null)
{
    public bool Fails => Counts is { } counts && (counts.Lost > 0 || counts.Doubled > 0);
}

/// <summary>
/// The chart on a cluster: the flow `count` under a steady load while its pods are scaled, killed, updated and robbed of a
/// volume, then the service of examples/orders by the same chart.
/// </summary>
internal sealed class ChartTest(Cluster cluster, string root, List<Step> steps, SlowStore? store)
{
    public const string Bucket = "snapshots";
    private const int Partitions = 6;
    private const string Input = "numbers";
    private const string Output = "count-output";
    private const string Release = "counts";
    private const string Set = $"{Release}-kstreamsharp";
    private const string OwnRelease = "own";

    /// <summary>So slow that the restore of a small shard takes seconds.</summary>
    private const int SlowBytesPerSecond = 1000;

    /// <summary>How often a pod is looked at while it restores.</summary>
    private const int SlowLooks = 5;

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(4);

    /// <summary>Less than the session time-out, after which the group would move what a silent member has.</summary>
    private static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(20);

    private readonly Pods _pods = new(cluster);

    private readonly string _chart = Path.Combine(root, "helm/kstreamsharp");
    private readonly string _values = Path.Combine(root, "tests/Kubernetes/values");
    private string _kafka = "";
    private string _image = "0.1.0";
    private int _replicas = 1;

    public async Task RunAsync()
    {
        await cluster.LetPodsAskAsync();
        await CheckChartAsync();
        await BuildImagesAsync();
        await StartKafkaAsync();
        await CountAsync();
        await OwnServiceAsync();
    }

    private async Task CheckChartAsync()
    {
        await cluster.KubectlAsync("apply", "-f", Path.Combine(root, "tests/Kubernetes/definitions.yaml"));
        await cluster.KubectlAsync("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s");
        string[] sets = [.. Directory.GetFiles(_values, "*.yaml").Order(StringComparer.Ordinal)];
        string[][] given = [["--set", "embedded=true"], .. sets.Select(set => (string[])["-f", set])];
        foreach (string[] values in given)
        {
            string name = values[0] == "--set" ? "defaults" : Path.GetFileNameWithoutExtension(values[1]);
            await cluster.HelmAsync(["lint", "--strict", _chart, .. values]);
            string yaml = await cluster.HelmAsync(["template", "dry", _chart, "--kube-version", "1.33.0", .. values]);
            await cluster.ApplyAsync(yaml, "--dry-run=server", "--validate=strict");
            steps.Add(new($"values {name}: lint, dry run on the server"));
        }

        string passed = await cluster.HelmAsync("template", "dry", _chart, "--kube-version", "1.33.0", "-f", Path.Combine(_values, "platform.yaml"));
        foreach (string wanted in PassedThrough)
        {
            Require(passed.Contains(wanted, StringComparison.Ordinal), $"The chart does not pass through what values/platform.yaml gives it; '{wanted}' is not in:\n{passed}");
        }

        Require(!passed.Contains("runAsUser", StringComparison.Ordinal), "The chart sets a user id where the values leave it to the platform.");
        steps.Add(new($"{PassedThrough.Length} values that platforms ask for are passed through"));

        foreach ((string values, string reason) in Refused)
        {
            (int code, string _, string errors) = await cluster.TryHelmAsync(["template", "wrong", _chart, "--kube-version", "1.33.0", .. values.Split(' ').SelectMany(value => (string[])["--set", value])]);
            Require(code != 0 && errors.Contains(reason, StringComparison.Ordinal), $"The chart does not refuse {values} with '{reason}': {errors}");
        }

        steps.Add(new($"{Refused.Length} wrong values are refused"));
    }

    /// <summary>What values/platform.yaml comes to.</summary>
    private static readonly string[] PassedThrough =
    [
        "image: registry.example.com/kstreamsharp@sha256:0000000000000000000000000000000000000000000000000000000000000001",
        "azure.workload.identity/use: \"true\"",
        "priorityClassName: high",
        "name: fetch-ca",
        "mountPath: /etc/ca",
        "secretName: ca-bundle",
        "fieldPath: status.hostIP",
        "name: from-elsewhere",
        "backup.example.com/keep: \"yes\"",
        "partition: 1",
        "minReadySeconds: 20",
        "failureThreshold: 300",
        "timeoutSeconds: 9",
        "periodSeconds: 7",
        "terminationGracePeriodSeconds: 145",
        "value: \"*:8081\"",
        "terminationMessagePolicy: FallbackToLogsOnError",
        "- name: KStreamSharp__Workers\n              value: \"3\"",
    ];

    /// <summary>Values that must not be taken, and a word of the reason.</summary>
    private static readonly (string Values, string Reason)[] Refused =
    [
        ("replicas=-1", "/replicas"),
        ("replicas=1", "No broker is named"),
        ("embedded=true replicas=2", "needs Kafka"),
        ("embedded=true config.Kafka.BootstrapServers=k:9092", "give one of them"),
        ("config.Kafka.BootstrapServers=k:9092 config.Snapshots.EndTimeout=120s terminationGracePeriodSeconds=30", "at least 140"),
        ("config.Kafka.BootstrapServers=k:9092 config.Shards=8 replicas=9", "more than config.Shards"),
        ("config.Kafka.BootstrapServers=k:9092 autoscaling.type=hpa", "needs config.Shards"),
        ("config.Kafka.BootstrapServers=k:9092 config.Shards=2 autoscaling.type=hpa", "more than config.Shards"),
        ("config.Kafka.BootstrapServers=k:9092 config.Shards=8 autoscaling.type=keda", "autoscaling.topics"),
        (@"config.Kafka.Settings.sasl\.password=x", "sasl.password"),
        ("config.InstanceId=one", "InstanceId"),
        ("config.CommitInterval=100", "/config/CommitInterval"),
        ("config.Kafka.BootstrapServers=k:9092 tls.existingSecret=tls", "security.protocol"),
        ("embedded=true terminationGracePeriodSeconds=10", "terminationGracePeriodSeconds"),
        ("image.tga=1", "tga"),
    ];

    private async Task BuildImagesAsync()
    {
        if (Environment.GetEnvironmentVariable("KSTREAM_KUBERNETES_BUILT") != "1")
        {
            await BuildAsync();
        }

        await Shell.RunAsync("docker", "tag", "kstreamsharp:0.1.0", "kstreamsharp:0.1.0-next");
        foreach (string image in (string[])["kstreamsharp:0.1.0", "kstreamsharp:0.1.0-next", "orders:0.1.0", "apache/kafka:4.3.1"])
        {
            await cluster.ImageAsync(image);
        }

        steps.Add(new("images are built and brought into the node"));
    }

    private async Task BuildAsync()
    {
        await Shell.RunAsync("docker", "build", "-t", "kstreamsharp:0.1.0", root);
        string example = Path.Combine(root, "examples/orders");
        await Shell.RunAsync("dotnet", "pack", Path.Combine(root, "KStreamSharp.sln"), "-c", "Release", "-o", Path.Combine(example, "packages"), "-v", "q");
        await Shell.RunAsync("docker", "build", "-t", "orders:0.1.0", example);
    }

    private async Task StartKafkaAsync()
    {
        string node = await cluster.NodeAsync();
        _kafka = $"{node}:30992";
        string yaml = await File.ReadAllTextAsync(Path.Combine(root, "tests/Kubernetes/kafka.yaml"));
        await cluster.ApplyAsync(yaml.Replace("node.invalid", node, StringComparison.Ordinal));
        await cluster.KubectlAsync("rollout", "status", "deployment/kafka", "--timeout=180s");
        using IAdminClient admin = Clients.Admin(_kafka);
        (string Name, int Partitions)[] topics = [(Input, Partitions), ("orders", 2), ("order-totals", 2)];
        await admin.CreateTopicsAsync(topics.Select(topic => new TopicSpecification { Name = topic.Name, NumPartitions = topic.Partitions, ReplicationFactor = 1 }));
        steps.Add(new("Kafka runs as a pod"));
    }

    private async Task CountAsync()
    {
        await InstallAsync("install");
        await NoteAsync("install, 1 pod", await cluster.ReadyAsync(Set, 1, Limit));

        using Load load = new(_kafka, Input, seed: 1);
        load.Start();
        await ProcessedAsync("load begins", 2000);
        foreach (int replicas in (int[])[3, 2])
        {
            int before = _replicas;
            _replicas = replicas;
            await InstallAsync("upgrade");
            await NoteAsync($"replicas {before} to {replicas}, under load", await cluster.ReadyAsync(Set, replicas, Limit));
        }

        TimeSpan moved = await AllGoOnAsync();
        Require(moved < AtOnce, $"All shards went on only {moved.TotalSeconds:0} s after the scaled-in pod was gone: it has not left the group.");
        steps.Add(new("every shard goes on after the scale-in", moved));
        await RestartAsync();
        await cluster.KubectlAsync("delete", "pod", $"{Set}-1", "--grace-period=0", "--force");
        await NoteAsync("a pod is killed without grace", await cluster.ReadyAsync(Set, _replicas, Limit));

        _image = "0.1.0-next";
        await InstallAsync("upgrade");
        await NoteAsync("another image, pod by pod", await cluster.ReadyAsync(Set, _replicas, Limit));
        long restored = 0;
        for (int pod = 0; pod < _replicas; pod++)
        {
            restored += await _pods.RestoredAsync($"{Set}-{pod}");
        }

        Require(restored == 0, $"After the update the pods restored {restored} records, though they ended in order and kept their volumes.");
        await LoseVolumeAsync();
        await cluster.HelmAsync("test", Release, "--timeout", "60s");
        steps.Add(new("helm test"));
        load.Stop(TimeSpan.FromSeconds(60));
        Counts end = await Counts.AtEndAsync(_kafka, "count", Input, Output, Partitions, Limit);
        Require(end.Inputs == load.Written, $"{load.Written} records were written, the group has come to {end.Inputs}.");
        steps.Add(new("the load ends, everything is processed", Counts: end));
        await UninstallAsync(Release);
    }

    /// <summary>SIGTERM under load: the process ends well, comes back to what it had, and the other pod gets nothing of it.</summary>
    private async Task RestartAsync()
    {
        int movesBefore = await _pods.MovesAsync($"{Set}-0");
        int code = await _pods.EndAsync($"{Set}-1");
        await NoteAsync($"a pod restarts (SIGTERM, exit {code})", await cluster.ReadyAsync(Set, _replicas, Limit));
        Require(code == 0, $"The process ended with {code} at SIGTERM.");
        long restored = await _pods.RestoredAsync($"{Set}-1");
        Require(restored == 0, $"After an orderly end {restored} records were restored.");
        int moves = await _pods.MovesAsync($"{Set}-0") - movesBefore;
        Require(moves == 0, $"While a pod restarted, shards moved {moves} times.");
    }

    private async Task LoseVolumeAsync()
    {
        await cluster.KubectlAsync("delete", "pvc", $"state-{Set}-1", "--wait=false");
        if (store is not null)
        {
            store.BytesPerSecond = SlowBytesPerSecond;
        }

        await cluster.KubectlAsync("delete", "pod", $"{Set}-1");
        if (store is not null)
        {
            (int looks, int restarts) = await _pods.UntilReadyAsync($"{Set}-1", SlowLooks, () => store.BytesPerSecond = int.MaxValue);
            Require(looks >= SlowLooks, $"It was seen restoring only {looks} times.");
            Require(restarts == 0, $"Its container was started again {restarts} times while it restored.");
            steps.Add(new($"slow restore: alive and not ready, {looks} looks of {looks}"));
        }

        await NoteAsync("a pod's volume is deleted", await cluster.ReadyAsync(Set, _replicas, Limit));
    }

    private static void Require(bool holds, string not)
    {
        if (!holds)
        {
            throw new InvalidOperationException(not);
        }
    }

    /// <summary>Until every partition has got further than it is now.</summary>
    private async Task<TimeSpan> AllGoOnAsync()
    {
        long began = Stopwatch.GetTimestamp();
        long[] from = Positions();
        await cluster.WaitAsync("every partition goes on", Limit, () => Task.FromResult(Positions().Zip(from).All(pair => pair.First > pair.Second)));
        return Stopwatch.GetElapsedTime(began);

        long[] Positions() => Counts.Positions(_kafka, "count", Input, Partitions);
    }

    /// <summary>Some records more than there were.</summary>
    private async Task ProcessedAsync(string what, long more)
    {
        long from = Look().Inputs;
        await cluster.WaitAsync($"{more} records are processed: {what}", Limit, () => Task.FromResult(Look().Inputs >= from + more));
    }

    private async Task NoteAsync(string what, TimeSpan ready)
    {
        // Whatever was done, the application goes on.
        if (steps.Exists(step => step.Counts is not null))
        {
            await ProcessedAsync(what, 500);
        }

        Step step = new(what, ready, Look());
        steps.Add(step);
        Console.WriteLine(step);
    }

    private Counts Look() => Counts.Look(_kafka, "count", Input, Output, Partitions);

    private async Task InstallAsync(string command)
    {
        string[] values =
        [
            $"image.tag={_image}", "flow=count", "args={--input,numbers,--log-level,information}", $"replicas={_replicas}", $"config.Shards={Partitions}", .. await SnapshotsAsync(),
        ];
        await cluster.HelmAsync([command, Release, _chart, .. Values(values)]);
    }

    private async Task<string[]> SnapshotsAsync() => store is null ? [] :
    [
        $"config.Snapshots.Store=s3://{Bucket}/counts?endpoint=http://{await cluster.NodeAsync()}:{store.Port}",
        "config.Snapshots.Interval=10s",
        $"secrets.values.AWS_ACCESS_KEY_ID={SlowStore.AccessKey}",
        $"secrets.values.AWS_SECRET_ACCESS_KEY={SlowStore.SecretKey}",
    ];

    /// <summary>Values as --set takes them, with those that every release has.</summary>
    private string[] Values(params string[] values)
    {
        List<string> all = [.. values, $"config.Kafka.BootstrapServers={_kafka}", "resources.requests.cpu=50m", "resources.requests.memory=256Mi", "persistence.size=1Gi"];
        if (cluster.StorageClass is { } name)
        {
            all.Add($"persistence.storageClass={name}");
        }

        return [.. all.SelectMany(value => (string[])["--set", value])];
    }

    private async Task OwnServiceAsync()
    {
        await cluster.HelmAsync(["install", OwnRelease, _chart, .. Values("image.repository=orders", "flow=orders", "replicas=2")]);
        TimeSpan ready = await cluster.ReadyAsync($"{OwnRelease}-kstreamsharp", 2, Limit);
        using IProducer<string, string> producer = new ProducerBuilder<string, string>(new ProducerConfig { BootstrapServers = _kafka, Partitioner = Partitioner.Murmur2Random }).Build();
        for (int order = 0; order < 100; order++)
        {
            producer.Produce("orders", new() { Key = string.Create(CultureInfo.InvariantCulture, $"customer-{order % 10}"), Value = """{"Item":"book","Amount":2.5}""" });
        }

        producer.Flush(TimeSpan.FromSeconds(30));
        using Topics topics = new(_kafka);
        Dictionary<string, int> totals = [];
        await cluster.WaitAsync("the totals of 100 orders are put out", Limit, () =>
        {
            totals.Clear();
            foreach (ConsumeResult<byte[], byte[]> record in topics.Read("order-totals", 2).SelectMany(content => content.Records))
            {
                totals[System.Text.Encoding.UTF8.GetString(record.Message.Key)] = JsonDocument.Parse(record.Message.Value).RootElement.GetProperty("Orders").GetInt32();
            }

            return Task.FromResult(totals.Values.Sum() == 100);
        });
        await cluster.HelmAsync("test", OwnRelease, "--timeout", "60s");
        steps.Add(new("examples/orders by the same chart", ready));
        await UninstallAsync(OwnRelease);
    }

    private async Task UninstallAsync(string release)
    {
        await cluster.HelmAsync("uninstall", release, "--wait", "--timeout", "90s");
        string selector = $"app.kubernetes.io/instance={release}";
        await cluster.WaitAsync($"nothing of {release} is left but its volumes", Limit, async () =>
            (await cluster.KubectlAsync("get", "statefulset,service,pod,role,rolebinding,serviceaccount,poddisruptionbudget,secret", "-l", $"{selector},app.kubernetes.io/component!=test", "-o", "name")).Trim().Length == 0);
        await cluster.KubectlAsync("delete", "pod,pvc", "-l", selector);
        steps.Add(new($"helm uninstall {release}: nothing is left but its volumes"));
    }
}
