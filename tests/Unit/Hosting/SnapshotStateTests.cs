using System.Text.Json;
using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

/// <summary>The commands that look at states, over snapshots; and the reset, which deletes them.</summary>
public sealed class SnapshotStateTests : IDisposable
{
    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-look-").FullName;
    private readonly StringWriter _output = new();
    private readonly StringWriter _errors = new();

    public SnapshotStateTests()
    {
        Directory.CreateDirectory(Store);
        Produce("ann", "bob", "cid", "ann");
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task TheNewestSnapshotsShowWhatTheFolderShows()
    {
        await RunFlow();
        string[] local = await Lines("state", "list", "app", "count");
        Assert.Equal(3, local.Length);
        Assert.Equal(local, await Lines("state", "list", "app", "count", "--snapshot", "newest", "--snapshots", Store));

        // They are all that is needed: the folder may be gone.
        Directory.Delete(Path.Combine(_folder, "app"), recursive: true);
        Assert.Equal(local, await Lines("state", "list", "app", "count", "--snapshot", "newest", "--snapshots", Store));
        Assert.Contains("key ann  state 2", Assert.Single(await Lines("state", "get", "app", "count", "ann", "--snapshot", "newest", "--snapshots", Store)), StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(_folder, "app")));
    }

    [Fact]
    public async Task AnOlderSnapshotShowsWhatWasThen()
    {
        await RunFlow();
        string[] older = await Names();
        Produce("ann", "ann", "bob", "cid");
        await RunFlow();
        string[] newer = await Names();
        Assert.Empty(older.Intersect(newer));

        int shard = int.Parse(Assert.Single(await Lines("state", "get", "app", "count", "ann")).Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
        Assert.Contains("state 2 ", Assert.Single(await Lines("state", "get", "app", "count", "ann", "--snapshot", older[shard], "--snapshots", Store)), StringComparison.Ordinal);
        Assert.Contains("state 4 ", Assert.Single(await Lines("state", "get", "app", "count", "ann", "--snapshot", newer[shard], "--snapshots", Store)), StringComparison.Ordinal);

        string other = older.First(name => !name.StartsWith($"{shard}/", StringComparison.Ordinal));
        Assert.Equal((int)ExitCode.NotFound, await Run("state", "get", "app", "count", "ann", "--snapshot", other, "--snapshots", Store));
        Assert.Contains($"in snapshot {other}, which has shards {other[..other.IndexOf('/', StringComparison.Ordinal)]}.", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task DamageIsNamedAndNothingIsShownOfIt()
    {
        await RunFlow();
        foreach (string file in Directory.EnumerateFiles(Store, "*", SearchOption.AllDirectories).Where(file => !file.EndsWith(".manifest", StringComparison.Ordinal)))
        {
            File.AppendAllText(file, "x");
        }

        Assert.Equal((int)ExitCode.State, await Run("state", "list", "app", "count", "--snapshot", "newest", "--snapshots", Store));
        Assert.Matches("^Snapshot [01]/[0-9]+-[0-9]+ cannot be used: ", _errors.ToString());
        Assert.Empty(_output.ToString());
    }

    [Fact]
    public async Task WhatCannotBeLookedAtIsTold()
    {
        await RunFlow();
        Assert.Equal((int)ExitCode.Usage, await Run("state", "list", "app", "--snapshot", "newest"));
        Assert.StartsWith("--snapshot: which store?", _errors.ToString(), StringComparison.Ordinal);
        _errors.GetStringBuilder().Clear();
        Assert.Equal((int)ExitCode.Usage, await Run("state", "list", "app", "--snapshot", "9/9-9", "--snapshots", Store));
        Assert.StartsWith("Application app has no snapshot '9/9-9'. There are: 0/", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AResetDeletesThem()
    {
        await RunFlow();
        Assert.NotEmpty(Directory.EnumerateFiles(Store, "*", SearchOption.AllDirectories));
        Assert.Equal(0, await Run("reset", "app", "--yes", "--snapshots", Store));
        Assert.Contains("deleted the snapshots of app", _output.ToString(), StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(Store, "*", SearchOption.AllDirectories));
    }

    private string Store => Path.Combine(_folder, "store");

    private static Dataflow Flow()
    {
        Dataflow flow = new("app");
        flow.Input("in", In).StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("out", Topic.Keyed<string, int?>("out"));
        return flow;
    }

    private void Produce(params string[] keys)
    {
        using EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(_folder, "broker"));
        broker.CreateTopic("in", 2);
        foreach (string key in keys)
        {
            broker.Produce("in", System.Text.Encoding.UTF8.GetBytes(key), [0, 0, 0, 1], partition: key[0] % 2);
        }
    }

    private async Task RunFlow() => Assert.True(await Run("run", "app", "--until-end", "--snapshots", Store, "--snapshot-end-timeout", "60s") == 0, _errors.ToString());

    /// <summary>The newest snapshot of each shard.</summary>
    private async Task<string[]> Names()
    {
        using JsonDocument json = JsonDocument.Parse(Assert.Single(await Lines("state", "list", "app", "--snapshot", "newest", "--snapshots", Store, "--format", "json")));
        return [.. json.RootElement.GetProperty("shards").EnumerateArray().Select(shard => shard.GetProperty("snapshot").GetString()!)];
    }

    private async Task<string[]> Lines(params string[] words)
    {
        Assert.True(await Run(words) == 0, _errors.ToString());
        return _output.ToString().TrimEnd().Split(Environment.NewLine);
    }

    private Task<int> Run(params string[] words)
    {
        _output.GetStringBuilder().Clear();
        return KStreamHost.RunAsync([.. words, "--state-dir", _folder], host => host.AddFlow(Flow()), _output, _errors);
    }
}
