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

    /// <summary>The application that a flow runs as.</summary>
    /// <exception cref="StreamException">The flow names one that cannot be used.</exception>
    internal string AppOf(IFlow flow)
    {
        string app = Options.AppId ?? flow.AppId(this);
        (Options with { AppId = app }).Check();
        return app;
    }

    /// <summary>The value of an option; its default when it was not given.</summary>
    /// <typeparam name="T">The type of the option.</typeparam>
    /// <param name="option">One of the flow's own options.</param>
    public T? Value<T>(Option<T> option) => _parsed.GetValue(option);
}

/// <summary>The broker under a host, and its topics.</summary>
public class FlowBroker
{
    private protected FlowBroker(FlowArguments arguments, Broker broker, TextWriter output)
    {
        Arguments = arguments;
        Broker = broker;
        Output = output;
    }

    /// <summary>The command line.</summary>
    public FlowArguments Arguments { get; }

    /// <summary>
    /// The broker: a <see cref="KafkaBroker"/>, or the <see cref="EmbeddedBroker"/> inside the process. <see cref="TopicReader{TKey, TValue}"/>
    /// and <see cref="TopicWriter{TKey, TValue}"/> work on either.
    /// </summary>
    public Broker Broker { get; }

    /// <summary>Where a person reads: standard output.</summary>
    public TextWriter Output { get; }

    /// <summary>The number of partitions of a topic, or null when there is no such topic.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <exception cref="StreamException">The broker does not answer.</exception>
    public int? PartitionCount(string topic) => BrokerCalls.Ask(() => Broker.DescribeTopic(topic)?.Partitions);

    /// <summary>The number of partitions of a topic that must be there.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="fix">What the user is told to do when it is not.</param>
    /// <exception cref="StreamException">There is no such topic, or the broker does not answer.</exception>
    public int RequireTopic(string topic, string fix) => BrokerCalls.PartitionCount(Broker, topic, fix);

    /// <summary>
    /// Creates a topic that keeps every record until it is deleted, whatever its age: a flow over old data puts out old
    /// timestamps, which a broker's retention would drop. A topic that exists is left as it is.
    /// </summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="partitions">The number of partitions, at least 1.</param>
    /// <exception cref="StreamException">The broker refuses or does not answer.</exception>
    public void CreateTopic(string topic, int partitions)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(partitions, 1);
        BrokerCalls.Ask(() => Broker.CreateTopic(new TopicSpec(KStreamSharp.TopicName.Checked(topic), partitions, TopicCleanup.Keep)));
    }
}

/// <summary>A load of data before any run: the command <c>load FLOW</c>.</summary>
public sealed class FlowLoad : FlowBroker
{
    internal FlowLoad(FlowArguments arguments, Broker broker, TextWriter output)
        : base(arguments, broker, output)
    {
    }
}

/// <summary>A run of a flow under a host.</summary>
public sealed class FlowRun : FlowBroker
{
    private readonly HostLog _log;

    internal FlowRun(FlowArguments arguments, Dataflow flow, Broker broker, TextWriter output, HostLog log, Func<EngineStatus> status)
        : base(arguments, broker, output)
    {
        Flow = flow;
        Status = status;
        _log = log;
    }

    /// <summary>The flow as it was built.</summary>
    public Dataflow Flow { get; }

    /// <summary>Whether <see cref="FlowBroker.Output"/> is a terminal, on which a flow may draw.</summary>
    public bool OutputIsTerminal => ReferenceEquals(Output, Console.Out) && !Console.IsOutputRedirected;

    /// <summary>What the engine has done so far.</summary>
    public Func<EngineStatus> Status { get; }

    /// <summary>Whether a finite run has come to its end; false when it was stopped before, and for a run without end.</summary>
    public bool IsDone { get; internal set; }

    /// <summary>Creates the output topics of the flow that are missing, as <see cref="FlowBroker.CreateTopic"/> does.</summary>
    /// <param name="partitions">The number of partitions of each, at least 1.</param>
    /// <exception cref="StreamException">The broker refuses or does not answer.</exception>
    public void CreateOutputs(int partitions)
    {
        foreach (StepDescription step in Flow.Describe().Steps.Where(step => step.Operator == "output"))
        {
            CreateTopic(step.Topic!, partitions);
        }
    }

    /// <summary>Holds back the log, which goes to standard error, while a flow draws on the terminal.</summary>
    /// <returns>Dispose it to let the log go on; what was held back is then written.</returns>
    public IDisposable HoldLog() => _log.Hold();
}
