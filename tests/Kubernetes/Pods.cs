using System.Globalization;
using System.Text.RegularExpressions;

namespace KStreamSharp.Tests.Kubernetes;

/// <summary>What pods say of themselves: in their logs, by their health, by how they end.</summary>
internal sealed partial class Pods(Cluster cluster)
{
    private const int Port = 8081;

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    /// <summary>Ends a pod by SIGTERM; the exit code of its process, which is gone with the pod.</summary>
    public async Task<int> EndAsync(string pod)
    {
        Task<(int Code, string Output, string Errors)> watch = cluster.TryKubectlAsync(
            "get", "pods", "--field-selector", $"metadata.name={pod}", "-w", "--request-timeout=30s", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}{\"\\n\"}");
        await cluster.KubectlAsync("delete", "pod", pod);
        string[] codes = (await watch).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return codes.Length > 0 ? int.Parse(codes[^1], CultureInfo.InvariantCulture) : throw new InvalidOperationException($"How {pod} ended was not seen.");
    }

    /// <summary>What the shards of a pod that has just started restored: records of the changelog, and from what.</summary>
    /// <exception cref="InvalidOperationException">One of them did not find its own folder.</exception>
    public async Task<long> RestoredAsync(string pod)
    {
        string log = await cluster.KubectlAsync("logs", pod);
        long[] records = [.. RestoredRecords().Matches(log).Select(match => long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture))];
        return records.Length > 0 && !log.Contains("no local state", StringComparison.Ordinal) && !log.Contains("the whole changelog", StringComparison.Ordinal)
            ? records.Sum()
            : throw new InvalidOperationException($"{pod} was to go on with what is on its volume:\n{log}");
    }

    /// <summary>The shards that a pod was given or lost since it started.</summary>
    public async Task<int> MovesAsync(string pod) => Moves().Count(await cluster.KubectlAsync("logs", pod));

    /// <summary>
    /// Looks at the health of a pod until it is ready: while it restores it must be alive, and not ready. The number of looks
    /// at which it was so, and the container's restarts.
    /// </summary>
    public async Task<(int Restoring, int Restarts)> UntilReadyAsync(string pod, int enough, Action whenEnough)
    {
        int looks = 0;
        await cluster.WaitAsync($"{pod} is ready", Limit, async () =>
        {
            bool wasRestoring = await RestoresAsync(pod);
            bool isReady = await AnswersAsync(pod, "health/ready");
            bool isAlive = await AnswersAsync(pod, "health/live");
            if (wasRestoring && await RestoresAsync(pod))
            {
                if (isReady || !isAlive)
                {
                    throw new InvalidOperationException($"{pod} restores, and says that it is {(isReady ? "ready" : "not alive")}.");
                }

                if (++looks == enough)
                {
                    whenEnough();
                }
            }

            return isReady;
        });
        string restarts = await cluster.KubectlAsync("get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}");
        return (looks, int.Parse(restarts, CultureInfo.InvariantCulture));
    }

    private async Task<bool> RestoresAsync(string pod) =>
        (await AskAsync(pod, "status")).Output.Contains("\"restoring\"", StringComparison.OrdinalIgnoreCase);

    private async Task<bool> AnswersAsync(string pod, string path) => (await AskAsync(pod, path)).Code == 0;

    /// <summary>What a path of a pod answers.</summary>
    public Task<(int Code, string Output, string Errors)> AskAsync(string pod, string path) =>
        cluster.TryKubectlAsync("get", "--raw", $"/api/v1/namespaces/default/pods/{pod}:{Port}/proxy/{path}");

    [GeneratedRegex(@"restored (\d+) changelog records")]
    private static partial Regex RestoredRecords();

    [GeneratedRegex(@"Shards (assigned|revoked|lost)")]
    private static partial Regex Moves();
}
