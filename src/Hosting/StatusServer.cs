using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace KStreamSharp.Hosting;

/// <summary>Serves health, status and metrics of a run over HTTP, at an address and port of its own. Everything can be read, nothing be changed.</summary>
internal sealed class StatusServer : IAsyncDisposable
{
    private readonly WebApplication _web;

    private StatusServer(WebApplication web) => _web = web;

    /// <summary>Where it serves, with the port that it has got when 0 was asked for.</summary>
    public string Address => _web.Urls.First();

    /// <exception cref="UsageException">The address or the port cannot be had.</exception>
    public static Task<StatusServer> StartAsync(IPEndPoint endpoint, RunHealth run, HostTelemetry telemetry)
    {
        RunHealth[] only = [run];
        return StartAsync(endpoint, () => only, telemetry);
    }

    /// <summary>For several flows in one process: those that still run.</summary>
    /// <inheritdoc cref="StartAsync(IPEndPoint, RunHealth, HostTelemetry)"/>
    public static async Task<StatusServer> StartAsync(IPEndPoint endpoint, Func<IReadOnlyList<RunHealth>> runs, HostTelemetry telemetry)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            if (endpoint.Address.Equals(IPAddress.IPv6Any))
            {
                // Also where the machine has IPv4 alone.
                kestrel.ListenAnyIP(endpoint.Port);
            }
            else
            {
                kestrel.Listen(endpoint);
            }
        });

        // Signals are the runner's: what is served goes on until the instance has ended.
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        WebApplication web = builder.Build();
        telemetry.Serve(web, "/metrics");
        web.Run(context => AnswerAsync(context, runs()));
        try
        {
            await web.StartAsync();
        }
        catch (Exception error) when (error is IOException or SocketException)
        {
            await web.DisposeAsync();
            throw new UsageException($"--http {endpoint}: nothing can be served there: {Cause(error)} Give it another address or port.", error);
        }

        return new StatusServer(web);
    }

    public ValueTask DisposeAsync() => _web.DisposeAsync();

    private static Task AnswerAsync(HttpContext context, IReadOnlyList<RunHealth> runs)
    {
        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
        {
            context.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            return Task.CompletedTask;
        }

        switch (context.Request.Path.Value)
        {
            case "/health/live":
                return HealthAsync(context, runs, "live", static run => run.WhyNotLive());
            case "/health/startup":
                return HealthAsync(context, runs, "started", static run => run.WhyNotStarted());
            case "/health/ready":
                return HealthAsync(context, runs, "ready", static run => run.WhyNotReady());
            case "/status":
                return JsonAsync(context, runs is [{ } only] ? StatusPage.Json(only) : new { flows = runs.Select(StatusPage.Json) });
            case "/":
                context.Response.ContentType = "text/html; charset=utf-8";
                return context.Response.WriteAsync(string.Concat(runs.Select(StatusPage.Html)), context.RequestAborted);
            default:
                context.Response.StatusCode = StatusCodes.Status404NotFound;
                return JsonAsync(context, new { error = "There are: /, /status, /health/live, /health/startup, /health/ready, /metrics." });
        }
    }

    /// <summary>Of several flows each must be so.</summary>
    private static Task HealthAsync(HttpContext context, IReadOnlyList<RunHealth> runs, string word, Func<RunHealth, IReadOnlyList<string>> why)
    {
        string[] reasons = [.. runs.SelectMany(why, (run, reason) => runs.Count == 1 ? reason : $"flow {run.Flow}: {reason}")];
        context.Response.StatusCode = reasons.Length == 0 ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        return JsonAsync(context, new { status = reasons.Length == 0 ? word : $"not {word}", reasons, shards = runs.SelectMany(run => StatusPage.Shards(run.Status)) });
    }

    private static Task JsonAsync(HttpContext context, object body)
    {
        context.Response.Headers.CacheControl = "no-store";
        return context.Response.WriteAsJsonAsync(body, body.GetType(), JsonSerializerOptions.Web, context.RequestAborted);
    }

    private static string Cause(Exception error) => error.GetBaseException() is SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse }
        ? "the port is in use."
        : error.GetBaseException().Message.TrimEnd('.') + ".";

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
