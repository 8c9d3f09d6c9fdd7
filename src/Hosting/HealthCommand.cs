using System.CommandLine;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;

namespace KStreamSharp.Hosting;

/// <summary>The command <c>health</c>: asks a host that runs on this machine whether it is ready, for containers without another client.</summary>
internal sealed class HealthCommand
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly TextWriter _output;
    private readonly HostSettings _settings = new();

    public HealthCommand(TextWriter output)
    {
        _output = output;
        Command = new Command("health", "Ask a running host whether it is ready; exit code 0 when it is, else 1.") { _settings.HttpOption };
        Command.SetAction((parsed, stop) => RunAsync(parsed, stop));
    }

    public Command Command { get; }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stop)
    {
        IPEndPoint endpoint = _settings.Read(parsed).Http
            ?? throw new UsageException("Which host? Name the address that it serves by --http ADDRESS:PORT, or by KStreamSharp:Http in the configuration.");
        using HttpClient client = new() { BaseAddress = new Uri($"http://{Reachable(endpoint)}"), Timeout = Patience };
        string said;
        bool ready = false;
        try
        {
            using HttpResponseMessage answer = await client.GetAsync("/health/ready", stop);
            JsonElement body = await answer.Content.ReadFromJsonAsync<JsonElement>(stop);
            ready = answer.IsSuccessStatusCode;
            said = ready ? "ready" : $"not ready: {string.Join("; ", body.GetProperty("reasons").EnumerateArray().Select(reason => reason.GetString()))}";
        }
        catch (Exception error) when (error is HttpRequestException or JsonException or InvalidOperationException or KeyNotFoundException || (error is OperationCanceledException && !stop.IsCancellationRequested))
        {
            said = $"not ready: nothing answers at {endpoint}: {(error is OperationCanceledException ? $"no answer within {Patience.TotalSeconds:0} s" : error.Message)}";
        }

        _output.WriteLine(said);
        return ready ? 0 : 1;
    }

    /// <summary>Every address of this machine is not one that can be called.</summary>
    private static string Reachable(IPEndPoint endpoint) =>
        endpoint.Address.Equals(IPAddress.Any) ? $"{IPAddress.Loopback}:{endpoint.Port}"
        : endpoint.Address.Equals(IPAddress.IPv6Any) ? $"localhost:{endpoint.Port}"
        : endpoint.ToString();
}
