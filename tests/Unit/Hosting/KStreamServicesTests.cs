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
            ("Kubernetes:StatefulSet", "flights"));
        await app.StartAsync(TestContext.Current.CancellationToken);
        await seen.Task.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        Assert.DoesNotContain(_log.All, line => line.StartsWith("Warning", StringComparison.Ordinal));
        await app.StopAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);

        Assert.Equal(
            ["Warning 105: Whether StatefulSet flights keeps instance laptop could not be asked, so it stays a member until its session times out: the id of a pod of it is flights-N."],
            _log.All.Where(line => line.StartsWith("Warning", StringComparison.Ordinal)));
    }

    private IHost Application(Func<string, string> map, params (string Key, string Value)[] configured)
    {
        using (EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(_folder, "broker")))
        {
            broker.CreateTopic(In.Name, 1);
            broker.Produce(In.Name, null, "hello"u8.ToArray());
        }

        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Configuration.AddInMemoryCollection(configured.Select(entry => KeyValuePair.Create<string, string?>($"KStreamSharp:{entry.Key}", entry.Value)));
        builder.Logging.ClearProviders().AddProvider(_log);
        builder.Services.AddKStreamSharp(_ =>
        {
            Dataflow flow = new("inside");
            flow.Input("in", In).Map("map", map).Output("out", Out);
            return flow;
        });
        return builder.Build();
    }
}
