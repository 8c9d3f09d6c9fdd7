using System.CommandLine;

namespace KStreamSharp.Hosting;

/// <summary>A flow that a host can run. Only <see cref="Id"/> and <see cref="Build"/> are needed; the rest has defaults.</summary>
public interface IFlow
{
    /// <summary>The name by which <c>run</c> and <c>describe</c> know the flow.</summary>
    string Id { get; }

    /// <summary>What the flow does, in a line for the help; empty by default.</summary>
    string Summary => "";

    /// <summary>Options of the flow's own on the command line; none by default.</summary>
    IEnumerable<Option> Options => [];

    /// <summary>Builds the flow.</summary>
    /// <param name="arguments">The command line.</param>
    Dataflow Build(FlowArguments arguments);

    /// <summary>
    /// Whether a run on the embedded broker begins with an empty state folder, broker and all, for flows to play with; false by default.
    /// On Kafka it is refused: there the command <c>reset</c> brings an application back to its beginning.
    /// </summary>
    /// <param name="arguments">The command line.</param>
    bool BeginsAnew(FlowArguments arguments) => false;

    /// <summary>The application's id when none is set; the flow's id by default.</summary>
    /// <param name="arguments">The command line.</param>
    string AppId(FlowArguments arguments) => Id;

    /// <summary>Runs before the engine starts, to load data; the topics of the flow are there.</summary>
    /// <param name="run">The run to come.</param>
    /// <param name="stop">Cancelled when the host is to end.</param>
    Task PrepareAsync(FlowRun run, CancellationToken stop) => Task.CompletedTask;

    /// <summary>Runs beside the engine, to feed or show something; ends when the token is cancelled.</summary>
    /// <param name="run">The run.</param>
    /// <param name="stop">Cancelled when the engine has ended or is to end.</param>
    Task AccompanyAsync(FlowRun run, CancellationToken stop) => Task.CompletedTask;

    /// <summary>Runs after an orderly end, to show or write a summary.</summary>
    /// <param name="run">The run.</param>
    Task FinishAsync(FlowRun run) => Task.CompletedTask;
}

/// <summary>A flow that comes with data: the host has a command <c>load FLOW</c> for it.</summary>
public interface ILoadableFlow : IFlow
{
    /// <summary>What is loaded, in a line for the help.</summary>
    string LoadSummary { get; }

    /// <summary>Options of the load on the command line.</summary>
    IEnumerable<Option> LoadOptions { get; }

    /// <summary>Loads the data. A signal ends the process at once: a load must be able to go on where it was cut off.</summary>
    /// <param name="load">Where to load to.</param>
    Task LoadAsync(FlowLoad load);
}
