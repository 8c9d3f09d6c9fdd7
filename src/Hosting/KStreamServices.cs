using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>Flows inside an application of your own: ASP.NET Core, or a worker service.</summary>
public static class KStreamServices
{
    /// <summary>
    /// Runs a flow as long as the application runs: it starts with it, and commits and leaves when it stops. When the flow
    /// fails, the application stops, and the process's exit code is that of <see cref="ExitCode"/>; when a finite run is done,
    /// the application stops unless other flows still run. Once per flow; several flows need an application id each, which is
    /// the flow's id where <see cref="StreamOptions.AppId"/> says nothing else. The broker is the container's <see cref="Broker"/>; when none is registered, the
    /// Kafka cluster that <c>KStreamSharp:Kafka:BootstrapServers</c> of the configuration names, else one that is embedded
    /// in the folder <c>broker</c> of the state folder. On Kafka, the topics that the flow reads and writes must exist,
    /// unless <c>KStreamSharp:CreateTopics</c> is true.
    /// Where <c>KStreamSharp:Http</c> of the configuration names an address and a port, health, status and metrics of all flows are served there;
    /// otherwise the meter and the activity source, both named <c>KStreamSharp</c>, are for the application's own exporters.
    /// Snapshots go to the container's <see cref="ISnapshotStore"/>, if there is one and neither the options nor the configuration name another.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="flow">Makes the flow, of services if it needs some.</param>
    /// <param name="options">How to run; null for the section <c>KStreamSharp</c> of the application's configuration.</param>
    public static IServiceCollection AddKStreamSharp(this IServiceCollection services, Func<IServiceProvider, Dataflow> flow, StreamOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(flow);
        services.TryAddSingleton(provider => BrokerCalls.Open(Options(provider), provider.GetRequiredService<ILoggerFactory>()));
        services.TryAddSingleton<HostedFlows>();
        return services.AddSingleton<IHostedService>(provider => new HostedFlow(
            flow(provider),
            provider.GetRequiredService<Broker>(),
            WithSnapshots(provider, Options(provider)),
            Options(provider),
            provider.GetRequiredService<ILoggerFactory>(),
            provider.GetRequiredService<HostedFlows>()));

        static StreamOptions WithSnapshots(IServiceProvider provider, HostOptions options)
        {
            Dictionary<string, Func<Uri, ISnapshotStore>> none = [];
            SnapshotOptions? snapshots = options.Stream.Snapshots ?? options.Snapshots.Open(none);
            return options.Stream with { Snapshots = snapshots ?? (provider.GetService<ISnapshotStore>() is { } store ? new SnapshotOptions { Store = store } : null) };
        }

        HostOptions Options(IServiceProvider provider)
        {
            HostOptions configured = HostSettings.Read(provider.GetRequiredService<IConfiguration>());
            return options is null ? configured : configured with { Stream = options };
        }
    }
}
