using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Builder;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace KStreamSharp.Hosting;

/// <summary>
/// Brings metrics and spans of the engine and of .NET to OpenTelemetry: to a page for Prometheus, and by OTLP when the environment
/// names an endpoint. The rest of the environment that OpenTelemetry defines holds too (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER and so on).
/// </summary>
internal sealed class HostTelemetry : IDisposable
{
    private const string OtlpEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";

    private static readonly string[] Meters = [Telemetry.Name, "System.Runtime"];

    private const int DefaultLimit = 2_000;

    private readonly int _flows;
    private readonly MeterProvider? _meters;
    private readonly TracerProvider? _spans;

    /// <param name="app">The application; the service's name, if the environment has no other.</param>
    /// <param name="options">The engine's options.</param>
    /// <param name="hasPage">Whether there is to be a page for Prometheus.</param>
    /// <param name="exports">Whether to export by OTLP when the environment says so.</param>
    /// <param name="flows">How many flows the process runs: an instrument of the same name is one for all of them.</param>
    public HostTelemetry(string app, StreamOptions options, bool hasPage, bool exports, int flows = 1)
    {
        _flows = flows;
        exports &= !string.IsNullOrEmpty(Environment.GetEnvironmentVariable(OtlpEndpoint));
        if (!hasPage && !exports)
        {
            return;
        }

        ResourceBuilder resource = ResourceBuilder.CreateEmpty()
            .AddService(app, autoGenerateServiceInstanceId: false, serviceInstanceId: options.InstanceId ?? Environment.MachineName)
            .AddTelemetrySdk()
            .AddEnvironmentVariableDetector();
        MeterProviderBuilder meters = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource).AddMeter(Meters).AddView(Limit);
        if (hasPage)
        {
            meters.AddPrometheusExporter(prometheus => prometheus.ScopeInfoEnabled = false);
        }

        if (exports)
        {
            meters.AddOtlpExporter();
            _spans = Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource).AddSource(Telemetry.Name).AddOtlpExporter().Build();
        }

        _meters = meters.Build();
    }

    /// <summary>Adds the page for Prometheus.</summary>
    public void Serve(IApplicationBuilder web, string path) =>
        web.UseOpenTelemetryPrometheusScrapingEndpoint(_meters, predicate: null, path, configureBranchedPipeline: null, optionsName: null);

    /// <summary>Room for all series of an instrument: what is over OpenTelemetry's default of 2,000 would be lumped together.</summary>
    private MetricStreamConfiguration? Limit(Instrument instrument) =>
        instrument.Meter.Scope is Telemetry engine && engine.SeriesMax(instrument.Name) is { } most && _flows * (most + 1) > DefaultLimit
            ? new MetricStreamConfiguration { CardinalityLimit = _flows * (most + 1) }
            : null;

    public void Dispose()
    {
        _spans?.Dispose();
        _meters?.Dispose();
    }
}
