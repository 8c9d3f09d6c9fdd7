using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using KStreamSharp.Hosting;
using KStreamSharp.Tests.Runtime;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

public sealed class KStreamServicesTests : IDisposable
{
    private static readonly ValueTopic<string> In = Topic.Values<string>("in");
    private static readonly ValueTopic<string> Out = Topic.Values<string>("out");

    private readonly Lines _log = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-services-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task AFlowRunsInsideAnApplicationAndAFiniteRunEndsIt()
    {
        using IHost app = Application(word => word + "!", ("StateDir", _folder), ("UntilEnd", "true"));
        await app.RunAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);

        using EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(_folder, "broker"));
        Assert.Equal("hello!"u8.ToArray(), Assert.Single(broker.ReadAll(Out.Name)).Value);
    }

    [Fact]
    public async Task AFlowThatFailsStopsTheApplicationWithItsExitCode()
    {
        int before = Environment.ExitCode;
        try
        {
            using IHost app = Application(_ => throw new InvalidOperationException("broken"), ("StateDir", _folder));
            await app.RunAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
            Assert.Equal((int)ExitCode.UserCode, Environment.ExitCode);
        }
        finally
        {
            Environment.ExitCode = before;
        }
    }

    [Fact]
    public void TheClusterThatTheConfigurationNamesIsTheBroker()
    {
        using IHost app = Application(word => word, ("StateDir", _folder), ("Kafka:BootstrapServers", "127.0.0.1:1"), ("Kafka:Settings:client.id", "mine"));
        Assert.IsType<KafkaBroker>(app.Services.GetRequiredService<Broker>());
    }

    [Fact]
    public async Task AnApplicationThatStopsBeforeTheBrokerAnswersDoesNotFail()
    {
        // The address is held, and nobody answers there.
        using TcpListener silent = new(IPAddress.Loopback, 0);
        silent.Start();
        using IHost app = Application(word => word, ("StateDir", _folder), ("Kafka:BootstrapServers", silent.LocalEndpoint.ToString()!));
        await app.StartAsync(TestContext.Current.CancellationToken);
        using Socket asked = await silent.AcceptSocketAsync(TestContext.Current.CancellationToken);
        await app.StopAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        Assert.DoesNotContain(_log.All, line => line.Contains("has failed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task AnApplicationThatStopsAsksWhetherItsPodComesBack()
    {
        TaskCompletionSource seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using IHost app = Application(
            word =>
            {
                seen.TrySetResult();
                return word;
            },
            ("StateDir", _folder),
            ("InstanceId", "laptop"),
            ("Kubernetes:StatefulSet", "flights"),
            ("Broker", "embedded"));
        await app.StartAsync(TestContext.Current.CancellationToken);
        await seen.Task.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        Assert.DoesNotContain(_log.All, line => line.StartsWith("Warning", StringComparison.Ordinal));
        await app.StopAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);

        Assert.Equal(
            ["Warning 105: Whether StatefulSet flights keeps instance laptop could not be asked, so it stays a member until its session times out: the id of a pod of it is flights-N."],
            _log.All.Where(line => line.StartsWith("Warning", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task AFiniteFlowThatIsDoneLeavesTheOthersRunning()
    {
        using IHost app = Application(
            [
                (Copy("finite", word => word + "!"), Options() with { UntilEnd = true }),
                (Copy("endless", word => word + "?", "more", "more-out"), Options()),
            ]);
        await app.StartAsync(TestContext.Current.CancellationToken);
        EmbeddedBroker broker = (EmbeddedBroker)app.Services.GetRequiredService<Broker>();
        await Until(() => _log.All.Any(line => line.Contains("Flow finite is done; flows that still run: 1.", StringComparison.Ordinal)));
        Assert.Equal("hello!"u8.ToArray(), Assert.Single(broker.ReadAll(Out.Name)).Value);
        await Until(() => broker.DescribeTopic("more") is not null);
        broker.Produce("more", null, "there"u8.ToArray());
        await Until(() => broker.ReadAll("more-out").Count == 1);
        Assert.False(app.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested);
        await app.StopAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task TheApplicationEndsWhenAllFiniteFlowsAreDone()
    {
        using IHost app = Application(
            [
                (Copy("one", word => word + "!"), Options() with { UntilEnd = true }),
                (Copy("two", word => word + "?", "in", "two-out"), Options() with { UntilEnd = true }),
            ]);
        await app.RunAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        using EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(_folder, "broker"));
        Assert.Equal(("hello!", "hello?"), (Text(broker, "out"), Text(broker, "two-out")));
    }

    [Fact]
    public async Task AFlowThatFailsBesideOthersStopsTheApplicationWithItsExitCode()
    {
        int before = Environment.ExitCode;
        try
        {
            using IHost app = Application(
                [
                    (Copy("good", word => word, "more", "more-out"), Options()),
                    (Copy("bad", _ => throw new InvalidOperationException("broken")), Options() with { UntilEnd = true }),
                ]);
            await app.RunAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
            Assert.Equal((int)ExitCode.UserCode, Environment.ExitCode);
        }
        finally
        {
            Environment.ExitCode = before;
        }
    }

    [Fact]
    public async Task OneApplicationIdForTwoFlowsIsRefused()
    {
        int before = Environment.ExitCode;
        try
        {
            using IHost app = Application([(Copy("flow-a", word => word), null), (Copy("flow-b", word => word), null)], ("StateDir", _folder), ("AppId", "shop"));
            await app.RunAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
            Assert.Equal((int)ExitCode.Usage, Environment.ExitCode);
            Assert.Contains(
                _log.All,
                line => line.Contains("AppId is one name, and this application runs flows 'flow-a' and 'flow-b' as 'shop'", StringComparison.Ordinal)
                    && line.Contains("in AddKStreamSharp", StringComparison.Ordinal));
            Assert.False(Directory.Exists(Path.Combine(_folder, "shop")));
        }
        finally
        {
            Environment.ExitCode = before;
        }
    }

    [Fact]
    public async Task OneServerServesAllFlows()
    {
        int port = FreePort();
        using IHost app = Application(
            [(Copy("flow-a", word => word), null), (Copy("flow-b", word => word, "more", "more-out"), null)], ("StateDir", _folder), ("Http", $"127.0.0.1:{port}"));
        await app.StartAsync(TestContext.Current.CancellationToken);
        using HttpClient client = new() { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        await UntilAsync(async () =>
        {
            try
            {
                return (await client.GetAsync("/health/ready", TestContext.Current.CancellationToken)).IsSuccessStatusCode;
            }
            catch (HttpRequestException)
            {
                // It is not served yet.
                return false;
            }
        });
        using JsonDocument status = JsonDocument.Parse(await client.GetStringAsync("/status", TestContext.Current.CancellationToken));
        Assert.Equal(["flow-a", "flow-b"], status.RootElement.GetProperty("flows").EnumerateArray().Select(flow => flow.GetProperty("flow").GetString()));
        string page = await client.GetStringAsync("/", TestContext.Current.CancellationToken);
        Assert.Contains("Flow flow-a", page, StringComparison.Ordinal);
        Assert.Contains("Flow flow-b", page, StringComparison.Ordinal);
        await app.StopAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetAsync("/status", TestContext.Current.CancellationToken));
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static string Text(EmbeddedBroker broker, string topic) => Encoding.UTF8.GetString(Assert.Single(broker.ReadAll(topic)).Value!);

    private static Task Until(Func<bool> condition) => UntilAsync(() => Task.FromResult(condition()));

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(60));
        while (!await condition())
        {
            await Task.Delay(10, limit.Token);
        }
    }

    private static Dataflow Copy(string id, Func<string, string> map, string from = "in", string to = "out")
    {
        Dataflow flow = new(id);
        flow.Input("in", Topic.Values<string>(from)).Map("map", map).Output("out", Topic.Values<string>(to));
        return flow;
    }

    private StreamOptions Options() => new() { StateDir = _folder };

    private IHost Application((Dataflow Flow, StreamOptions? Options)[] flows, params (string Key, string Value)[] configured)
    {
        HostApplicationBuilder builder = Builder(configured.Length == 0 ? [("StateDir", _folder)] : configured);
        foreach ((Dataflow flow, StreamOptions? options) in flows)
        {
            builder.Services.AddKStreamSharp(_ => flow, options);
        }

        return builder.Build();
    }

    private IHost Application(Func<string, string> map, params (string Key, string Value)[] configured)
    {
        HostApplicationBuilder builder = Builder(configured);
        builder.Services.AddKStreamSharp(_ => Copy("inside", map));
        return builder.Build();
    }

    private HostApplicationBuilder Builder((string Key, string Value)[] configured)
    {
        using (EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(_folder, "broker")))
        {
            broker.CreateTopic(In.Name, 1);
            broker.Produce(In.Name, null, "hello"u8.ToArray());
        }

        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Configuration.AddInMemoryCollection(configured.Select(entry => KeyValuePair.Create<string, string?>($"KStreamSharp:{entry.Key}", entry.Value)));
        builder.Logging.ClearProviders().AddProvider(_log);
        return builder;
    }
}
