using System.Text.Json;
using KStreamSharp.Hosting;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

/// <summary>The commands that look at the local state, over a folder that an instance has left or is at work in.</summary>
public sealed class StateCommandsTests : IDisposable
{
    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");
    private static readonly KeyedTopic<string, int> Other = Topic.Keyed<string, int>("other");

    private const string Asking = "--shard=0";

    private readonly Cluster _cluster;
    private readonly Cluster.Member _member;
    private readonly string _stateDir;
    private readonly StringWriter _output = new();
    private readonly StringWriter _errors = new();

    public StateCommandsTests()
    {
        _cluster = new Cluster(Flow(), shards: 2);
        _member = _cluster.Add("one");
        _stateDir = Path.GetDirectoryName(_member.Instance!.Parts.Folder.Path)!;
        foreach ((string key, int value) in ((string, int)[])[("ann", 5), ("ann", 7), ("bob", 1), ("a b", 2), ("", 3)])
        {
            _cluster.Broker.Produce("in", Bytes(In.Key, key), Bytes(In.Value, value), timestamp: DateTimeOffset.UnixEpoch.AddSeconds(value));
        }

        _cluster.Until(() => _cluster.Broker.ReadAll("out").Count == 5 && _member.Instance.Status.RecordsIn == 10, "all are counted");
    }

    public void Dispose() => _cluster.Dispose();

    [Fact]
    public async Task StepsAreListedWithKeysAndBytesAndShardsWithTheirPlace()
    {
        _member.Stop();
        string[] lines = await Lines("list", "app");
        Assert.Equal($"application app, state folder {Path.Combine(_stateDir, "app")}", lines[0]);
        Assert.Matches("^step +operator +keys +bytes$", lines[1]);
        Assert.Matches("^total +stateful_map +4 +[0-9]+$", lines[2]);
        Assert.Contains(lines, line => System.Text.RegularExpressions.Regex.IsMatch(line, "^numbers +count_final +5 +[0-9]+$"));
        Assert.Matches(@"^ +1 +[0-9]+ +[0-9]+ +[0-9]+  2024-01-01T00:00:[0-9.]+Z$", lines[^1]);

        using JsonDocument json = JsonDocument.Parse(Assert.Single(await Lines("list", "app", "--format", "json")));
        Assert.Equal("app", json.RootElement.GetProperty("application").GetString());
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("process").ValueKind);
        Assert.Equal(["total", "recent", "pair", "silent", "numbers"], json.RootElement.GetProperty("steps").EnumerateArray().Select(step => step.GetProperty("step").GetString()));
        Assert.Equal([0, 1], json.RootElement.GetProperty("shards").EnumerateArray().Select(shard => shard.GetProperty("shard").GetInt32()));
        Assert.True(json.RootElement.GetProperty("shards")[0].GetProperty("changelogPosition").GetInt64() > 0);
    }

    [Theory]
    [InlineData("total", "ann", "key ann  state {\"Items\":2,\"Total\":12}  timestamp 1970-01-01T00:00:07.000Z")]
    [InlineData("total", "a b", "key \"a b\"  state {\"Items\":1,\"Total\":2}  timestamp 1970-01-01T00:00:02.000Z")]
    [InlineData("total", "", "key \"\"  state {\"Items\":1,\"Total\":3}  timestamp 1970-01-01T00:00:03.000Z")]
    [InlineData("pair", "bob", "key bob  state [[1],[]]  timestamp 1970-01-01T00:00:01.000Z")]
    [InlineData("silent", "bob", "key bob  state \"last 1\"  notify at 2030-01-02T03:04:05.000Z  timestamp 1970-01-01T00:00:01.000Z")]
    [InlineData("numbers", "12", "key 12  state 1  timestamp 1970-01-01T00:00:07.000Z")]
    public async Task AStateIsShownByTheSerdesOfItsStep(string step, string key, string shown)
    {
        _member.Stop();
        Assert.EndsWith(shown, Assert.Single(await Lines("get", "app", step, key)), StringComparison.Ordinal);
        Assert.Empty(_errors.ToString());
    }

    [Fact]
    public async Task AListInTheMakingIsShownWithItsTime()
    {
        _member.Stop();
        Assert.Matches("^shard [01]  key ann  state \\[5,7\\]  notify at 2024-01-01T01:00:00[.0-9]+Z  timestamp ", Assert.Single(await Lines("get", "app", "recent", "ann")));
    }

    [Fact]
    public async Task KeysAreListedShardByShardUpToALimit()
    {
        _member.Stop();
        string[] all = await Lines("list", "app", "total");
        Assert.Equal(4, all.Length);
        Assert.Equal(all.Order(StringComparer.Ordinal).Select(line => line[..7]), all.Select(line => line[..7]));
        Assert.Equal(all[..3], await Lines("list", "app", "total", "--limit", "3"));
        Assert.Contains("more keys than 3", _errors.ToString(), StringComparison.Ordinal);
        Assert.Equal(all.Where(line => line.StartsWith("shard 1", StringComparison.Ordinal)), await Lines("list", "app", "total", "--shard", "1"));
    }

    [Fact]
    public async Task JsonIsOneObjectPerKey()
    {
        _member.Stop();
        using JsonDocument json = JsonDocument.Parse(Assert.Single(await Lines("get", "app", "silent", "bob", "--format", "json")));
        Assert.Equal(["shard", "key", "state", "notifyAt", "timestamp"], json.RootElement.EnumerateObject().Select(property => property.Name));
        Assert.Equal("bob", json.RootElement.GetProperty("key").GetString());
        Assert.Equal("last 1", json.RootElement.GetProperty("state").GetString());
    }

    [Fact]
    public async Task AKeyIsAlsoFoundByItsBytes()
    {
        _member.Stop();
        Assert.Contains("key ann", Assert.Single(await Lines("get", "app", "total", "616e6e", "--hex")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task BesideARunningInstanceItSaysThatTheNewestIsMissing()
    {
        Assert.Equal(0, await Run("list", "app", "total"));
        Assert.Empty(_output.ToString());
        Assert.Contains($"in use by process {Environment.ProcessId}", _errors.ToString(), StringComparison.Ordinal);

        foreach (Shard shard in _member.Instance!.Workers.SelectMany(worker => worker.Shards))
        {
            shard.Store.Flush();
        }

        Assert.Equal(4, (await Lines("list", "app", "total")).Length);
        _cluster.Round();
        Assert.True(_member.IsUp);
    }

    [Fact]
    public async Task AStepThatTheFlowHasNoLongerIsShownAsBytes()
    {
        _member.Stop();
        Dataflow without = new("app");
        without.Input("in", In).Inspect("look");

        Assert.Equal(0, await Run(without, "list", "app"));
        Assert.Matches(@"numbers +\(not in the flow\) +5", _output.ToString());
        string line = Assert.Single(await Lines(without, "get", "app", "numbers", "0000000c", "--hex"));
        Assert.EndsWith("key 0x0000000c  state 0x0000000000000001  timestamp 1970-01-01T00:00:07.000Z", line, StringComparison.Ordinal);
        Assert.Equal((int)ExitCode.Usage, await Run(without, "get", "app", "numbers", "12"));
        Assert.Contains("--hex", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AStateThatTheSerdeDoesNotReadIsShownAsBytesWithTheReason()
    {
        _member.Stop();
        Dataflow changed = new("app");
        changed.Input("in", In).StatefulMap("total", (ref int? state, int value) => state = value).Output("out", Topic.Keyed<string, int?>("out"));

        Assert.Contains("state 0x7b22", Assert.Single(await Lines(changed, "get", "app", "total", "ann")), StringComparison.Ordinal);
        Assert.StartsWith("1 of these are not what the serdes of step 'total' read, and are shown as bytes: Int32 takes 4 bytes", _errors.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("get app total nobody", ExitCode.NotFound, "Step 'total' has no state of key 'nobody' in ")]
    [InlineData("get app nothing ann", ExitCode.Usage, "Flow 'app' has no step 'nothing'. Those that do: total, recent, pair, silent, numbers.")]
    [InlineData("get app in ann", ExitCode.Usage, "Step 'in' of flow 'app' keeps no state. Those that do: total, ")]
    [InlineData("get app numbers twelve", ExitCode.Usage, "Key 'twelve' of step 'numbers': a value of type int as JSON is needed.")]
    [InlineData("get app total xyz --hex", ExitCode.Usage, "Key 'xyz' of step 'total': ")]
    [InlineData("list app total --shard 9", ExitCode.Usage, "There is no shard 9 in ")]
    [InlineData("list app --app-id gone", ExitCode.State, "There is no state folder ")]
    [InlineData("list app total --limit 0", ExitCode.Usage, "--limit '0': a whole number from 1 on is needed.")]
    [InlineData("get app total", ExitCode.Usage, "state get app takes STEP KEY; KEY is missing.")]
    [InlineData("list app total more", ExitCode.Usage, "state list app takes [STEP] and options; 'more' is too much.")]
    [InlineData("list", ExitCode.Usage, "Which flow? state list one of: app.")]
    [InlineData("list gone", ExitCode.Usage, "There is no flow 'gone'. There are: app.")]
    [InlineData("put app", ExitCode.Usage, "There is no command 'state put'. There are: run FLOW, describe FLOW, state list FLOW [STEP], state get FLOW STEP KEY")]
    public async Task WhatIsNotThereIsNamedWithWhatThereIs(string line, ExitCode code, string message)
    {
        _member.Stop();
        Assert.Equal((int)code, await Run(line.Split(' ')));
        Assert.StartsWith(message, _errors.ToString(), StringComparison.Ordinal);
        Assert.Single(_errors.ToString().TrimEnd().Split('\n'));
    }

    [Fact]
    public async Task WithoutABrokerToAskTheFolderIsShownOnlyWhenThatIsAskedFor()
    {
        _member.Stop();
        Assert.Equal((int)ExitCode.Usage, await Run("list", "app", Asking));
        Assert.StartsWith("Whether other instances have these shards now is not known without the broker: name it by --kafka HOST:PORT. --local ", _errors.ToString(), StringComparison.Ordinal);
        Assert.Empty(_output.ToString());
        Directory.CreateDirectory(Path.Combine(_stateDir, "broker"));
        Assert.Equal(0, await Run("list", "app", Asking));
    }

    [Fact]
    public void AShardThatAnotherInstanceHasNowIsNamedAndLeftOut()
    {
        Cluster.Member two = _cluster.Add("two");
        _cluster.Until(() => two.Instance?.Workers.Sum(worker => worker.Shards.Count()) == 1 && _member.Instance?.Workers.Sum(worker => worker.Shards.Count()) == 1, "each has a shard");
        foreach (string key in (string[])["ann", "bob", "a b", ""])
        {
            _cluster.Broker.Produce("in", Bytes(In.Key, key), Bytes(In.Value, 9));
        }

        _cluster.Until(() => _cluster.Broker.ReadAll("out").Count == 9, "both have committed");
        int moved = two.Instance!.Workers.SelectMany(worker => worker.Shards).Single().Id;
        _member.Stop();
        using StoredFolder folder = StoredFolder.Open(_stateDir, "app");
        IReadOnlyDictionary<int, ShardOwner> elsewhere = new ShardOwners(_cluster.Broker, "app").Elsewhere(folder, "one");
        Assert.Equal([moved], elsewhere.Keys);
        Assert.Equal("two", elsewhere[moved].Instance);

        StateLook look = new(_cluster.Flow, "app", folder, elsewhere, json: false, _output, _errors);
        look.ListKeys("total", onlyShard: null, limit: 100);
        string[] own = _output.ToString().TrimEnd().Split(Environment.NewLine);
        Assert.All(own, line => Assert.StartsWith($"shard {1 - moved} ", line, StringComparison.Ordinal));
        Assert.StartsWith($"Shard {moved} is instance two's now, which committed at ", _errors.ToString(), StringComparison.Ordinal);
        Assert.False(look.AllShown);

        _output.GetStringBuilder().Clear();
        look.ListSteps(onlyShard: null);
        Assert.Contains($"  {own.Length}  ", _output.ToString().Split(Environment.NewLine).First(line => line.StartsWith("total ", StringComparison.Ordinal)), StringComparison.Ordinal);

        foreach (string key in (string[])["ann", "bob", "a b", ""])
        {
            if (!own.Any(line => line.Contains(key is "" or "a b" ? $"key \"{key}\" " : $"key {key} ", StringComparison.Ordinal)))
            {
                StreamException error = Assert.Throws<StreamException>(() => look.ShowKey("total", key, hex: false, onlyShard: null));
                Assert.Equal(ExitCode.State, error.Code);
                Assert.StartsWith($"Shard {moved} is instance two's now", error.Message, StringComparison.Ordinal);
            }
        }

        Assert.Equal(ExitCode.State, Assert.Throws<StreamException>(() => look.ListSteps(moved)).Code);
    }

    [Fact]
    public async Task AFolderThatIsNotThereNamesThoseThatAre()
    {
        _member.Stop();
        Assert.Equal((int)ExitCode.State, await Run("list", "app", "--app-id", "gone"));
        Assert.Contains("has the state of: app.", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnotherFormatIsRefused()
    {
        _member.Stop();
        File.WriteAllText(Path.Combine(_stateDir, "app", "format"), "9\n");
        Assert.Equal((int)ExitCode.State, await Run("list", "app"));
        Assert.Contains("has format 9", _errors.ToString(), StringComparison.Ordinal);
    }

    private static Dataflow Flow()
    {
        Dataflow flow = new("app");
        KeyedStream<string, int> values = flow.Input("in", In);
        values.StatefulMap("total", (ref Sum? sum, int value) => sum = new Sum((sum?.Items ?? 0) + 1, (sum?.Total ?? 0) + value)).Output("out", Topic.Keyed<string, Sum>("out"));
        values.Collect("recent", TimeSpan.FromHours(1), maxSize: 100).Inspect("lists");
        values.Join("pair", flow.Input("other", Other)).Inspect("pairs");
        values.Stateful("silent", () => new Silence()).Inspect("silences");
        values.Map("number", (_, value) => value + 5).CountFinal("numbers", value => value).Inspect("counts");
        return flow;
    }

    private static byte[] Bytes<T>(Serde<T> serde, T value)
    {
        ByteBuffer buffer = new();
        serde.Serialize(value, buffer, new("in", RecordPart.Value));
        return buffer.Written.ToArray();
    }

    private Task<int> Run(params string[] words) => Run(_cluster.Flow, words);

    private Task<int> Run(Dataflow flow, params string[] words) =>
        KStreamHost.RunAsync(["state", .. words, .. words.Length > 1 ? (string[])["--state-dir", _stateDir, .. words[^1] == Asking ? (string[])[] : ["--local"]] : []], host => host.AddFlow(flow), _output, _errors);

    private Task<string[]> Lines(params string[] words) => Lines(_cluster.Flow, words);

    private async Task<string[]> Lines(Dataflow flow, params string[] words)
    {
        _output.GetStringBuilder().Clear();
        Assert.True(await Run(flow, words) == 0, _errors.ToString());
        return _output.ToString().TrimEnd().Split(Environment.NewLine);
    }

    private sealed record Sum(int Items, int Total);

    private sealed class Silence : StatefulLogic<string, int, string, string>
    {
        private string _last = "";

        public override void Resume(string state) => _last = state;

        public override string Snapshot() => _last;

        public override DateTimeOffset? NotifyAt() => new(2030, 1, 2, 3, 4, 5, TimeSpan.Zero);

        public override StateAction OnItem(int value, StatefulContext<string, string> context)
        {
            _last = $"last {value}";
            return StateAction.Retain;
        }
    }
}
