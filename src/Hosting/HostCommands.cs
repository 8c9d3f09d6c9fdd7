using System.CommandLine;

namespace KStreamSharp.Hosting;

/// <summary>
/// The commands of a host: <c>run FLOW</c>, <c>load FLOW</c> where a flow comes with data, <c>describe FLOW</c>, and those that look at
/// what a flow keeps.
/// </summary>
internal sealed class HostCommands
{
    private readonly IReadOnlyList<IFlow> _flows;
    private readonly Func<IFlow, FlowRunner> _runner;
    private readonly TextWriter _output;
    private readonly TextWriter _errors;
    private readonly StateCommands _state;
    private readonly ResetCommand _reset;
    private readonly SnapshotCommands _snapshots;
    private readonly Command _health;
    private readonly TopicCommands _topics;
    private readonly RootCommand _root = new();
    private readonly Command _run = new("run", "Run a flow until it is stopped, or with --until-end to the end of its inputs.");
    private readonly Command _load = new("load", "Load the data that a flow works on into its input topics.");
    private readonly Command _describe = new("describe", "Show the steps, topics and states of a flow.");

    public HostCommands(IReadOnlyList<IFlow> flows, Func<IFlow, FlowRunner> runner, StateCommands state, ResetCommand reset, SnapshotCommands snapshots, TopicCommands topics, TextWriter output, TextWriter errors)
    {
        _health = new HealthCommand(output).Command;
        _flows = flows;
        _runner = runner;
        _output = output;
        _errors = errors;
        _state = state;
        _reset = reset;
        _snapshots = snapshots;
        _topics = topics;
        _root.Description = $"Stateful streams with the state kept in a folder. Without a command: run {flows[0].Id}.";
        foreach (IFlow flow in flows)
        {
            Add(flow);
        }

        _root.Subcommands.Add(_run);
        if (_load.Subcommands.Count > 0)
        {
            _root.Subcommands.Add(_load);
        }

        _root.Subcommands.Add(_describe);
        _root.Subcommands.Add(_state.Group);
        _root.Subcommands.Add(_snapshots.Group);
        _root.Subcommands.Add(_topics.Produce);
        _root.Subcommands.Add(_topics.Tail);
        _root.Subcommands.Add(_reset.Group);
        _root.Subcommands.Add(_health);
        if (flows.FirstOrDefault(flow => CommandWords.Contains(flow.Id)) is { } named)
        {
            throw new UsageException($"Flow '{named.Id}' has the name of a command. Give it another id; its application keeps its own by --app-id {named.Id}.");
        }
    }

    /// <summary>The words of all commands; a flow that has one as its id could not be told from it.</summary>
    private IEnumerable<string> CommandWords => _root.Subcommands.Concat([_load]).Concat(_state.Group.Subcommands).Concat(_snapshots.Group.Subcommands).Select(command => command.Name);

    /// <summary>The commands that take no flow.</summary>
    private Command[] Others => [_topics.Produce, _topics.Tail, _health];

    /// <summary>The commands whose next word is a flow.</summary>
    private IEnumerable<Command> Verbs => _root.Subcommands.Where(command => !Others.Contains(command)).SelectMany(command => command == _state.Group || command == _snapshots.Group ? command.Subcommands : [command]);

    /// <exception cref="UsageException">The command line or the configuration is wrong.</exception>
    /// <exception cref="StreamException">The engine cannot go on.</exception>
    public Task<int> InvokeAsync(string[] args)
    {
        ParseResult parsed = _root.Parse(RunsFirst(args) ? ["run", _flows[0].Id, .. args] : args);
        if (parsed.Errors.Count > 0)
        {
            throw new UsageException(Mistake(parsed));
        }

        return parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null, Output = _output, Error = _errors });
    }

    /// <summary>Options without a command go with the first flow, but for those of the program itself.</summary>
    private bool RunsFirst(string[] args) => args.Length == 0
        || (args[0].StartsWith('-') && !_root.Options.Any(option => option.Name == args[0] || option.Aliases.Contains(args[0])));

    private void Add(IFlow flow)
    {
        HostSettings settings = new();
        Option<string?> report = CommandOptions.Choice("--report", "FORMAT", "end the output with one line of figures: json", "json");
        Option<string?> format = CommandOptions.Choice("--format", "FORMAT", "text (the default), json or mermaid", "text", "json", "mermaid");
        Command run = new(flow.Id, flow.Summary);
        Command describe = new(flow.Id, flow.Summary) { format };
        foreach (Option option in flow.Options.Concat(settings.Options))
        {
            run.Options.Add(option);
            describe.Options.Add(option);
        }

        run.Options.Add(report);
        run.SetAction(async (parsed, _) =>
        {
            await _runner(flow).RunAsync(parsed, settings.Read(parsed), parsed.GetValue(report) is not null);
            return (int)ExitCode.Ok;
        });
        describe.SetAction(parsed => _output.Write(Describe(flow, new FlowArguments(parsed, settings.Read(parsed).Stream), parsed.GetValue(format))));
        _run.Subcommands.Add(run);
        _describe.Subcommands.Add(describe);
        _state.Add(flow);
        _snapshots.Add(flow);
        _reset.Add(flow);
        if (flow is ILoadableFlow loadable)
        {
            AddLoad(loadable);
        }
    }

    private void AddLoad(ILoadableFlow flow)
    {
        HostSettings settings = new();
        Command load = new(flow.Id, flow.LoadSummary);
        foreach (Option option in flow.LoadOptions.Concat(settings.LoadOptions))
        {
            load.Options.Add(option);
        }

        load.SetAction(async (parsed, _) =>
        {
            await _runner(flow).LoadAsync(flow, parsed, settings.Read(parsed));
            return (int)ExitCode.Ok;
        });
        _load.Subcommands.Add(load);
    }

    private static string Describe(IFlow flow, FlowArguments arguments, string? format)
    {
        FlowDescription description = flow.Build(arguments).Describe(arguments.AppOf(flow));
        return format switch
        {
            "json" => description.ToJson() + "\n",
            "mermaid" => description.ToMermaid(),
            _ => description.ToText(),
        };
    }

    /// <summary>One line that says what is wrong and what there is instead.</summary>
    private string Mistake(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string? stray = parsed.UnmatchedTokens.Count > 0 ? parsed.UnmatchedTokens[0] : null;
        string words = Words(command);
        bool isVerb = Verbs.Contains(command);
        string flows = string.Join(", ", (isVerb ? command : _run).Subcommands.Select(flow => flow.Name));
        if (isVerb)
        {
            return stray is null ? $"Which flow? {words} one of: {flows}."
                : _flows.Any(flow => flow.Id == stray) ? $"Flow '{stray}' has nothing to {words}. Those that have: {flows}."
                : $"There is no flow '{stray}'. There are: {flows}.";
        }

        if (command.Subcommands.Count > 0)
        {
            string missing = stray is null ? "a command missing" : $"no command '{$"{words} {stray}".TrimStart()}'";
            return $"There is {missing}. There are: {string.Join(", ", Verbs.Select(verb => $"{Words(verb)} FLOW{TakenBy(verb.Subcommands[0])}"))}, {string.Join(", ", Others.Select(other => other.Name + TakenBy(other)))}; flows: {flows}. See --help.";
        }

        return stray is null ? Missing(parsed, command, words) ?? parsed.Errors[0].Message
            : stray.StartsWith('-') ? NoOption(words, command, stray)
            : parsed.Tokens.Any(token => token.Value == HostSettings.SetName)
                ? $"{words} takes options only, and there is a word beside them (not shown: it may be a value of {HostSettings.SetName} NAME=VALUE, which is one word)."
            : command.Arguments.Count > 0 ? $"{words} takes{TakenBy(command)} and options; '{stray}' is too much."
            : $"{words} takes options only; '{stray}' is none.";
    }

    private static string NoOption(string words, Command command, string stray)
    {
        string name = stray.Split('=')[0];
        return $"{words} has no option '{name}'.{(Nearest.Of(name, command.Options.Select(option => option.Name)) is { } near ? $" The nearest is {near}." : "")} '{words} --help' lists them.";
    }

    private static string? Missing(ParseResult parsed, Command command, string words) =>
        command.Arguments.FirstOrDefault(argument => argument.Arity.MinimumNumberOfValues > (parsed.GetResult(argument)?.Tokens.Count ?? 0)) is { } missing
            ? $"{words} takes{TakenBy(command)}; {missing.Name} is missing."
            : null;

    /// <summary>The words that a command takes after its flow.</summary>
    private static string TakenBy(Command command) =>
        string.Concat(command.Arguments.Select(argument => argument.Arity.MinimumNumberOfValues == 0 ? $" [{argument.Name}]" : $" {argument.Name}"));

    /// <summary>A command as it is typed, after the program's name.</summary>
    private string Words(Command command) => command == _root ? "" : $"{Words((Command)command.Parents.First())} {command.Name}".TrimStart();
}
