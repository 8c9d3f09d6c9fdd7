using System.CommandLine;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>The command <c>reset</c>: says what it will do, asks on a terminal, does it.</summary>
internal sealed class ResetCommand(IReadOnlyDictionary<string, Func<Uri, ISnapshotStore>> stores, ILoggerFactory logging, TextWriter output, TextReader? terminal)
{
    private const string Earliest = "earliest";
    private const string Latest = "latest";

    public Command Group { get; } = new("reset", "Bring a flow back to its beginning: forget its states and positions. With --keep-state only its positions move.");

    public void Add(IFlow flow)
    {
        HostSettings settings = new();
        Option<bool> keep = new("--keep-state") { Description = "keep the states, and only move the positions in the inputs" };
        Option<string?> to = CommandOptions.Choice("--to", "WHERE", $"where the positions go with --keep-state: {Earliest} (the default) or {Latest}", Earliest, Latest);
        Option<bool> yes = new("--yes") { Description = "do it without asking" };
        Command command = new(flow.Id, flow.Summary) { keep, to, yes };
        foreach (Option option in settings.SnapshotOptions.Concat(flow.Options))
        {
            command.Options.Add(option);
        }

        command.SetAction(parsed =>
        {
            bool keeps = parsed.GetValue(keep);
            if (!keeps && parsed.GetValue(to) is not null)
            {
                throw new UsageException($"--to goes with --keep-state. Without it, inputs are read from where they say (StartAt).");
            }

            Run(flow, parsed, settings.Read(parsed), keeps ? parsed.GetValue(to) == Latest ? StartAt.Latest : StartAt.Earliest : null, parsed.GetValue(yes));
        });
        Group.Subcommands.Add(command);
    }

    private void Run(IFlow flow, ParseResult parsed, HostOptions host, StartAt? keepsTo, bool yes)
    {
        FlowArguments arguments = new(parsed, host.Stream);
        string app = arguments.AppOf(flow);
        Dataflow dataflow = flow.Build(arguments);
        dataflow.Seal();
        Broker broker = BrokerCalls.OpenExisting(host, logging);
        using IDisposable closing = (IDisposable)broker;
        using LocalFolder folder = LocalFolder.Take(host.Stream.StateDir, app);
        ResetJob job = keepsTo is { } to ? new PositionsReset(broker, dataflow, app, to) : new Reset(broker, dataflow, app, folder, host.Snapshots.Open(stores)?.Store);
        job.CheckMembers();
        IReadOnlyList<string> plan = job.Look();
        if (plan.Count == 0)
        {
            output.WriteLine($"Application {app} has nothing to reset.");
            return;
        }

        output.WriteLine($"The reset of application {app} will");
        foreach (string line in plan)
        {
            output.WriteLine($"  {line}");
        }

        if (!yes)
        {
            Ask(app);
        }

        job.Run(done => output.WriteLine(done));
        output.WriteLine($"Application {app} is reset.");
    }

    private void Ask(string app)
    {
        if (terminal is null)
        {
            throw new UsageException("There is no terminal to ask on. If all of this is meant, say --yes. Nothing was changed.");
        }

        output.Write($"Type the application's id to go on: ");
        output.Flush();
        if (terminal.ReadLine()?.Trim() != app)
        {
            throw new UsageException($"That is not '{app}'. Nothing was changed.");
        }
    }
}
