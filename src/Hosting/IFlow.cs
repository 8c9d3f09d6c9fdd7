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

    /// <summary>The application's id when none is set; the flow's id by default.</summary>
    /// <param name="arguments">The command line.</param>
    string AppId(FlowArguments arguments) => Id;

    /// <summary>Runs before the engine starts, to make topics or load data; missing topics are made anyway.</summary>
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

/// <summary>The command line, as a flow sees it.</summary>
public sealed class FlowArguments
{
    private readonly ParseResult _parsed;

    internal FlowArguments(ParseResult parsed, StreamOptions options)
    {
        _parsed = parsed;
        Options = options;
    }

    /// <summary>The engine's options.</summary>
    public StreamOptions Options { get; }

    /// <summary>The value of an option; its default when it was not given.</summary>
    /// <typeparam name="T">The type of the option.</typeparam>
    /// <param name="option">One of the flow's own options.</param>
    public T? Value<T>(Option<T> option) => _parsed.GetValue(option);
}

/// <summary>A run of a flow under a host.</summary>
public sealed class FlowRun
{
    internal FlowRun(FlowArguments arguments, EmbeddedBroker broker, TextWriter output, Func<EngineStatus> status)
    {
        Arguments = arguments;
        Broker = broker;
        Output = output;
        Status = status;
    }

    /// <summary>The command line.</summary>
    public FlowArguments Arguments { get; }

    /// <summary>The broker inside the process.</summary>
    public EmbeddedBroker Broker { get; }

    /// <summary>Where a person reads: standard output.</summary>
    public TextWriter Output { get; }

    /// <summary>What the engine has done so far.</summary>
    public Func<EngineStatus> Status { get; }
}

/// <summary>The user made a mistake on the command line, in the configuration or in a file; shown without a stack trace, exit code 2.</summary>
public sealed class UsageException : Exception
{
    /// <summary>A mistake.</summary>
    /// <param name="message">What is wrong and how to mend it.</param>
    /// <param name="inner">What told so, or null.</param>
    public UsageException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
