using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Health, status and metrics of a host's process, and the command that asks for them.</summary>
public sealed partial class HttpTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task AHostServesHealthStatusAndMetricsUntilItHasEnded()
    {
        Directory.CreateDirectory(_folder.File("snapshots"));
        using HostProcess host = Start("run count --generate 1000 --shards 2 --snapshots snapshots --snapshot-interval 1s --http 127.0.0.1:0");
        using HttpClient client = await Client(host);
        JsonElement status = await Until(client, "/status", body => body.GetProperty("records").GetProperty("in").GetInt64() == 1000 && Shards(body).All(shard => shard.GetProperty("lag").ValueKind == JsonValueKind.Number && shard.GetProperty("lastSnapshot").ValueKind == JsonValueKind.Object));
        Assert.Equal(2, Shards(status).Count());
        Assert.All(Shards(status), shard => Assert.Equal("running", shard.GetProperty("state").GetString()));
        foreach (string path in (string[])["live", "startup", "ready"])
        {
            Assert.Equal(HttpStatusCode.OK, (await client.GetAsync($"/health/{path}", TestContext.Current.CancellationToken)).StatusCode);
        }

        using (HostProcess health = Start($"health --http {client.BaseAddress!.Authority}"))
        {
            Assert.Equal((0, "ready\n"), (await health.ExitAsync(), health.Output));
        }

        // RocksDB's figures come with the second look.
        await client.GetStringAsync("/metrics", TestContext.Current.CancellationToken);
        string metrics = await Metrics(client, text => text.Contains("\nkstream_state_keys{", StringComparison.Ordinal));
        Assert.Equal(1000, Regex.Matches(metrics, @"^kstream_records_in_total\{[^}]*step=""in""[^}]*\} (\d+)", RegexOptions.Multiline).Sum(match => int.Parse(match.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture)));
        string[] served = [.. Families().Matches(metrics).Select(match => match.Groups[1].Value)];
        string[] listed = [.. Listed().Matches(Page()).Select(match => match.Groups[1].Value)];
        Assert.Empty(served.Except(listed));

        // Nothing was restored while it was looked at, and nothing has a time to go.
        Assert.Equal(["kstream_restore_progress", "kstream_restore_remaining_seconds"], listed.Except(served));

        host.Terminate();
        Assert.Equal(0, await host.ExitAsync());
        using HostProcess after = Start($"health --http {client.BaseAddress.Authority}");
        Assert.Equal(1, await after.ExitAsync());
        Assert.StartsWith($"not ready: nothing answers at {client.BaseAddress.Authority}", after.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task APortInUseIsAMistakeOfTheUser()
    {
        using TcpListener taken = new(IPAddress.Loopback, 0);
        taken.Start();
        using HostProcess host = Start($"run count --http {taken.LocalEndpoint}");
        Assert.Equal((int)ExitCode.Usage, await host.ExitAsync());
        Assert.Equal($"--http {taken.LocalEndpoint}: nothing can be served there: the port is in use. Give it another address or port.", host.Errors.TrimEnd());
    }

    [Fact]
    public async Task TheEnvironmentNamesTheAddressToo()
    {
        using HostProcess host = HostProcess.Start(_folder.Path, "run count --generate 10", ("KStreamSharp__Http", "127.0.0.1:0"));
        using HttpClient client = await Client(host);
        await Until(client, "/health/ready", body => body.GetProperty("status").GetString() == "ready");

        using HostProcess health = HostProcess.Start(_folder.Path, "health", ("KStreamSharp__Http", client.BaseAddress!.Authority));
        Assert.Equal((0, "ready\n"), (await health.ExitAsync(), health.Output));
    }

    private static IEnumerable<JsonElement> Shards(JsonElement status) => status.GetProperty("shards").EnumerateArray();

    private static async Task<HttpClient> Client(HostProcess host) =>
        new() { BaseAddress = new Uri((await host.LineAsync("Health, status and metrics: "))["Health, status and metrics: ".Length..]) };

    private static async Task<JsonElement> Until(HttpClient client, string path, Func<JsonElement, bool> condition)
    {
        JsonElement body = default;
        await Until(client, path, text =>
        {
            using JsonDocument document = JsonDocument.Parse(text);
            body = document.RootElement.Clone();
            return condition(body);
        });
        return body;
    }

    private static Task<string> Metrics(HttpClient client, Func<string, bool> condition) => Until(client, "/metrics", condition);

    private static async Task<string> Until(HttpClient client, string path, Func<string, bool> condition)
    {
        using CancellationTokenSource patience = new(Patience);
        using PeriodicTimer look = new(TimeSpan.FromMilliseconds(20));
        while (true)
        {
            using HttpResponseMessage answer = await client.GetAsync(path, patience.Token);
            string text = await answer.Content.ReadAsStringAsync(patience.Token);
            if (condition(text))
            {
                return text;
            }

            await look.WaitForNextTickAsync(patience.Token);
        }
    }

    private static string Page()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "KStreamSharp.sln")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return File.ReadAllText(Path.Combine(folder!, "docs", "telemetry.md"));
    }

    private HostProcess Start(string arguments) => HostProcess.Start(_folder.Path, arguments);

    [GeneratedRegex(@"^# TYPE (kstream_\w+) ", RegexOptions.Multiline)]
    private static partial Regex Families();

    [GeneratedRegex(@"^\| `kstream\.[\w.]+` \| `(kstream_\w+)` \|", RegexOptions.Multiline)]
    private static partial Regex Listed();
}
