using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using KStreamSharp.Hosting;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

/// <summary>What a host serves over HTTP, beside an engine in this process.</summary>
public sealed class StatusServerTests : IDisposable
{
    private static readonly KeyedTopic<string, int> Orders = Topic.Keyed<string, int>("orders");
    private static readonly KeyedTopic<string, int?> Counts = Topic.Keyed<string, int?>("counts");
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-status-").FullName;
    private readonly EmbeddedBroker _broker = EmbeddedBroker.InMemory();
    private readonly MemorySnapshotStore _store = new();

    public StatusServerTests()
    {
        _broker.CreateTopic("orders", 2);
        _broker.CreateTopic("counts", 2);
        for (int i = 0; i < 50; i++)
        {
            _broker.Produce("orders", [(byte)i], [0, 0, 0, 1]);
        }
    }

    public void Dispose()
    {
        _broker.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task AnInstanceIsNotReadyForTheWholeOfASlowRestoreAndLive()
    {
        await RunAsync(async (engine, _) => await Until(() => engine.Status.SnapshotsPublished >= 2));
        Directory.Delete(Path.Combine(_folder, "status"), recursive: true);
        TaskCompletionSource slow = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _store.Before = (call, _) => call == "Open" ? slow.Task : Task.CompletedTask;

        await RunAsync(async (engine, client) =>
        {
            await Until(() => engine.Status.Shards is [{ Restore: not null }, { Restore: not null }]);
            Assert.Equal((HttpStatusCode.ServiceUnavailable, "not ready"), await Health(client, "ready", reason: "is restored from snapshot"));
            Assert.Equal((HttpStatusCode.OK, "live"), await Health(client, "live"));
            Assert.Equal((HttpStatusCode.OK, "started"), await Health(client, "startup"));
            JsonElement status = await client.GetFromJsonAsync<JsonElement>("/status");
            JsonElement shard = status.GetProperty("shards")[0];
            Assert.Equal("restoring", shard.GetProperty("state").GetString());
            Assert.Equal("bytes", shard.GetProperty("restore").GetProperty("unit").GetString());
            Assert.True(status.GetProperty("live").GetBoolean());
            Assert.False(status.GetProperty("ready").GetBoolean());

            Assert.Contains("\nkstream_restore_progress{", await client.GetStringAsync("/metrics"), StringComparison.Ordinal);
            slow.SetResult();
            await Until(() => engine.Status.Shards is [{ State: ShardState.Running, Lag: 0, LastSnapshot: not null }, { State: ShardState.Running, Lag: 0, LastSnapshot: not null }]);
            Assert.Equal((HttpStatusCode.OK, "ready"), await Health(client, "ready"));

            // What is over is not shown for ever; the exporter shows the page of just before again for a moment.
            await Until(async () =>
            {
                string after = await client.GetStringAsync("/metrics");
                return !after.Contains("\nkstream_restore_progress{", StringComparison.Ordinal) && after.Contains("\nkstream_restores_total{", StringComparison.Ordinal);
            });
        });
    }

    [Fact]
    public async Task TheStatusOfAnInstanceIsServedToMachinesAndPeople() => await RunAsync(async (engine, client) =>
    {
        await Until(() => engine.Status is { RecordsIn: 50, Shards: [{ Lag: 0, LastSnapshot: not null }, { Lag: 0, LastSnapshot: not null }] });
        JsonElement status = await client.GetFromJsonAsync<JsonElement>("/status");
        Assert.Equal(("status", "one", true), (status.GetProperty("app").GetString(), status.GetProperty("instance").GetString(), status.GetProperty("ready").GetBoolean()));
        Assert.Equal(50, status.GetProperty("records").GetProperty("in").GetInt64());
        Assert.Equal(2, status.GetProperty("shardsOfAll").GetInt32());
        Assert.All(status.GetProperty("shards").EnumerateArray(), shard =>
        {
            Assert.Equal(("running", 0), (shard.GetProperty("state").GetString(), shard.GetProperty("lag").GetInt64()));
            Assert.Equal(JsonValueKind.Null, shard.GetProperty("restore").ValueKind);
            Assert.True(shard.GetProperty("lastCommit").TryGetDateTimeOffset(out _));
            Assert.True(shard.GetProperty("lastSnapshot").GetProperty("bytes").GetInt64() > 0);
        });
        Assert.All(status.GetProperty("workers").EnumerateArray(), worker => Assert.True(worker.GetProperty("lastTurn").TryGetDateTimeOffset(out _)));

        using HttpResponseMessage page = await client.GetAsync("/");
        Assert.Equal("text/html", page.Content.Headers.ContentType?.MediaType);
        string html = await page.Content.ReadAsStringAsync();
        Assert.Contains("Ready.", html, StringComparison.Ordinal);
        Assert.Contains("<td>running</td>", html, StringComparison.Ordinal);
        Assert.DoesNotContain("src=", html, StringComparison.Ordinal);

        using HttpResponseMessage stranger = await client.GetAsync("/anything");
        using HttpResponseMessage writing = await client.PostAsync("/status", null);
        Assert.Equal((HttpStatusCode.NotFound, HttpStatusCode.MethodNotAllowed), (stranger.StatusCode, writing.StatusCode));
    });

    [Fact]
    public async Task BeforeTheEngineRunsItIsLiveAndNothingElse()
    {
        using StreamEngine engine = Engine();
        await using StatusServer server = await Serve(engine, new HostTelemetry("status", Options(), hasPage: true, exports: false));
        using HttpClient client = new() { BaseAddress = new Uri(server.Address) };

        Assert.Equal((HttpStatusCode.OK, "live"), await Health(client, "live"));
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "not started"), await Health(client, "startup", reason: "has not started yet"));
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "not ready"), await Health(client, "ready", reason: "has not started yet"));
    }

    [Theory]
    [InlineData(true, 1_000)]
    [InlineData(false, 1)]
    public async Task TheMetricsOfAThousandShardsAreAllThere(bool byShard, int each)
    {
        const int Shards = 1_000;
        _broker.CreateTopic("wide", Shards);
        _broker.CreateTopic("wide-out", Shards);
        KeyedTopic<string, int> wide = Topic.Keyed<string, int>("wide");
        Dataflow flow = new("wide");
        KeyedStream<string, int> input = flow.Input("in", wide).KeyOn("key", (key, _) => key);
        input.FoldFinal("one", () => 0, (sum, value) => sum + value).Output("write-one", Topic.Keyed<string, int>("wide-out"));
        input.FoldFinal("two", () => 0, (sum, value) => sum + value).Output("write-two", Topic.Keyed<string, int>("wide-out"));
        StreamOptions options = Options() with { AppId = "wide", MetricsByShard = byShard, Snapshots = null };
        using HostTelemetry telemetry = new("wide", options, hasPage: true, exports: false);
        using Instance instance = Instance.Open(flow, _broker, options, logging: null, TimeProvider.System);
        foreach (ShardFigures shard in instance.Parts.Figures)
        {
            shard.IsHere = true;
        }

        using StreamEngine engine = Engine();
        await using StatusServer server = await Serve(engine, telemetry);
        using HttpClient client = new() { BaseAddress = new Uri(server.Address) };

        string page = await client.GetStringAsync("/metrics", TestContext.Current.CancellationToken);

        Assert.DoesNotContain("otel_metric_overflow", page, StringComparison.Ordinal);
        string[] lines = [.. page.Split('\n').Where(line => line.Contains("app=\"wide\"", StringComparison.Ordinal))];
        Assert.Equal(4 * each, lines.Count(line => line.StartsWith("kstream_records_out_total{", StringComparison.Ordinal)));
        Assert.Equal(2 * each, lines.Count(line => line.StartsWith("kstream_cache_keys{", StringComparison.Ordinal)));
        Assert.Equal(Shards, lines.Count(line => line.StartsWith("kstream_changelog_records_total{", StringComparison.Ordinal)));
    }

    [Fact]
    public void AWorkerThatStaysInATurnOrAMembershipThatStandsStillIsNotLive()
    {
        DriverClock clock = new(DateTimeOffset.UnixEpoch.AddYears(50));
        EngineStatus status = new StreamEngine(Flow(), _broker, Options()).Status with
        {
            IsMember = true,
            LastMembershipTurn = clock.GetUtcNow(),
            Workers = [new WorkerStatus(0, clock.GetUtcNow(), TimeSpan.Zero), new WorkerStatus(1, null, TimeSpan.FromMinutes(6))],
        };
        RunHealth health = new("status", Options(), () => status, clock);

        Assert.Equal(["worker 1 has been in one turn for 360 s"], health.WhyNotLive());
        status = status with { Workers = [] };
        Assert.Empty(health.WhyNotLive());
        Assert.Empty(health.WhyNotReady());
        clock.Advance(TimeSpan.FromMinutes(6));
        Assert.Equal(["the loop that keeps the membership has not turned for 360 s"], health.WhyNotLive());
        status = status with { IsEnding = true };
        Assert.Equal(["the instance is ending"], health.WhyNotReady());
        status = status with { IsEnding = false, IsMember = false, InstanceId = "one" };
        Assert.Equal(["the instance is no member of its group"], health.WhyNotReady());
    }

    private static async Task<(HttpStatusCode Code, string? Status)> Health(HttpClient client, string path, string? reason = null)
    {
        using HttpResponseMessage answer = await client.GetAsync($"/health/{path}");
        JsonElement body = await answer.Content.ReadFromJsonAsync<JsonElement>();
        string?[] reasons = [.. body.GetProperty("reasons").EnumerateArray().Select(one => one.GetString())];
        if (reason is null)
        {
            Assert.Empty(reasons);
        }
        else
        {
            Assert.All(reasons, one => Assert.Contains(reason, one, StringComparison.Ordinal));
            Assert.NotEmpty(reasons);
        }

        Assert.All(body.GetProperty("shards").EnumerateArray(), shard => Assert.Equal("one", shard.GetProperty("owner").GetString()));
        return (answer.StatusCode, body.GetProperty("status").GetString());
    }

    private static Task Until(Func<bool> condition) => Until(() => Task.FromResult(condition()));

    private static async Task Until(Func<Task<bool>> condition)
    {
        using CancellationTokenSource patience = new(Patience);
        using PeriodicTimer look = new(TimeSpan.FromMilliseconds(5));
        while (!await condition())
        {
            await look.WaitForNextTickAsync(patience.Token);
        }
    }

    private static Dataflow Flow()
    {
        Dataflow flow = new("status");
        flow.Input("orders", Orders).StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("out", Counts);
        return flow;
    }

    private static Task<StatusServer> Serve(StreamEngine engine, HostTelemetry telemetry) =>
        StatusServer.StartAsync(new IPEndPoint(IPAddress.Loopback, 0), new RunHealth("status", new StreamOptions(), () => engine.Status, TimeProvider.System), telemetry);

    private async Task RunAsync(Func<StreamEngine, HttpClient, Task> test)
    {
        using CancellationTokenSource stop = new();
        using StreamEngine engine = Engine();
        using HostTelemetry telemetry = new("status", Options(), hasPage: true, exports: false);
        await using StatusServer server = await Serve(engine, telemetry);
        using HttpClient client = new() { BaseAddress = new Uri(server.Address) };
        Task running = engine.RunAsync(stop.Token);
        Task testing = test(engine, client);
        if (await Task.WhenAny(running, testing) == running)
        {
            await running;
        }

        await testing;
        await stop.CancelAsync();
        await running.WaitAsync(Patience);
    }

    private StreamEngine Engine() => new(Flow(), _broker, Options()) { LeavesGroup = true };

    private StreamOptions Options() => new()
    {
        InstanceId = "one",
        StateDir = _folder,
        Workers = 1,
        CommitInterval = TimeSpan.FromMilliseconds(20),
        BytesPerOffsetGuess = 1 << 30,
        Snapshots = new SnapshotOptions { Store = _store, Interval = TimeSpan.FromSeconds(1) },
    };
}
