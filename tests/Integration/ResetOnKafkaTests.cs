using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The command <c>reset</c> on Kafka, by processes as a user starts them.</summary>
[Needs<KafkaCluster>]
public sealed class ResetOnKafkaTests(KafkaCluster cluster) : IDisposable
{
    private const int Records = 1_000;

    private readonly TempFolder _folder = new();
    private readonly string _name = $"reset-{Guid.NewGuid().ToString("N")[..12]}";
    private readonly List<HostProcess> _processes = [];

    public void Dispose()
    {
        foreach (HostProcess process in _processes)
        {
            process.Dispose();
        }

        _folder.Dispose();
    }

    /// <summary>Each key comes once, so a count says how often the input was read into the same states.</summary>
    [Theory]
    [InlineData("classic")]
    [InlineData("consumer")]
    public async Task AnApplicationIsBroughtBackToItsBeginningAndItsPositionsAlone(string protocol)
    {
        await Ok($"run count {Options(protocol)} --shards 3 --generate {Records} --until-end --state-dir a");
        Assert.Equal([Records], Counts());
        Copy(_folder.File("a"), _folder.File("elsewhere"));

        HostProcess live = Start($"run count {Options(protocol)} --state-dir live");
        using (KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address }))
        {
            await Until(() => broker.CountMembers(_name) == 1, live);
        }

        HostProcess refused = Start($"reset count {Options(protocol)} --state-dir a --yes");
        Assert.Equal((int)ExitCode.Broker, await refused.ExitAsync());
        Assert.StartsWith($"Application '{_name}' has 1 live member. Stop its instances first.", refused.Errors, StringComparison.Ordinal);
        live.Terminate();
        Assert.Equal(0, await live.ExitAsync());

        HostProcess reset = await Ok($"reset count {Options(protocol)} --state-dir a --yes");
        Assert.Contains($"deleted topic {_name}-changelog", reset.Output, StringComparison.Ordinal);
        Assert.Contains($"deleted group {_name}", reset.Output, StringComparison.Ordinal);
        Assert.Contains("nothing to reset", (await Ok($"reset count {Options(protocol)} --state-dir a")).Output, StringComparison.Ordinal);

        // The state that was kept elsewhere is of a changelog that is gone.
        HostProcess again = await Run($"run count {Options(protocol)} --until-end --state-dir elsewhere");
        Assert.Contains("the changelog topic was made anew since it was written", again.Errors, StringComparison.Ordinal);
        Assert.Equal([2 * Records], Counts());

        HostProcess moved = await Ok($"reset count {Options(protocol)} --state-dir elsewhere --keep-state --yes");
        Assert.Contains($"moved the positions of group {_name} in topic {_name} to 0, 0, 0", moved.Output, StringComparison.Ordinal);
        await Ok($"run count {Options(protocol)} --until-end --state-dir elsewhere");
        Assert.Equal([2 * Records, Records], Counts());
    }

    private string Options(string protocol) => $"--kafka {cluster.Address} --group-protocol {protocol} --app-id {_name} --input {_name} --output {_name}-out";

    private HostProcess Start(string arguments)
    {
        HostProcess process = HostProcess.Start(_folder.Path, arguments);
        _processes.Add(process);
        return process;
    }

    private async Task<HostProcess> Run(string arguments)
    {
        HostProcess process = Start(arguments);
        Assert.True(await process.ExitAsync() == 0, process.Errors);
        return process;
    }

    private async Task<HostProcess> Ok(string arguments)
    {
        HostProcess process = await Run(arguments);
        Assert.Equal("", process.Errors);
        return process;
    }

    /// <summary>How many ones, twos and so on have been put out.</summary>
    private int[] Counts()
    {
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = cluster.Address });
        using TopicReader<byte[], long> reader = new(broker, Topic.Keyed($"{_name}-out", Serde.Bytes, Serde.Int64));
        return [.. reader.ReadToEnd().GroupBy(record => record.Value).OrderBy(group => group.Key).Select(group => group.Count())];
    }

    private static void Copy(string from, string to)
    {
        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }

    private static async Task Until(Func<bool> condition, HostProcess process)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(60));
        using PeriodicTimer turns = new(TimeSpan.FromMilliseconds(50));
        while (!condition())
        {
            Assert.Equal("", process.Errors);
            await turns.WaitForNextTickAsync(limit.Token);
        }
    }
}
