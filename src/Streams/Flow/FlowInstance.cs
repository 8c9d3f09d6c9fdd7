namespace KStreamSharp;

/// <summary>Appends a record to the open transaction of the worker.</summary>
internal delegate void Append(TopicPartition partition, in OutgoingRecord record);

/// <summary>Where an instance of a flow runs: which shard, and what it writes to.</summary>
internal sealed class FlowPlace
{
    public required string App { get; init; }

    public required int Shard { get; init; }

    public required int ShardCount { get; init; }

    /// <summary>Appends to a topic of the engine, inside the transaction.</summary>
    public required Append Append { get; init; }

    /// <summary>Appends to an output: inside the transaction, or with the at-least-once guarantee before it.</summary>
    public required Append AppendOutput { get; init; }

    /// <summary>The number of partitions of a topic that the flow writes.</summary>
    public required Func<string, int> PartitionCount { get; init; }

    public required ShardStore Store { get; init; }

    public required StateLimits Limits { get; init; }

    public TurnSlices Slices { get; init; } = new();

    /// <summary>How many keys a slice of timers or of the end of the input has, given how many it has at the most.</summary>
    public Func<int, int> SliceOf { get; init; } = static most => most;

    /// <summary>
    /// Asked between two calls of work that may carry over a commit (timers, the end of the input), with the number of calls
    /// done: true when the rest is to wait for the next turn.
    /// </summary>
    public Func<int, bool> IsUrgent { get; init; } = static _ => false;

    /// <summary>Asked between two calls of work that cannot be left half done: true when the transaction would not live to see its end.</summary>
    public Func<bool> IsOutOfTime { get; init; } = static () => false;

    public string ChangelogTopic => InternalTopics.Changelog(App);
}

/// <summary>A flow inside one shard: its ports connected, its nodes in topological order. Used by one thread at a time.</summary>
internal sealed class FlowInstance
{
    private readonly Dictionary<Outlet, List<object>> _ports = [];
    private readonly List<Inlet> _inlets = [];
    private readonly Dictionary<Step, Node> _nodes = [];
    private readonly Dictionary<string, Tally> _tallies = new(StringComparer.Ordinal);

    public FlowInstance(Dataflow flow, FlowPlace place)
    {
        Flow = flow;
        Place = place;
        for (int i = flow.Steps.Count - 1; i >= 0; i--)
        {
            flow.Steps[i].Build(this, flow.Steps[i]);
        }

        _inlets.Reverse();
        _ports.Clear();
        Nodes = [.. flow.Steps.Where(_nodes.ContainsKey).Select(step => _nodes[step])];
    }

    public Dataflow Flow { get; }

    public FlowPlace Place { get; }

    public IReadOnlyList<Inlet> Inlets => _inlets;

    public IReadOnlyList<Node> Nodes { get; }

    /// <summary>The step whose code runs now: what an error of user code is reported with.</summary>
    public string CurrentStep { get; set; } = "";

    /// <summary>In which call and for which key code of the user's has failed, where no record says so; null when it has not.</summary>
    public string? FailedIn { get; set; }

    /// <summary>The time of this turn.</summary>
    public DateTimeOffset Now { get; set; }

    /// <summary>The largest record timestamp that the shard has seen, in milliseconds since 1970.</summary>
    public long Watermark { get; set; }

    /// <summary>Where a person finds the inspector's step: flow and step.</summary>
    public string FullName(Step step) => $"{Flow.Id}.{step.Id}";

    /// <summary>What each step that writes to a topic has written.</summary>
    public IReadOnlyDictionary<string, Tally> Tallies => _tallies;

    public Tally TallyOf(string step) => _tallies.TryGetValue(step, out Tally? tally) ? tally : _tallies[step] = new Tally();

    public Node? NodeOf(Step step) => _nodes.GetValueOrDefault(step);

    public void Connect<T>(Outlet<T> upstream, Port<T> port)
    {
        if (!_ports.TryGetValue(upstream, out List<object>? ports))
        {
            _ports[upstream] = ports = [];
        }

        ports.Insert(0, port);
    }

    public Port<T> Downstream<T>(Outlet<T> outlet) => _ports.GetValueOrDefault(outlet) switch
    {
        null => NoPort<T>.Instance,
        [Port<T> only] => only,
        List<object> several => new FanOutPort<T>([.. several.Cast<Port<T>>()]),
    };

    public void AddInlet(Inlet inlet) => _inlets.Add(inlet);

    public TNode AddNode<TNode>(TNode node)
        where TNode : Node
    {
        _nodes.Add(node.Step, node);
        return node;
    }
}

/// <summary>The records that a step has appended to its topic since someone took the count.</summary>
internal sealed class Tally
{
    public long Records;

    public long Take()
    {
        long taken = Records;
        Records = 0;
        return taken;
    }
}
