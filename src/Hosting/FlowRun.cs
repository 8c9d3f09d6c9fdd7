using System.CommandLine;

namespace KStreamSharp.Hosting;

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
    private readonly HostLog _log;

    internal FlowRun(FlowArguments arguments, EmbeddedBroker broker, TextWriter output, HostLog log, Func<EngineStatus> status)
    {
        Arguments = arguments;
        Broker = broker;
        Output = output;
        Status = status;
        _log = log;
    }

    /// <summary>The command line.</summary>
    public FlowArguments Arguments { get; }

    /// <summary>The broker inside the process.</summary>
    public EmbeddedBroker Broker { get; }

    /// <summary>Where a person reads: standard output.</summary>
    public TextWriter Output { get; }

    /// <summary>Whether <see cref="Output"/> is a terminal, on which a flow may draw.</summary>
    public bool OutputIsTerminal => ReferenceEquals(Output, Console.Out) && !Console.IsOutputRedirected;

    /// <summary>What the engine has done so far.</summary>
    public Func<EngineStatus> Status { get; }

    /// <summary>Whether a finite run has come to its end; false when it was stopped before, and for a run without end.</summary>
    public bool IsDone { get; internal set; }

    /// <summary>Holds back the log, which goes to standard error, while a flow draws on the terminal.</summary>
    /// <returns>Dispose it to let the log go on; what was held back is then written.</returns>
    public IDisposable HoldLog() => _log.Hold();
}
