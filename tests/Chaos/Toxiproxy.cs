using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;

namespace KStreamSharp.Tests.Chaos;

/// <summary>A toxiproxy-server of this run's own: one proxy per instance and broker, made slow, narrow, deaf or closed by its API.</summary>
internal sealed class Toxiproxy : IDisposable
{
    private const string Binary = "toxiproxy-server";

    private readonly Process _process;
    private readonly HttpClient _http;

    private Toxiproxy(Process process, int port)
    {
        _process = process;
        _http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}"), Timeout = TimeSpan.FromSeconds(10) };
    }

    /// <summary>The binary: as given, else by <c>KSTREAM_TOXIPROXY</c>, else on the PATH; null when there is none.</summary>
    public static string? Find(string? given)
    {
        string? named = given ?? Environment.GetEnvironmentVariable("KSTREAM_TOXIPROXY");
        return named is { Length: > 0 }
            ? named
            : (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(folder => Path.Combine(folder, Binary)).FirstOrDefault(File.Exists);
    }

    public static async Task<Toxiproxy> StartAsync(string binary, CancellationToken stop)
    {
        int port = FreePort();
        ProcessStartInfo start = new(binary, ["-host", "127.0.0.1", "-port", port.ToString(CultureInfo.InvariantCulture)])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Process process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        Toxiproxy server = new(process, port);
        for (int i = 0; ; i++)
        {
            try
            {
                await server._http.GetStringAsync(new Uri("/version", UriKind.Relative), stop);
                return server;
            }
            catch (HttpRequestException) when (i < 100 && !process.HasExited)
            {
                await Task.Delay(100, stop);
            }
        }
    }

    /// <summary>Makes a proxy in front of a port of this machine; answers the port it listens at.</summary>
    public async Task<int> AddAsync(string name, int upstream, CancellationToken stop)
    {
        using HttpResponseMessage made = await _http.PostAsJsonAsync("/proxies", new { name, listen = "127.0.0.1:0", upstream = $"127.0.0.1:{upstream}", enabled = true }, stop);
        JsonElement answer = await AnswerAsync(made, stop);
        return int.Parse(answer.GetProperty("listen").GetString()!.Split(':')[^1], CultureInfo.InvariantCulture);
    }

    /// <summary>Puts a toxic on a proxy, and looks whether it is there.</summary>
    public async Task<bool> PoisonAsync(string proxy, string type, string stream, object attributes, CancellationToken stop)
    {
        using HttpResponseMessage made = await _http.PostAsJsonAsync(
            $"/proxies/{proxy}/toxics", new { name = $"{type}-{stream}", type, stream, toxicity = 1.0, attributes }, stop);
        await AnswerAsync(made, stop);
        JsonElement toxics = await _http.GetFromJsonAsync<JsonElement>($"/proxies/{proxy}/toxics", stop);
        return toxics.EnumerateArray().Any(toxic => toxic.GetProperty("name").GetString() == $"{type}-{stream}");
    }

    /// <summary>Opens or closes a proxy; true when its state is told to be so.</summary>
    public async Task<bool> EnableAsync(string proxy, bool enabled, CancellationToken stop)
    {
        using HttpResponseMessage changed = await _http.PostAsJsonAsync($"/proxies/{proxy}", new { enabled }, stop);
        await AnswerAsync(changed, stop);
        JsonElement now = await _http.GetFromJsonAsync<JsonElement>($"/proxies/{proxy}", stop);
        return now.GetProperty("enabled").GetBoolean() == enabled;
    }

    /// <summary>Takes all toxics of a proxy away and opens it.</summary>
    public async Task HealAsync(string proxy, CancellationToken stop)
    {
        JsonElement toxics = await _http.GetFromJsonAsync<JsonElement>($"/proxies/{proxy}/toxics", stop);
        foreach (JsonElement toxic in toxics.EnumerateArray())
        {
            using HttpResponseMessage gone = await _http.DeleteAsync(new Uri($"/proxies/{proxy}/toxics/{toxic.GetProperty("name").GetString()}", UriKind.Relative), stop);
            gone.EnsureSuccessStatusCode();
        }

        await EnableAsync(proxy, true, stop);
    }

    public void Dispose()
    {
        _http.Dispose();
        if (!_process.HasExited)
        {
            _process.Kill();
            _process.WaitForExit();
        }

        _process.Dispose();
    }

    public static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>A port that no outgoing connection is given while nobody listens at it.</summary>
    public static int LastingPort()
    {
        while (true)
        {
            int port = Random.Shared.Next(20_000, 32_000);
            try
            {
                using TcpListener listener = new(IPAddress.Loopback, port);
                listener.Start();
                return port;
            }
            catch (SocketException)
            {
                // Taken: another one.
            }
        }
    }

    private static async Task<JsonElement> AnswerAsync(HttpResponseMessage response, CancellationToken stop)
    {
        string text = await response.Content.ReadAsStringAsync(stop);
        return response.IsSuccessStatusCode
            ? JsonSerializer.Deserialize<JsonElement>(text)
            : throw new InvalidOperationException($"toxiproxy refuses: {(int)response.StatusCode} {text}");
    }
}
