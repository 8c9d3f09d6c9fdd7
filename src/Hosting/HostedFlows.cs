using System.Net;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>
/// The flows inside one application of a user: one HTTP server serves all of them, and the application ends when the last one
/// is done, or the first one fails.
/// </summary>
internal sealed class HostedFlows(ILoggerFactory logging, IHostApplicationLifetime application, IHostEnvironment environment)
{
    private readonly Lock _gate = new();
    private readonly List<HostedFlow> _flows = [];
    private readonly List<HostedFlow> _running = [];
    private readonly ILogger _log = logging.CreateLogger("KStreamSharp");
    private Task? _begun;
    private HostTelemetry? _telemetry;
    private StatusServer? _server;
    private bool _hasFailed;

    /// <summary>The container makes all flows before it starts the first one.</summary>
    public void Add(HostedFlow flow)
    {
        _flows.Add(flow);
        _running.Add(flow);
    }

    /// <summary>Before a flow starts: looks whether they can run together, and serves; once for all.</summary>
    /// <exception cref="UsageException">Two flows are one application, or nothing can be served.</exception>
    public Task BeginAsync()
    {
        lock (_gate)
        {
            return _begun ??= BeginAllAsync();
        }
    }

    /// <summary>A flow is done, was stopped, or has failed.</summary>
    public async Task EndAsync(HostedFlow flow, Exception? failure)
    {
        int left;
        lock (_gate)
        {
            _running.Remove(flow);
            left = _running.Count;
            if (failure is not null && !_hasFailed)
            {
                // The others, which are stopped then, may fail by that.
                _hasFailed = true;
                Environment.ExitCode = (int)(failure is StreamException known ? known.Code : failure is UsageException ? ExitCode.Usage : ExitCode.Internal);
            }
        }

        if (failure is not null)
        {
            _log.LogCritical(failure, "Flow {Flow} has failed: {Reason}", flow.Id, failure.Message);
        }
        else if (left > 0 && !application.ApplicationStopping.IsCancellationRequested)
        {
            _log.LogInformation("Flow {Flow} is done; flows that still run: {Left}.", flow.Id, left);
        }

        if (left == 0)
        {
            await (_server?.DisposeAsync() ?? ValueTask.CompletedTask);
            _telemetry?.Dispose();
        }

        if (left == 0 || failure is not null)
        {
            application.StopApplication();
        }
    }

    private async Task BeginAllAsync()
    {
        if (_flows.GroupBy(flow => flow.App, StringComparer.Ordinal).FirstOrDefault(same => same.Count() > 1) is { } shared)
        {
            string ids = string.Join(" and ", shared.Select(flow => $"'{flow.Id}'"));
            throw new UsageException(
                $"AppId is one name, and this application runs flows {ids} as '{shared.Key}': each needs a group, topics and a state folder of its own. "
                + "Leave AppId out, or give each flow StreamOptions with an AppId of its own in AddKStreamSharp.");
        }

        if (_flows[0] is not { Http: { } endpoint } first)
        {
            return;
        }

        _telemetry = new HostTelemetry(_flows.Count > 1 && environment.ApplicationName is { Length: > 0 } name ? name : first.App, first.Options, hasPage: true, exports: false, _flows.Count);
        _server = await StatusServer.StartAsync(endpoint, Running, _telemetry);
    }

    private RunHealth[] Running()
    {
        lock (_gate)
        {
            return [.. _running.Select(flow => flow.Health)];
        }
    }
}

/// <summary>A flow that runs inside an application of a user.</summary>
internal sealed class HostedFlow : BackgroundService
{
    private readonly Dataflow _flow;
    private readonly Broker _broker;
    private readonly string? _statefulSet;
    private readonly bool _createTopics;
    private readonly ILoggerFactory _logging;
    private readonly ILogger _log;
    private readonly HostedFlows _all;
    private volatile StreamEngine? _engine;

    public HostedFlow(Dataflow flow, Broker broker, StreamOptions options, HostOptions host, ILoggerFactory logging, HostedFlows all)
    {
        _flow = flow;
        _broker = broker;
        Options = options;
        Http = host.Http;
        _statefulSet = host.StatefulSet;
        _createTopics = host.CreateTopics;
        _logging = logging;
        _log = logging.CreateLogger("KStreamSharp");
        _all = all;
        Health = new RunHealth(flow.Id, options, () => _engine?.Status ?? StreamEngine.NotStarted, TimeProvider.System);
        all.Add(this);
    }

    public string Id => _flow.Id;

    public string App => Options.AppId ?? _flow.Id;

    public StreamOptions Options { get; }

    /// <summary>Where the configuration wants health, status and metrics of all flows; null for nowhere.</summary>
    public IPEndPoint? Http { get; }

    public RunHealth Health { get; }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        Exception? failure = null;
        try
        {
            await _all.BeginAsync();
            await BrokerCalls.AwaitAnswerAsync(_broker, _flow, stoppingToken);
            if (_broker is EmbeddedBroker || _createTopics)
            {
                FlowTopics.Make(_flow, _broker, Options);
            }

            if (_log.IsEnabled(LogLevel.Information))
            {
                _log.LogInformation("{Start}", FlowTopics.StartLine(_flow, _broker, Options));
            }

            await using BrokerPipe? pipe = BrokerPipe.Serve(_broker, _log);
            using StreamEngine engine = new(_flow, _broker, Options, _logging) { AsksToLeave = ScaleIn.Question(_statefulSet, Options, _logging) };
            _engine = engine;
            await engine.RunAsync(stoppingToken);
        }
        catch (OperationCanceledException) when (_engine is null && stoppingToken.IsCancellationRequested)
        {
            // Asked to end before the broker had answered.
        }
        catch (Exception error)
        {
            failure = error;
        }

        await _all.EndAsync(this, failure);
    }
}
