using System.CommandLine;

namespace KStreamSharp.Hosting;

/// <summary>The commands of a host: <c>run FLOW</c>, <c>describe FLOW</c>, and <c>load FLOW</c> where a flow comes with data.</summary>
internal sealed class HostCommands
{
    private readonly IReadOnlyList<IFlow> _flows;
    private readonly Func<IFlow, FlowRunner> _runner;
    private readonly TextWriter _output;
    private readonly TextWriter _errors;
    private readonly RootCommand _root = new();
    private readonly Command _run = new("run", "Run a flow until it is stopped, or with --until-end to the end of its inputs.");
    private readonly Command _load = new("load", "Load the data that a flow works on into its input topics.");
    private readonly Command _describe = new("describe", "Show the steps, topics and states of a flow.");

    public HostCommands(IReadOnlyList<IFlow> flows, Func<IFlow, FlowRunner> runner, TextWriter output, TextWriter errors)
    {
        _flows = flows;
        _runner = runner;
        _output = output;
        _errors = errors;
        _root.Description = $"Stateful streams with the state kept in a folder. Without arguments: run {flows[0].Id}.";
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
    }

    /// <exception cref="UsageException">The command line or the configuration is wrong.</exception>
    /// <exception cref="StreamException">The engine cannot go on.</exception>
    public Task<int> InvokeAsync(string[] args)
    {
        ParseResult parsed = _root.Parse(args.Length == 0 ? ["run", _flows[0].Id] : args);
        if (parsed.Errors.Count > 0)
        {
            throw new UsageException(Mistake(parsed));
        }

        return parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null, Output = _output, Error = _errors });
    }

    private void Add(IFlow flow)
    {
        HostSettings settings = new();
        Option<string?> report = Choice("--report", "FORMAT", "end the output with one line of figures: json", "json");
        Option<string?> format = Choice("--format", "FORMAT", "text (the default), json or mermaid", "text", "json", "mermaid");
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
        FlowDescription description = flow.Build(arguments).Describe(arguments.Options.AppId ?? flow.AppId(arguments));
        return format switch
        {
            "json" => description.ToJson() + "\n",
            "mermaid" => description.ToMermaid(),
            _ => description.ToText(),
        };
    }

    private static Option<string?> Choice(string name, string helpName, string description, params string[] choices)
    {
        Option<string?> option = new(name) { Description = description, HelpName = helpName };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: { } text }] && !choices.Contains(text))
            {
                result.AddError($"{name} '{text}': {string.Join(" or ", choices)} is needed.");
            }
        });
        return option;
    }

    /// <summary>One line that says what is wrong and what there is instead.</summary>
    private string Mistake(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string? stray = parsed.UnmatchedTokens.Count > 0 ? parsed.UnmatchedTokens[0] : null;
        string flows = string.Join(", ", (_root.Subcommands.Contains(command) ? command : _run).Subcommands.Select(flow => flow.Name));
        if (command == _root)
        {
            return $"There is {(stray is null ? "a command missing" : $"no command '{stray}'")}. There are: {string.Join(", ", _root.Subcommands.Select(known => $"{known.Name} FLOW"))}; flows: {flows}. See --help.";
        }

        if (_root.Subcommands.Contains(command))
        {
            return stray is null ? $"Which flow? {command.Name} one of: {flows}."
                : _flows.Any(flow => flow.Id == stray) ? $"Flow '{stray}' has nothing to {command.Name}. Those that have: {flows}."
                : $"There is no flow '{stray}'. There are: {flows}.";
        }

        string words = $"{command.Parents.First().Name} {command.Name}";
        return stray is null ? parsed.Errors[0].Message
            : stray.StartsWith('-') ? $"{words} has no option '{stray}'. There are: {string.Join(", ", command.Options.Select(option => option.Name))}."
            : parsed.Tokens.Any(token => token.Value == HostSettings.SetName)
                ? $"{words} takes options only, and there is a word beside them (not shown: it may be a value of {HostSettings.SetName} NAME=VALUE, which is one word)."
            : $"{words} takes options only; '{stray}' is none.";
    }
}
