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
    public static async Task<StatusServer> StartAsync(IPEndPoint endpoint, RunHealth run, HostTelemetry telemetry)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Listen(endpoint);
        });

        // Signals are the runner's: what is served goes on until the instance has ended.
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        WebApplication web = builder.Build();
        telemetry.Serve(web, "/metrics");
        web.Run(context => AnswerAsync(context, run));
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

    private static Task AnswerAsync(HttpContext context, RunHealth run)
    {
        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
        {
            context.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            return Task.CompletedTask;
        }

        switch (context.Request.Path.Value)
        {
            case "/health/live":
                return HealthAsync(context, run, "live", run.WhyNotLive());
            case "/health/startup":
                return HealthAsync(context, run, "started", run.WhyNotStarted());
            case "/health/ready":
                return HealthAsync(context, run, "ready", run.WhyNotReady());
            case "/status":
                return JsonAsync(context, StatusPage.Json(run));
            case "/":
                context.Response.ContentType = "text/html; charset=utf-8";
                return context.Response.WriteAsync(StatusPage.Html(run), context.RequestAborted);
            default:
                context.Response.StatusCode = StatusCodes.Status404NotFound;
                return JsonAsync(context, new { error = "There are: /, /status, /health/live, /health/startup, /health/ready, /metrics." });
        }
    }

    private static Task HealthAsync(HttpContext context, RunHealth run, string word, IReadOnlyList<string> reasons)
    {
        context.Response.StatusCode = reasons.Count == 0 ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        return JsonAsync(context, new { status = reasons.Count == 0 ? word : $"not {word}", reasons, shards = StatusPage.Shards(run.Status) });
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
