using System.Globalization;
using System.Text.Json;
using KStreamSharp.Flows.Flights;
using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The host as a user starts it, on Kafka: processes of its own, each with a state folder of its own.</summary>
[Needs<KafkaCluster>]
public sealed class HostOnKafkaTests(KafkaCluster cluster) : IDisposable
{
    private const int FlightsOfJanuary = 27_004;

    private readonly TempFolder _folder = new();
    private readonly string _name = $"host-{Guid.NewGuid().ToString("N")[..12]}";
    private readonly List<HostProcess> _processes = [];

    public void Dispose()
    {
        foreach (HostProcess process in _processes)
        {
            process.Dispose();
        }

        _folder.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task TheFiniteRunGivesTheTableOfAPlainComputationInEveryProcess(int processes)
    {
        await LoadFlights();
        HostProcess[] hosts = [.. Enumerable.Range(0, processes).Select(i => RunFlights($"p{i}", $"--until-end --report json --summary p{i}.json"))];
        for (int i = 0; i < processes; i++)
        {
            Assert.Equal(0, await hosts[i].ExitAsync());
            CheckTable($"p{i}.json");
        }

        // What a rebalance aborts is processed, and counted, once more.
        long records = hosts.Sum(host => Report(host).GetProperty("records").GetInt64());
        Assert.InRange(records, FlightsOfJanuary, processes == 1 ? FlightsOfJanuary : long.MaxValue);
        Assert.Equal(PlainSummary.OfJanuary().Count, CountRecords($"{_name}-summary"));
    }

    [Fact]
    public async Task TheFiniteRunEndsWithTheSameTableWhenAProcessIsKilledInTheMiddle()
    {
        await LoadFlights();
        HostProcess killed = RunFlights("killed", "--until-end --report json");
        HostProcess[] others = [.. Enumerable.Range(0, 2).Select(i => RunFlights($"p{i}", $"--until-end --report json --summary p{i}.json"))];
        using (KafkaBroker broker = NewBroker())
        {
            // Its transactions have begun to be committed: somewhere in the middle.
            await Until(() => broker.DescribeTopic($"{_name}-changelog") is not null && EndOffsets(broker, $"{_name}-changelog") > 10);
        }

        killed.Kill();
        for (int i = 0; i < others.Length; i++)
        {
            Assert.Equal(0, await others[i].ExitAsync());
            CheckTable($"p{i}.json");
        }

        Assert.Equal(PlainSummary.OfJanuary().Count, CountRecords($"{_name}-summary"));
    }

    [Fact]
    public async Task ALoadThatWasKilledGoesOnExactlyWhereItStopped()
    {
        HostProcess cut = Start($"load flights {Kafka} --input {_name}");
        using KafkaBroker broker = NewBroker();
        await Until(() => broker.DescribeTopic(_name) is not null && EndOffsets(broker, _name) > 0);
        cut.Kill();
        await cut.ExitAsync();

        await LoadFlights();
        HostProcess again = Start($"load flights {Kafka} --input {_name}");
        Assert.Equal(0, await again.ExitAsync());
        Assert.Contains($"Topic {_name}: all 27,004 rows of flights-2013-01.csv.gz are there already", again.Output, StringComparison.Ordinal);
        Assert.Equal(FlightsOfJanuary, EndOffsets(broker, _name));
    }

    [Fact]
    public async Task TheLiveFlowShowsLinesAndEndsInOrderWhenAsked()
    {
        await LoadFlights();
        HostProcess host = RunFlights("live", "");
        await host.LineAsync(" UTC  27,004 flights  ");
        host.Terminate();
        await host.ExitAsync().WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);

        Assert.Equal((0, ""), (await host.ExitAsync(), host.Errors));
        string all = host.Output.Split('\n').Single(line => line.StartsWith("  all ", StringComparison.Ordinal));
        Assert.Contains("27,004", all, StringComparison.Ordinal);
    }

    [Fact]
    public async Task GeneratedRecordsAreCountedToTheLastAndReported()
    {
        HostProcess host = Start($"run count {Kafka} --app-id {_name} --input {_name} --output {_name}-out --shards 3 --generate 20000 --until-end --report json --state-dir s");
        Assert.Equal((0, ""), (await host.ExitAsync(), host.Errors));

        JsonElement report = Report(host);
        Assert.True(report.GetProperty("done").GetBoolean());
        Assert.Equal(20_000, report.GetProperty("records").GetInt64());
        Assert.True(report.GetProperty("seconds").GetDouble() > 0);
        Assert.True(report.GetProperty("cpu_s_per_million").GetDouble() > 0);
        Assert.Equal(20_000, CountRecords($"{_name}-out"));
        using KafkaBroker broker = NewBroker();
        Assert.Equal((3, 3), (broker.DescribeTopic(_name)!.Partitions, broker.DescribeTopic($"{_name}-out")!.Partitions));
    }

    [Theory]
    [InlineData("run flights {0} --input no-such-topic", "Topic 'no-such-topic' does not exist. Fill it first: load flights --kafka")]
    [InlineData("run count {0} --input no-such-topic", "Topic 'no-such-topic' does not exist. Create it, name another by --input, or let --generate N make and fill it.")]
    public async Task AnInputThatIsMissingIsNamedWithTheFix(string arguments, string message)
    {
        HostProcess host = Start(string.Format(CultureInfo.InvariantCulture, arguments, Kafka));
        Assert.Equal((int)ExitCode.Broker, await host.ExitAsync());
        string[] lines = host.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains("[601] Topic 'no-such-topic' is not there; a broker may not have heard of it yet", lines[0], StringComparison.Ordinal);
        Assert.StartsWith(message, lines[^1], StringComparison.Ordinal);
    }

    private string Kafka => $"--kafka {cluster.Address}";

    private HostProcess Start(string arguments)
    {
        HostProcess process = HostProcess.Start(_folder.Path, arguments);
        _processes.Add(process);
        return process;
    }

    private HostProcess RunFlights(string instance, string options) =>
        Start($"run flights {Kafka} --app-id {_name} --input {_name} --output {_name} --instance-id {instance} --state-dir {instance} {options}");

    private async Task LoadFlights()
    {
        HostProcess load = Start($"load flights {Kafka} --input {_name}");
        Assert.Equal((0, ""), (await load.ExitAsync(), load.Errors));
    }

    private KafkaBroker NewBroker() => new(new KafkaOptions { BootstrapServers = cluster.Address });

    private static JsonElement Report(HostProcess host) => JsonSerializer.Deserialize<JsonElement>(host.Output.TrimEnd().Split('\n')[^1]);

    private static long EndOffsets(KafkaBroker broker, string topic)
    {
        using TopicWriter<byte[], byte[]> writer = new(broker, Topic.Keyed(topic, Serde.Bytes, Serde.Bytes));
        return writer.EndOffsets().Sum();
    }

    /// <summary>The committed records of a topic.</summary>
    private long CountRecords(string topic)
    {
        using KafkaBroker broker = NewBroker();
        using TopicReader<byte[], byte[]> reader = new(broker, Topic.Keyed(topic, Serde.Bytes, Serde.Bytes));
        return reader.ReadToEnd().Count();
    }

    private void CheckTable(string file)
    {
        Dictionary<string, AirlineSummary> table = JsonSerializer.Deserialize<JsonElement[]>(File.ReadAllText(_folder.File(file)))!.ToDictionary(
            line => line.GetProperty("airline").GetString()!,
            line => line.Deserialize<AirlineSummary>(new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower })!);
        Assert.Equal(PlainSummary.OfJanuary(), table);
    }

    private static async Task Until(Func<bool> condition)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(60));
        using PeriodicTimer turns = new(TimeSpan.FromMilliseconds(20));
        while (!condition())
        {
            await turns.WaitForNextTickAsync(limit.Token);
        }
    }
}
