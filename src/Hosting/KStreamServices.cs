using System.Net;
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
    /// fails, or a finite run is done, the application stops; after a failure the process's exit code is that of
    /// <see cref="ExitCode"/>. Once per flow. The broker is the container's <see cref="Broker"/>; when none is registered, the
    /// Kafka cluster that <c>KStreamSharp:Kafka:BootstrapServers</c> of the configuration names, else one that is embedded
    /// in the folder <c>broker</c> of the state folder. On Kafka, the topics that the flow reads and writes must exist.
    /// Where <c>KStreamSharp:Http</c> of the configuration names an address and a port, health, status and metrics are served there;
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
        return services.AddSingleton<IHostedService>(provider => new FlowService(
            flow(provider),
            provider.GetRequiredService<Broker>(),
            WithSnapshots(provider, Options(provider)),
            Options(provider).Http,
            Options(provider).StatefulSet,
            provider.GetRequiredService<ILoggerFactory>(),
            provider.GetRequiredService<IHostApplicationLifetime>()));

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

    private sealed class FlowService(Dataflow flow, Broker broker, StreamOptions options, IPEndPoint? http, string? statefulSet, ILoggerFactory logging, IHostApplicationLifetime application) : BackgroundService
    {
        protected override async Task ExecuteAsync(CancellationToken stoppingToken)
        {
            try
            {
                if (broker is EmbeddedBroker embedded)
                {
                    EmbeddedTopics.Make(flow, embedded, options);
                }

                using StreamEngine engine = new(flow, broker, options, logging) { AsksToLeave = ScaleIn.Question(statefulSet, options, logging) };
                using HostTelemetry telemetry = new(options.AppId ?? flow.Id, options, hasPage: http is not null, exports: false);
                await using StatusServer? server = http is null
                    ? null
                    : await StatusServer.StartAsync(http, new RunHealth(flow.Id, options, () => engine.Status, TimeProvider.System), telemetry);
                await engine.RunAsync(stoppingToken);
            }
            catch (Exception error)
            {
                logging.CreateLogger("KStreamSharp").LogCritical(error, "Flow {Flow} has failed: {Reason}", flow.Id, error.Message);
                Environment.ExitCode = (int)(error is StreamException known ? known.Code : error is UsageException ? ExitCode.Usage : ExitCode.Internal);
            }

            application.StopApplication();
        }
    }
}
