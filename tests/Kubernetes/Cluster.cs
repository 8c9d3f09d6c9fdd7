using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;

namespace KStreamSharp.Tests.Kubernetes;

/// <summary>
/// The cluster that the test runs on: one that a script beside the repository starts, or the one of KUBECONFIG, into which
/// KSTREAM_KUBERNETES_IMAGE, a command such as "kind load docker-image", brings local images.
/// </summary>
internal sealed partial class Cluster : IAsyncDisposable
{
    private readonly string? _script;
    private readonly string[] _imageCommand;
    private readonly string _kubectl;
    private readonly string _helm;
    private TcpProxy? _apiServer;

    private Cluster(string? script, string[] imageCommand, string kubectl, string helm)
    {
        _script = script;
        _imageCommand = imageCommand;
        _kubectl = kubectl;
        _helm = helm;
    }

    /// <summary>The volumes' class; null for the cluster's default.</summary>
    public string? StorageClass => _script is null ? null : "local-test";

    /// <summary>Its node is this machine.</summary>
    public bool IsHere => _script is not null;

    public static async Task<Cluster> UpAsync(string root, string work)
    {
        string script = Path.GetFullPath(Path.Combine(root, "../shared/k8s/cluster"));
        string helm = await HelmAsync(root, work);
        if (Environment.GetEnvironmentVariable("KSTREAM_KUBERNETES_IMAGE") is { Length: > 0 } command)
        {
            return new(null, command.Split(' '), "kubectl", helm);
        }

        if (!File.Exists(script))
        {
            throw new InvalidOperationException("There is no cluster: point KUBECONFIG to one, and name by KSTREAM_KUBERNETES_IMAGE the command that brings an image into it, for example \"kind load docker-image\".");
        }

        string said = await Shell.RunAsync(script, "up");
        Shell.Environment["KUBECONFIG"] = KubeConfig().Match(said).Groups[1].Value;
        return new(script, [script, "image"], Kubectl().Match(said).Groups[1].Value, helm);
    }

    public Task<string> KubectlAsync(params string[] arguments) => Shell.RunAsync(_kubectl, arguments);

    public Task<(int Code, string Output, string Errors)> TryKubectlAsync(params string[] arguments) => Shell.TryAsync("", _kubectl, arguments);

    public Task<string> ApplyAsync(string yaml, params string[] arguments) => Shell.FeedAsync(yaml, _kubectl, ["apply", "-f", "-", .. arguments]);

    public Task<string> HelmAsync(params string[] arguments) => Shell.RunAsync(_helm, arguments);

    public Task<(int Code, string Output, string Errors)> TryHelmAsync(params string[] arguments) => Shell.TryAsync("", _helm, arguments);

    public Task ImageAsync(string name) => Shell.RunAsync(_imageCommand[0], [.. _imageCommand.Skip(1), name]);

    /// <summary>The address by which the machine and the pods reach ports of the node.</summary>
    public async Task<string> NodeAsync() => (await KubectlAsync("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}")).Trim();

    /// <summary>Waits until a StatefulSet has just the pods that it is to have, all of its newest revision and ready; how long it took.</summary>
    public async Task<TimeSpan> ReadyAsync(string set, int pods, TimeSpan limit)
    {
        long began = Stopwatch.GetTimestamp();
        string wanted = string.Create(CultureInfo.InvariantCulture, $"{pods}/{pods}/{pods}/same");
        string found;
        do
        {
            found = await KubectlAsync("get", "statefulset", set, "-o",
                "go-template={{.status.replicas}}/{{or .status.readyReplicas 0}}/{{or .status.updatedReplicas 0}}/{{if and (eq .status.observedGeneration .metadata.generation) (or (eq .status.currentRevision .status.updateRevision) (not .status.currentRevision))}}same{{else}}not{{end}}");
            if (found == wanted)
            {
                return Stopwatch.GetElapsedTime(began);
            }

            await Task.Delay(200);
        }
        while (Stopwatch.GetElapsedTime(began) < limit);
        throw new InvalidOperationException($"{set} was not ready after {limit}: {found} instead of {wanted} (pods, ready, updated, revision).\n{await KubectlAsync("get", "pods", "-o", "wide")}\n{await KubectlAsync("describe", "pods", "-l", "app.kubernetes.io/component=instance")}");
    }

    public async Task WaitAsync(string what, TimeSpan limit, Func<Task<bool>> holds)
    {
        for (long began = Stopwatch.GetTimestamp(); !await holds();)
        {
            if (Stopwatch.GetElapsedTime(began) > limit)
            {
                throw new InvalidOperationException($"Not within {limit}: {what}.");
            }

            await Task.Delay(200);
        }
    }

    /// <summary>
    /// Pods ask the API server at the endpoint that it tells of itself. A server of this machine may listen at another of its
    /// addresses alone.
    /// </summary>
    public async Task LetPodsAskAsync()
    {
        string[] endpoint = (await KubectlAsync("get", "endpointslice", "kubernetes", "-o", "jsonpath={.endpoints[0].addresses[0]} {.ports[0].port}")).Trim().Split(' ');
        IPEndPoint told = new(IPAddress.Parse(endpoint[0]), int.Parse(endpoint[1], CultureInfo.InvariantCulture));
        try
        {
            using TcpClient client = new();
            await client.ConnectAsync(told);
        }
        catch (SocketException) when (IsHere)
        {
            _apiServer = new TcpProxy("127.0.0.1", told.Port, at: told);
        }
    }

    public async ValueTask DisposeAsync()
    {
        _apiServer?.Dispose();
        if (_script is not null)
        {
            await Shell.RunAsync(_script, "down");
        }
    }

    private static async Task<string> HelmAsync(string root, string work)
    {
        string packed = Path.Combine(root, "../shared/tools/helm.xz");
        if (Environment.GetEnvironmentVariable("KSTREAM_HELM") is { Length: > 0 } named)
        {
            return named;
        }

        if (!File.Exists(packed))
        {
            return "helm";
        }

        string helm = Path.Combine(work, "helm");
        await Shell.RunAsync("sh", "-c", $"xz -dc '{packed}' > '{helm}' && chmod +x '{helm}'");
        return helm;
    }

    [GeneratedRegex("^KUBECONFIG=(.+)$", RegexOptions.Multiline)]
    private static partial Regex KubeConfig();

    [GeneratedRegex("^kubectl: (.+)$", RegexOptions.Multiline)]
    private static partial Regex Kubectl();
}
