using System.Diagnostics;
using System.Globalization;
using Docker.DotNet;
using Docker.DotNet.Models;
using DotNet.Testcontainers.Configurations;

namespace KStreamSharp.Tests;

/// <summary>The Docker engine, for tests that need a container of their own.</summary>
internal sealed class DockerEngine : IServer
{
    /// <summary>What every container of the tests carries: its value is the process that started it.</summary>
    public const string Label = "kstreamsharp.integration";

    private DockerEngine()
    {
    }

    /// <summary>A broker that is given serves most tests; those that need a container then need not run.</summary>
    public static bool IsRequired => KafkaCluster.IsRequired && !KafkaCluster.IsGiven;

    public static async Task<string?> WhyMissing() =>
        await WhySilent() is { } why ? $"These need containers of their own, and no Docker engine answers{why}. Start Docker." : null;

    /// <summary>A word of why no engine answers, or empty; null when one does. Removes containers of runs that were ended before they could remove theirs.</summary>
    public static async Task<string?> WhySilent()
    {
        if (TestcontainersSettings.OS.DockerEndpointAuthConfig is not { } engine)
        {
            return "";
        }

        try
        {
            using IDockerClient docker = engine.GetDockerClientBuilder(Guid.Empty).Build();
            IList<ContainerListResponse> ours = await docker.Containers.ListContainersAsync(
                new ContainersListParameters { All = true, Filters = new Dictionary<string, IDictionary<string, bool>> { ["label"] = new Dictionary<string, bool> { [Label] = true } } });
            HashSet<int> running = [.. Process.GetProcesses().Select(process => process.Id)];
            foreach (ContainerListResponse left in ours.Where(container => !int.TryParse(container.Labels[Label], CultureInfo.InvariantCulture, out int owner) || !running.Contains(owner)))
            {
                await docker.Containers.RemoveContainerAsync(left.ID, new ContainerRemoveParameters { Force = true, RemoveVolumes = true });
            }

            return null;
        }
        catch (Exception error) when (error is HttpRequestException or TimeoutException)
        {
            return $" ({error.Message.Split('\n')[0].TrimEnd('.')})";
        }
    }
}
