using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>The commands <c>snapshots list</c>, <c>verify</c>, <c>take</c> and <c>delete</c>.</summary>
internal sealed class SnapshotCommands
{
    private readonly IReadOnlyDictionary<string, Func<Uri, ISnapshotStore>> _stores;
    private readonly ILoggerFactory _logging;
    private readonly TextWriter _output;
    private readonly Command _list = new("list", "List the published snapshots of every shard.");
    private readonly Command _verify = new("verify", "Download snapshots, compare every file with its hash, open them, and compare their positions.");
    private readonly Command _take = new("take", "Ask the running instances for a snapshot of every shard, and wait for it.");
    private readonly Command _delete = new("delete", "Ask the running instances to delete snapshots, and wait for it.");

    public SnapshotCommands(IReadOnlyDictionary<string, Func<Uri, ISnapshotStore>> stores, ILoggerFactory logging, TextWriter output)
    {
        _stores = stores;
        _logging = logging;
        _output = output;
        foreach (Command command in new[] { _list, _verify, _take, _delete })
        {
            Group.Subcommands.Add(command);
        }
    }

    public Command Group { get; } = new("snapshots", "Look after the snapshots of a flow's state, also while it runs.");

    public void Add(IFlow flow)
    {
        Option<string?> format = CommandOptions.Choice("--format", "FORMAT", "text (the default) or json", "text", "json");
        Add(_list, flow, [], [format], (parsed, _, catalog) => List(catalog, parsed.GetValue(format) == "json"));

        Argument<string?> which = new("SNAPSHOT") { Description = "a snapshot as list names it; without it, the newest of every shard", Arity = ArgumentArity.ZeroOrOne };
        Option<bool> every = new("--all") { Description = "every snapshot" };
        Add(_verify, flow, [which], [every], (parsed, host, catalog) => Verify(host, catalog, parsed.GetValue(which), parsed.GetValue(every)));

        Option<int?> timeout = CommandOptions.Number("--timeout", "SECONDS", "how long to wait for it (default: 60)", 0);
        Add(_take, flow, [], [timeout], (parsed, host, catalog) => Take(host, catalog, Timeout(parsed, timeout)));

        Argument<string?> gone = new("SNAPSHOT") { Description = "the snapshot, as list names it", Arity = ArgumentArity.ZeroOrOne };
        Option<bool> all = new("--all") { Description = "every snapshot" };
        Add(_delete, flow, [gone], [all, timeout], (parsed, host, catalog) => Delete(host, catalog, parsed.GetValue(gone), parsed.GetValue(all), Timeout(parsed, timeout)));
    }

    private static TimeSpan Timeout(ParseResult parsed, Option<int?> option) => TimeSpan.FromSeconds(parsed.GetValue(option) ?? 60);

    private void Add(Command verb, IFlow flow, Argument[] arguments, Option[] options, Action<ParseResult, HostOptions, Catalog> action)
    {
        HostSettings settings = new();
        Command command = new(flow.Id, flow.Summary);
        foreach (Argument argument in arguments)
        {
            command.Arguments.Add(argument);
        }

        foreach (Option option in options.Concat(settings.SnapshotOptions).Concat(flow.Options))
        {
            command.Options.Add(option);
        }

        command.SetAction(parsed =>
        {
            HostOptions host = settings.Read(parsed);
            string app = new FlowArguments(parsed, host.Stream).AppOf(flow);
            Broker broker = BrokerCalls.OpenExisting(host, _logging);
            using IDisposable closing = (IDisposable)broker;
            action(parsed, host, new Catalog(app, new SnapshotCatalog(broker, app)));
        });
        verb.Subcommands.Add(command);
    }

    private void List(Catalog catalog, bool json)
    {
        IReadOnlyList<(int Shard, SnapshotEntry Entry)> all = catalog.Snapshots.All();
        if (json)
        {
            _output.WriteLine(JsonSerializer.Serialize(all.Select(item => new
            {
                snapshot = Name(item),
                shard = item.Shard,
                ownerEpoch = item.Entry.OwnerEpoch,
                takenAt = Time(item.Entry.TakenAt),
                position = item.Entry.Position,
                behind = catalog.Snapshots.Behind(item.Shard, item.Entry),
                bytes = item.Entry.Bytes,
            })));
            return;
        }

        if (all.Count == 0)
        {
            _output.WriteLine($"Application {catalog.App} has no snapshots.");
            return;
        }

        TextTable.Write(_output, ["SNAPSHOT", "TAKEN", " POSITION", " BEHIND", " BYTES"], all.Select(item => (string[])
        [
            Name(item), Time(item.Entry.TakenAt), Number(item.Entry.Position), Number(catalog.Snapshots.Behind(item.Shard, item.Entry)), Number(item.Entry.Bytes),
        ]));
    }

    private void Verify(HostOptions host, Catalog catalog, string? which, bool every)
    {
        ISnapshotStore store = host.Snapshots.Open(_stores)?.Store ?? throw new UsageException("Which store? Name it by --snapshots STORE.");
        IReadOnlyList<(int Shard, SnapshotEntry Entry)> wanted = Choose(catalog, which, every, newestOnly: true);
        int bad = 0;
        foreach ((int Shard, SnapshotEntry Entry) item in wanted)
        {
            string? problem = Problem(store, catalog.App, item.Shard, item.Entry);
            bad += problem is null ? 0 : 1;
            _output.WriteLine(problem is null
                ? $"{Name(item)}: good, {Number(item.Entry.Bytes)} bytes, position {Number(item.Entry.Position)}"
                : $"{Name(item)}: cannot be used: {problem}");
        }

        if (bad > 0)
        {
            throw new StreamException(ExitCode.State, $"{bad} of {wanted.Count} snapshots cannot be used. A restore leaves them for the next best source; delete them, and take new ones.");
        }
    }

    private static string? Problem(ISnapshotStore store, string app, int shard, SnapshotEntry entry)
    {
        string folder = Directory.CreateTempSubdirectory("kstream-verify-").FullName;
        try
        {
            SnapshotDownload download = new(store, new SnapshotPlace(app, shard), entry, folder, nearby: null);
            download.Start(static work => work());
            download.Check();
            using StateLimits limits = new(1 << 20, 8 << 20, 8 << 20, evictAlways: false);
            StoredMarker stored = SnapshotCheck.Open(folder, StateFolder.Identity(app, shard, entry.ChangelogId), entry.Position, limits);
            return download.Manifest!.Sources.FirstOrDefault(source => stored.Marker?.Positions.GetValueOrDefault(new(source.Topic, source.Partition), -1) != source.Position) is { } source
                ? $"its manifest says position {source.Position} of {source.Topic}[{source.Partition}], its store says another"
                : null;
        }
        catch (Exception error) when (error is SnapshotDamagedException or ShardDamagedException or IOException)
        {
            return error is ShardDamagedException damaged ? damaged.Reason : error.Message;
        }
        finally
        {
            StateFolder.Remove(folder);
        }
    }

    private void Take(HostOptions host, Catalog catalog, TimeSpan timeout)
    {
        if (host.Kafka is null)
        {
            throw new UsageException("The broker inside the process is of the process that runs the flow: nobody else can ask it. That process takes snapshots by time and at its orderly end.");
        }

        foreach ((int Shard, SnapshotEntry Entry) item in catalog.Snapshots.Take(timeout))
        {
            _output.WriteLine($"{Name(item)}: taken, {Number(item.Entry.Bytes)} bytes, position {Number(item.Entry.Position)}");
        }
    }

    private void Delete(HostOptions host, Catalog catalog, string? which, bool all, TimeSpan timeout)
    {
        if (which is null && !all)
        {
            throw new UsageException("Which snapshot? Name one as 'snapshots list' does, or say --all.");
        }

        IReadOnlyList<(int Shard, SnapshotEntry Entry)> wanted = Choose(catalog, which, all, newestOnly: false);
        if (wanted.Count > 0)
        {
            // Nobody can answer while this process has the embedded broker open.
            bool done = catalog.Snapshots.Drop([.. wanted.Select(item => (item.Shard, item.Entry.Id))], host.Kafka is null ? TimeSpan.Zero : timeout);
            string outcome = done ? "deleted" : "to be deleted by the next instance that owns its shard and has a snapshot store (--snapshots)";
            foreach ((int Shard, SnapshotEntry Entry) item in wanted)
            {
                _output.WriteLine($"{Name(item)}: {outcome}");
            }
        }
    }

    private static IReadOnlyList<(int Shard, SnapshotEntry Entry)> Choose(Catalog catalog, string? which, bool every, bool newestOnly) =>
        which is null && (every || !newestOnly) ? catalog.Snapshots.All() : catalog.Snapshots.Find(which);

    private static string Name((int Shard, SnapshotEntry Entry) item) => SnapshotCatalog.NameOf(item);

    private static string Time(long milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds).ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);

    private sealed record Catalog(string App, SnapshotCatalog Snapshots);
}
