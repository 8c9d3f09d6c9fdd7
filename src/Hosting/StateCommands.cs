using System.CommandLine;

namespace KStreamSharp.Hosting;

/// <summary>The commands <c>state list</c> and <c>state get</c>: what a flow keeps in the local folder, read without a broker.</summary>
internal sealed class StateCommands
{
    private const int LimitIfMissing = 100;

    private readonly TextWriter _output;
    private readonly TextWriter _errors;
    private readonly Command _list = new("list", "List the steps that keep state, or the keys and states of one.");
    private readonly Command _get = new("get", "Show the state of one key.");

    public StateCommands(TextWriter output, TextWriter errors)
    {
        _output = output;
        _errors = errors;
        Group.Subcommands.Add(_list);
        Group.Subcommands.Add(_get);
    }

    public Command Group { get; } = new("state", "Look at the local state of a flow, also while it runs; nothing is changed.");

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
        Option<string?> format = Format();
        Command command = Command(flow, settings, [step], [shard, limit, format]);
        command.SetAction(parsed =>
        {
            StateLook look = Open(flow, settings, parsed, format);
            if (parsed.GetValue(step) is { } name)
            {
                look.ListKeys(name, parsed.GetValue(shard), parsed.GetValue(limit) ?? LimitIfMissing);
            }
            else
            {
                look.ListSteps(parsed.GetValue(shard));
            }
        });
        _list.Subcommands.Add(command);
    }

    private void AddGet(IFlow flow)
    {
        HostSettings settings = new();
        Argument<string> step = new("STEP") { Description = "the step" };
        Argument<string> key = new("KEY") { Description = "the key: a string as it is, anything else as JSON" };
        Option<bool> hex = new("--hex") { Description = "KEY is the bytes of the key, in hexadecimal" };
        Option<string?> format = Format();
        Command command = Command(flow, settings, [step, key], [hex, format]);
        command.SetAction(parsed => Open(flow, settings, parsed, format).ShowKey(parsed.GetValue(step)!, parsed.GetValue(key)!, parsed.GetValue(hex)));
        _get.Subcommands.Add(command);
    }

    private static Option<string?> Format() => CommandOptions.Choice("--format", "FORMAT", "text (the default) or json", "text", "json");

    private static Command Command(IFlow flow, HostSettings settings, Argument[] arguments, Option[] options)
    {
        Command command = new(flow.Id, flow.Summary);
        foreach (Argument argument in arguments)
        {
            command.Arguments.Add(argument);
        }

        foreach (Option option in options.Concat(settings.StateOptions).Concat(flow.Options))
        {
            command.Options.Add(option);
        }

        return command;
    }

    private StateLook Open(IFlow flow, HostSettings settings, ParseResult parsed, Option<string?> format)
    {
        FlowArguments arguments = new(parsed, settings.Read(parsed).Stream);
        string app = arguments.Options.AppId ?? flow.AppId(arguments);
        return new StateLook(flow.Build(arguments), app, StoredState.Open(arguments.Options.StateDir, app), parsed.GetValue(format) == "json", _output, _errors);
    }
}
