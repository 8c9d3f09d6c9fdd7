using System.Collections.Frozen;
using System.CommandLine;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>The commands <c>state list</c> and <c>state get</c>: what a flow keeps, in the local folder or in snapshots.</summary>
internal sealed class StateCommands
{
    private const int LimitIfMissing = 100;
    private const string Newest = "newest";

    private readonly IReadOnlyDictionary<string, Func<Uri, ISnapshotStore>> _stores;
    private readonly ILoggerFactory _logging;
    private readonly TextWriter _output;
    private readonly TextWriter _errors;
    private readonly Command _list = new("list", "List the steps that keep state, or the keys and states of one.");
    private readonly Command _get = new("get", "Show the state of one key.");

    public StateCommands(IReadOnlyDictionary<string, Func<Uri, ISnapshotStore>> stores, ILoggerFactory logging, TextWriter output, TextWriter errors)
    {
        _stores = stores;
        _logging = logging;
        _output = output;
        _errors = errors;
        Group.Subcommands.Add(_list);
        Group.Subcommands.Add(_get);
    }

    public Command Group { get; } = new("state", "Look at the state of a flow, also while it runs; nothing is changed.");

    public void Add(IFlow flow)
    {
        AddList(flow);
        AddGet(flow);
    }

    private void AddList(IFlow flow)
    {
        HostSettings settings = new();
        Argument<string?> step = new("STEP") { Description = "the step whose keys to list; without it, the steps", Arity = ArgumentArity.ZeroOrOne };
        Option<int?> shard = CommandOptions.Number("--shard", "N", "only this shard", 0);
        Option<int?> limit = CommandOptions.Number("--limit", "N", $"list at most N keys (default: {LimitIfMissing})", 1);
        Option<string?> snapshot = Snapshot();
        Option<bool> local = Local();
        Option<string?> format = Format();
        Command command = Command(flow, settings, [step], [shard, limit, local, snapshot, format]);
        command.SetAction(parsed => Look(flow, settings, parsed, snapshot, local, format, look =>
        {
            if (parsed.GetValue(step) is { } name)
            {
                look.ListKeys(name, parsed.GetValue(shard), parsed.GetValue(limit) ?? LimitIfMissing);
            }
            else
            {
                look.ListSteps(parsed.GetValue(shard));
            }

            return look.AllShown;
        }));
        _list.Subcommands.Add(command);
    }

    private void AddGet(IFlow flow)
    {
        HostSettings settings = new();
        Argument<string> step = new("STEP") { Description = "the step" };
        Argument<string> key = new("KEY") { Description = "the key: a string as it is, anything else as JSON" };
        Option<bool> hex = new("--hex") { Description = "KEY is the bytes of the key, in hexadecimal" };
        Option<int?> shard = CommandOptions.Number("--shard", "N", "only this shard", 0);
        Option<string?> snapshot = Snapshot();
        Option<bool> local = Local();
        Option<string?> format = Format();
        Command command = Command(flow, settings, [step, key], [hex, shard, local, snapshot, format]);
        command.SetAction(parsed => Look(flow, settings, parsed, snapshot, local, format, look =>
        {
            look.ShowKey(parsed.GetValue(step)!, parsed.GetValue(key)!, parsed.GetValue(hex), parsed.GetValue(shard));
            return true;
        }));
        _get.Subcommands.Add(command);
    }

    private static Option<string?> Snapshot() => new("--snapshot")
    {
        Description = $"look at a snapshot instead, by the name that 'snapshots list' gives it, or at the {Newest} of every shard; needs --snapshots and the broker",
        HelpName = "SNAPSHOT",
    };

    private static Option<bool> Local() => new("--local")
    {
        Description = "look at the folder as it is and ask no broker: what is there of shards that other instances have now is old",
    };

    private static Option<string?> Format() => CommandOptions.Choice("--format", "FORMAT", "text (the default) or json", "text", "json");

    private static Command Command(IFlow flow, HostSettings settings, Argument[] arguments, Option[] options)
    {
        Command command = new(flow.Id, flow.Summary);
        foreach (Argument argument in arguments)
        {
            command.Arguments.Add(argument);
        }

        foreach (Option option in options.Concat(settings.SnapshotOptions).Concat(flow.Options))
        {
            command.Options.Add(option);
        }

        return command;
    }

    private int Look(IFlow flow, HostSettings settings, ParseResult parsed, Option<string?> snapshot, Option<bool> local, Option<string?> format, Func<StateLook, bool> look)
    {
        HostOptions host = settings.Read(parsed);
        FlowArguments arguments = new(parsed, host.Stream);
        string app = arguments.AppOf(flow);
        Dataflow dataflow = flow.Build(arguments);
        using StoredState state = parsed.GetValue(snapshot) is { } name ? OpenSnapshots(host, app, name) : StoredFolder.Open(host.Stream.StateDir, app);
        IReadOnlyDictionary<int, ShardOwner> elsewhere = state is StoredFolder && !parsed.GetValue(local) ? Elsewhere(host, app, state) : FrozenDictionary<int, ShardOwner>.Empty;
        bool allShown = look(new StateLook(dataflow, app, state, elsewhere, parsed.GetValue(format) == "json", _output, _errors));
        return (int)(allShown ? ExitCode.Ok : ExitCode.State);
    }

    /// <summary>An embedded broker has one instance, whose shards cannot be elsewhere; only Kafka is asked.</summary>
    private IReadOnlyDictionary<int, ShardOwner> Elsewhere(HostOptions host, string app, StoredState state)
    {
        if (host.Kafka is null)
        {
            return BrokerCalls.HasEmbedded(host)
                ? FrozenDictionary<int, ShardOwner>.Empty
                : throw new UsageException(
                    $"Whether other instances have these shards now is not known without the broker: name it by --kafka HOST:PORT. --local shows the {state.Name} as it is.");
        }

        Broker broker = BrokerCalls.Open(host, _logging);
        using IDisposable closing = (IDisposable)broker;
        return new ShardOwners(broker, app).Elsewhere(state, StateFolder.InstanceIn(Path.Combine(host.Stream.StateDir, app)));
    }

    private StoredSnapshots OpenSnapshots(HostOptions host, string app, string name)
    {
        ISnapshotStore store = host.Snapshots.Open(_stores)?.Store ?? throw new UsageException("--snapshot: which store? Name it by --snapshots STORE.");
        Broker broker = BrokerCalls.OpenExisting(host, _logging);
        using IDisposable closing = (IDisposable)broker;
        return new StoredSnapshots(store, app, new SnapshotCatalog(broker, app).Find(name == Newest ? null : name));
    }
}
