namespace KStreamSharp;

/// <summary>A named operator in a flow: what was declared, and how to build its part of one shard.</summary>
internal sealed class Step
{
    public required string Id { get; init; }

    public required string Operator { get; init; }

    public required IReadOnlyList<Outlet> Upstreams { get; init; }

    /// <summary>Builds the step inside a shard: connects its ports to its upstreams, and itself to its downstreams.</summary>
    public required Action<FlowInstance, Step> Build { get; init; }

    /// <summary>The topic that is read or written, for inputs and outputs.</summary>
    public string? Topic { get; init; }

    /// <summary>How a person reads and writes the records of that topic.</summary>
    public TopicForm? Records { get; init; }

    /// <summary>Settings of the input, for inputs.</summary>
    public InputOptions? Input { get; init; }

    /// <summary>The type of the state as a person reads it, for stateful steps.</summary>
    public string? State { get; init; }

    /// <summary>How a person reads the keys and states, for stateful steps.</summary>
    public StateForm? Form { get; init; }

    /// <summary>Why records go through a topic of the engine here, for repartition steps.</summary>
    public string? RepartitionReason { get; init; }

    /// <summary>Made by the engine as part of another step: its id may have a dot.</summary>
    public bool IsPart { get; init; }

    public bool IsRepartition => RepartitionReason is not null;

    public bool IsSource => Input is not null || IsRepartition;

    /// <summary>The inputs and repartition topics whose partitions decide in which shard a value reaches this step.</summary>
    public IReadOnlyList<Step> Sources =>
        [.. Upstreams.SelectMany(upstream => upstream.Step.IsSource ? [upstream.Step] : upstream.Step.Sources).Distinct()];

    /// <summary>For an input: a stateful step where values of it meet those of other topics by key; null when none does.</summary>
    public string? MeetsOthersAt { get; set; }

    /// <summary>Whether the step does something that can be seen outside.</summary>
    public bool IsEnd => Operator is "output" or "inspect" or "raises";

    /// <summary>The name of this step's repartition topic for an application.</summary>
    public string RepartitionTopic(string app) => $"{app}-{Id}";
}

/// <summary>Where items leave a step; the identity of an edge of the flow.</summary>
internal abstract class Outlet(Dataflow flow)
{
    public Dataflow Flow { get; } = flow;

    public Step Step { get; set; } = null!;

    /// <summary>Names the side for steps with two outlets (branch); else null.</summary>
    public string? Side { get; init; }
}

/// <summary>An outlet of items of one type.</summary>
internal sealed class Outlet<T>(Dataflow flow) : Outlet(flow);
