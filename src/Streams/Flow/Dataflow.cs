namespace KStreamSharp;

/// <summary>
/// A flow: named steps from inputs to outputs. Declared once, run by any number of instances. Steps are checked when they
/// are added, the whole when it is first described, run or driven.
/// </summary>
/// <remarks>The operators follow Bytewax's; <c>docs/operators.md</c> says what differs.</remarks>
public sealed class Dataflow
{
    private readonly List<Step> _steps = [];
    private readonly HashSet<string> _ids = [];
    private readonly HashSet<string> _made = [];
    private bool _sealed;

    /// <summary>An empty flow.</summary>
    /// <param name="id">The flow's name: letters, digits, '_' and '-'. The application's id, unless another is set.</param>
    /// <exception cref="FlowException">The name is empty or has other characters.</exception>
    public Dataflow(string id)
    {
        CheckId(id, "flow");
        Id = id;
    }

    /// <summary>The flow's name.</summary>
    public string Id { get; }

    internal IReadOnlyList<Step> Steps => _steps;

    /// <summary>Reads a topic whose partitions own its keys.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="topic">The topic.</param>
    /// <param name="options">How to treat bad records and where to begin; null for the defaults.</param>
    /// <returns>The stream of its records. Records without a key are bad records.</returns>
    /// <exception cref="FlowException">The id is taken, empty or has a dot; or another step reads the same topic.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, int&gt; temps = flow.Input("temps", Topic.Keyed&lt;string, int&gt;("temps"));
    /// Stream&lt;string&gt; lines = flow.Input("lines", Topic.Values&lt;string&gt;("lines"), new InputOptions { BadRecords = BadRecords.Skip });
    /// Stream&lt;Record&lt;string, byte[]&gt;&gt; records = flow.Input("records", Topic.Records&lt;string, byte[]&gt;("records"));
    /// </code>
    /// </example>
    public KeyedStream<TKey, TValue> Input<TKey, TValue>(string id, KeyedTopic<TKey, TValue> topic, InputOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(topic);
        Outlet<Keyed<TKey, TValue>> outlet = AddInput(id, topic.Name, options, new KeyedDecoder<TKey, TValue>(topic.Name, topic.Key, topic.Value), topic.Form);
        return new KeyedStream<TKey, TValue>(outlet, topic.Key, topic.Value, keyChangedBy: null);
    }

    /// <summary>Reads the values of a topic.</summary>
    /// <typeparam name="T">The type of the values.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="topic">The topic.</param>
    /// <param name="options">How to treat bad records and where to begin; null for the defaults.</param>
    /// <returns>The stream of its values.</returns>
    /// <exception cref="FlowException">The id is taken, empty or has a dot; or another step reads the same topic.</exception>
    public Stream<T> Input<T>(string id, ValueTopic<T> topic, InputOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(topic);
        return new Stream<T>(AddInput(id, topic.Name, options, new ValueDecoder<T>(topic.Name, topic.Value, topic.TakesNull), topic.Form));
    }

    /// <summary>Reads whole records of a topic.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <param name="topic">The topic.</param>
    /// <param name="options">How to treat bad records and where to begin; null for the defaults.</param>
    /// <returns>The stream of its records.</returns>
    /// <exception cref="FlowException">The id is taken, empty or has a dot; or another step reads the same topic.</exception>
    public Stream<Record<TKey, TValue>> Input<TKey, TValue>(string id, RecordTopic<TKey, TValue> topic, InputOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(topic);
        return new Stream<Record<TKey, TValue>>(AddInput(id, topic.Name, options, new RecordDecoder<TKey, TValue>(topic.Name, topic.Key, topic.Value), topic.Form));
    }

    /// <summary>Checks the whole flow; running, describing and driving it do so by themselves.</summary>
    /// <exception cref="FlowException">There is no input, or nothing that the flow does.</exception>
    public void Check()
    {
        if (!_steps.Any(step => step.Input is not null))
        {
            throw new FlowException($"Flow '{Id}' has no input. Add one with Input(...).");
        }

        if (!_steps.Any(step => step.IsEnd))
        {
            throw new FlowException($"Flow '{Id}' does nothing that can be seen: it has no output, inspect or raises step. Add one, for example Output(...).");
        }
    }

    /// <summary>Describes the flow: its steps, topics and states, and where records are repartitioned, and why.</summary>
    /// <param name="appId">The application, which repartition topics are named after; null for the flow's id.</param>
    /// <exception cref="FlowException">The flow is not complete.</exception>
    public FlowDescription Describe(string? appId = null)
    {
        Check();
        return new FlowDescription(
            Id,
            [
                .. _steps.Select(step => new StepDescription(
                    step.Id,
                    step.Operator,
                    [.. step.Upstreams.Select(upstream => upstream.Side is null ? upstream.Step.Id : $"{upstream.Step.Id}:{upstream.Side}")],
                    step.IsRepartition ? step.RepartitionTopic(appId ?? Id) : step.Topic,
                    step.State,
                    step.RepartitionReason)),
            ]);
    }

    /// <summary>No step can be added from now on: an engine has read the flow.</summary>
    internal void Seal()
    {
        Check();
        _sealed = true;
        foreach (Step step in _steps.Where(step => step.State is not null && step.Sources.Count > 1))
        {
            foreach (Step input in step.Sources.Where(source => source.Input is not null))
            {
                input.MeetsOthersAt ??= step.Id;
            }
        }
    }

    internal Outlet<TOut> Add<TIn, TOut>(
        string id, string name, Outlet<TIn> upstream, Func<FlowInstance, Step, Port<TOut>, Port<TIn>> port, string? state = null, StateForm? form = null)
    {
        RefuseTasks(id, typeof(TOut));
        Outlet<TOut> outlet = new(this);
        AddStep(
            new Step
            {
                Id = id,
                Operator = name,
                Upstreams = [upstream],
                State = state,
                Form = form,
                Build = (instance, step) => instance.Connect(upstream, port(instance, step, instance.Downstream(outlet))),
            },
            outlet);
        return outlet;
    }

    /// <summary>Adds a step that ends a branch of the flow.</summary>
    internal void AddEnd<TIn>(string id, string name, Outlet<TIn> upstream, string? topic, Func<FlowInstance, Step, Port<TIn>> port, TopicForm? records = null) =>
        AddStep(new Step
        {
            Id = id,
            Operator = name,
            Upstreams = [upstream],
            Topic = topic,
            Records = records,
            Build = (instance, step) => instance.Connect(upstream, port(instance, step)),
        });

    /// <summary>An id for a step that was given none, which names nothing that is stored: the operator and the step's place, with a dot, so nobody's else.</summary>
    internal string IdFor(string name)
    {
        string id = $"{name}.{_steps.Count + 1}";
        _made.Add(id);
        return id;
    }

    internal void AddStep(Step step, params ReadOnlySpan<Outlet> outlets)
    {
        if (_sealed)
        {
            throw new FlowException($"Step '{step.Id}' comes too late: flow '{Id}' has been started. Build the whole flow first.");
        }

        if (step.State is not null || (!step.IsRepartition && !step.IsPart && !_made.Contains(step.Id)))
        {
            CheckId(step.Id, "step");
        }

        CheckFree(step.Id);

        foreach (Outlet upstream in step.Upstreams)
        {
            CheckOwn(step.Id, upstream);
        }

        _ids.Add(step.Id);

        _steps.Add(step);
        foreach (Outlet outlet in outlets)
        {
            outlet.Step = step;
        }
    }

    /// <summary>For steps that are made of several: the id is checked before the first part is added.</summary>
    internal void CheckNew(string id)
    {
        CheckId(id, "step");
        CheckFree(id);
    }

    /// <summary>Takes an id for a step of which only the parts are in the flow.</summary>
    internal void Reserve(string id)
    {
        CheckNew(id);
        _ids.Add(id);
    }

    internal void CheckOwn(string id, Outlet upstream)
    {
        if (upstream.Flow != this)
        {
            throw new FlowException($"Step '{id}' of flow '{Id}' was given a stream of flow '{upstream.Flow.Id}'. A flow uses its own streams only.");
        }
    }

    /// <summary>Equal keys must have equal bytes where streams meet: bytes decide the shard, and find the state.</summary>
    internal static void CheckSameKeys<TKey>(string id, Serde<TKey> first, Serde<TKey> other)
    {
        if (!Equals(first.Exact, other.Exact))
        {
            throw new FlowException(
                $"The upstreams of step '{id}' write their keys by different serdes, so equal keys could be in different shards. "
                + "Give their topics one serde object, or put KeyOn(\"...\", (key, _) => key, serde) before the step on one of them.");
        }
    }

    /// <summary>Checks values that are to cross a topic of the engine.</summary>
    internal static Serde<T> CheckedTravel<T>(string id, string part, Serde<T> serde) => serde.WhyNotRoundTrip() is { } reason
        ? throw new FlowException($"Step '{id}' cannot send its {part} through a topic: {reason}. Change the type, or name a serde for it.")
        : serde.Exact;

    internal static void RefuseTasks(string id, Type type)
    {
        if (typeof(Task).IsAssignableFrom(type) || type == typeof(ValueTask)
            || (type.IsGenericType && (type.GetGenericTypeDefinition() == typeof(ValueTask<>) || type.GetGenericTypeDefinition() == typeof(IAsyncEnumerable<>))))
        {
            throw new FlowException($"Step '{id}' would put out tasks ({type.Name}): operators take plain functions, so do without 'async' there.");
        }
    }

    internal static Serde<TState> CheckedState<TState>(string id, Serde<TState>? serde)
    {
        RefuseTasks(id, typeof(TState));
        Serde<TState> chosen = serde ?? Serde.For<TState>();
        return chosen.WhyNotRoundTrip() is { } reason
            ? throw new FlowException($"Step '{id}' cannot keep its state: {reason}. Change the type, or give the step a serde for it.")
            : chosen.Exact;
    }

    private static void CheckId(string? id, string what)
    {
        if (string.IsNullOrEmpty(id))
        {
            throw new FlowException($"A {what} needs an id; it is empty.");
        }

        if (id.Length > 100 || !id.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-'))
        {
            throw new FlowException($"'{id}' is no id for a {what}: up to 100 letters, digits, '_' and '-' (dots separate the parts of internal names).");
        }
    }

    private void CheckFree(string id)
    {
        if (_ids.Contains(id))
        {
            throw new FlowException($"Step '{id}' exists twice in flow '{Id}'. Give each step an id of its own.");
        }
    }

    private Outlet<T> AddInput<T>(string id, string topic, InputOptions? options, Decoder<T> decoder, TopicForm records)
    {
        InputOptions input = options ?? new InputOptions();
        if (_steps.FirstOrDefault(step => step.Input is not null && step.Topic == topic) is { } other)
        {
            throw new FlowException($"Step '{id}' reads topic '{topic}', which step '{other.Id}' reads already. Use its stream twice instead.");
        }

        Outlet<T> outlet = new(this);
        AddStep(
            new Step
            {
                Id = id,
                Operator = "input",
                Upstreams = [],
                Topic = topic,
                Records = records,
                Input = input,
                Build = (instance, step) => instance.AddInlet(new Inlet<T>(instance, step, topic, decoder, instance.Downstream(outlet))),
            },
            outlet);
        return outlet;
    }
}
