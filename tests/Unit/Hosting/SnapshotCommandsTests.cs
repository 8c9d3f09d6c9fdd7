using System.Text.Json;
using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

/// <summary>The commands that look after snapshots, over the embedded broker of a state folder.</summary>
public sealed class SnapshotCommandsTests : IDisposable
{
    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");
    private static readonly KeyedTopic<string, int?> Out = Topic.Keyed<string, int?>("out");

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-snapshots-").FullName;
    private readonly StringWriter _output = new();
    private readonly StringWriter _errors = new();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string Store => Path.Combine(_folder, "store");

    [Fact]
    public async Task AnOrderlyEndLeavesSnapshotsThatAreListedAndGood()
    {
        await RunToTheEnd();

        string[] lines = await Lines(ExitCode.Ok, "list");
        Assert.Matches("^SNAPSHOT +TAKEN +POSITION +BEHIND +BYTES$", lines[0]);
        Assert.Matches(@"^0/1-[0-9]+ +20[0-9:\- ]+Z +[0-9]+ +[0-9]+ +[0-9]+$", lines[1]);
        Assert.Matches("^1/1-", lines[2]);

        using JsonDocument json = JsonDocument.Parse(Assert.Single(await Lines(ExitCode.Ok, "list", "--format", "json")));
        Assert.Equal([0, 1], json.RootElement.EnumerateArray().Select(snapshot => snapshot.GetProperty("shard").GetInt32()));

        Assert.All(await Lines(ExitCode.Ok, "verify"), line => Assert.Matches(@"^[01]/1-[0-9]+: good, [0-9]+ bytes, position [0-9]+$", line));
    }

    [Fact]
    public async Task ADamagedSnapshotIsToldByFileAndReason()
    {
        await RunToTheEnd();
        string table = Directory.EnumerateFiles(Store, "*", SearchOption.AllDirectories).Where(path => path.Contains("shard-0", StringComparison.Ordinal)).MaxBy(path => new FileInfo(path).Length)!;
        byte[] bytes = File.ReadAllBytes(table);
        bytes[0] ^= 1;
        File.WriteAllBytes(table, bytes);

        string[] lines = await Lines(ExitCode.State, "verify");
        Assert.Matches("^0/1-[0-9]+: cannot be used: .* is not what was published: its hash differs$", lines[0]);
        Assert.Matches("^1/1-[0-9]+: good", lines[1]);
        Assert.StartsWith("1 of 2 snapshots cannot be used.", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhatIsDeletedGoesWithTheNextOwner()
    {
        await RunToTheEnd();
        string[] lines = await Lines(ExitCode.Ok, "list");
        string first = lines[1].Split(' ')[0];

        Assert.Equal($"{first}: to be deleted by the next instance that owns its shard and has a snapshot store (--snapshots)", Assert.Single(await Lines(ExitCode.Ok, "delete", first)));
        await RunToTheEnd();

        Assert.DoesNotContain(await Lines(ExitCode.Ok, "list"), line => line.StartsWith(first + " ", StringComparison.Ordinal));
        Assert.All(await Lines(ExitCode.Ok, "verify"), line => Assert.Contains(": good", line, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("verify", "0/9-9", "Application app has no snapshot '0/9-9'. There are: 0/1-")]
    [InlineData("delete", null, "Which snapshot? Name one as 'snapshots list' does, or say --all.")]
    [InlineData("take", null, "The broker inside the process is of the process that runs the flow")]
    public async Task AMistakeIsToldInOneLine(string command, string? argument, string message)
    {
        await RunToTheEnd();
        await Lines(ExitCode.Usage, argument is null ? [command] : [command, argument]);
        Assert.StartsWith(message, _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnApplicationThatNeverRanIsNamed()
    {
        Directory.CreateDirectory(Store);
        EmbeddedBroker.Open(Path.Combine(_folder, "broker")).Dispose();
        await Lines(ExitCode.Broker, "list");
        Assert.StartsWith("Application 'app' has never run here", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFolderWithoutABrokerIsNamedAndNoneIsMade()
    {
        await Lines(ExitCode.State, "list");
        Assert.StartsWith($"There is no broker in {_folder}.", _errors.ToString(), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    private async Task RunToTheEnd()
    {
        Directory.CreateDirectory(Store);
        using (EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(_folder, "broker")))
        {
            if (broker.PartitionCount("in") is null)
            {
                broker.CreateTopic("in", 2);
                broker.CreateTopic("out", 2);
            }

            for (int i = 0; i < 20; i++)
            {
                broker.Produce("in", [(byte)('a' + i)], [0, 0, 0, 1]);
            }
        }

        Assert.Equal(ExitCode.Ok, await Run("run", "app", "--until-end", "--state-dir", _folder, "--snapshots", Store));
        _output.GetStringBuilder().Clear();
    }

    private async Task<string[]> Lines(ExitCode code, string command, params string[] more)
    {
        _errors.GetStringBuilder().Clear();
        string[] store = command is "verify" ? ["--snapshots", Store] : [];
        ExitCode ended = await Run(["snapshots", command, "app", .. more, "--state-dir", _folder, .. store]);
        Assert.True(code == ended, $"{ended}: {_errors}");
        string[] lines = _output.ToString().ReplaceLineEndings("\n").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        _output.GetStringBuilder().Clear();
        return lines;
    }

    private Task<string[]> Lines(ExitCode code, string[] words) => Lines(code, words[0], words[1..]);

    private async Task<ExitCode> Run(params string[] args)
    {
        Dataflow flow = new("app");
        flow.Input("in", In).StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("out", Out);
        return (ExitCode)await KStreamHost.RunAsync(args, host => host.AddFlow(flow), _output, _errors);
    }
}
