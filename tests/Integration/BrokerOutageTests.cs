using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The only broker is killed under load and comes back: nobody has to be restarted, nothing is lost or doubled.</summary>
[Needs<DockerEngine>]
public sealed class BrokerOutageTests(ITestOutputHelper output) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-outage-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task InstancesOfBothProtocolsGoOnWhenTheirBrokerComesBack()
    {
        await using OwnBroker broker = await OwnBroker.Start("PLAINTEXT");
        broker.AwaitAnswer();
        KafkaGroupProtocol[] protocols = Enum.GetValues<KafkaGroupProtocol>();
        CountTopics[] applications = [.. protocols.Select(_ => new CountTopics(broker.Address, partitions: 2))];
        InstanceProcess[][] processes = [.. protocols.Select(_ => Array.Empty<InstanceProcess>())];
        try
        {
            for (int i = 0; i < protocols.Length; i++)
            {
                processes[i] = [Start(broker, applications[i], "a", protocols[i]), Start(broker, applications[i], "b", protocols[i])];
            }

            for (int i = 0; i < protocols.Length; i++)
            {
                AwaitShared(applications[i], processes[i]);
            }

            Array.ForEach(applications, application => application.Load(10_000));
            applications[0].Until(Limit, () => applications[0].Counted > 0, () => "nothing is counted", processes[0]);
            applications[1].Until(Limit, () => applications[1].Counted > 0, () => "nothing is counted", processes[1]);
            await broker.Kill();
            foreach (CountTopics application in applications)
            {
                application.ReadOn();
                output.WriteLine($"Killed when {application.Counted} of {application.Loaded} were counted.");
                Assert.True(application.Counted < application.Loaded, "the load was over before the outage");
            }

            await broker.StartAgain();
            broker.AwaitAnswer();
            for (int i = 0; i < protocols.Length; i++)
            {
                applications[i].AwaitAll(Limit, processes[i]);
                applications[i].Load(300);
                applications[i].AwaitAll(Limit, processes[i]);
                AwaitShared(applications[i], processes[i]);
                Array.ForEach(processes[i], process => process.Terminate());
                Assert.All(processes[i], process => Assert.True(process.AwaitExit(Limit) == 0, process.ToString()));
                applications[i].AssertExact();
            }
        }
        finally
        {
            foreach (InstanceProcess process in processes.SelectMany(some => some))
            {
                process.Dispose();
            }

            Array.ForEach(applications, application => application.Dispose());
        }
    }

    private static void AwaitShared(CountTopics topics, InstanceProcess[] processes) =>
        topics.Until(Limit, () => Array.TrueForAll(processes, process => process.Shards is { Length: 3 }), () => "the two do not share the shards", processes);

    private InstanceProcess Start(OwnBroker broker, CountTopics topics, string name, KafkaGroupProtocol protocol) =>
        new(topics, broker.Address, name, Path.Combine(_folder, $"{protocol}-{name}"), "--protocol", protocol.ToString());
}
