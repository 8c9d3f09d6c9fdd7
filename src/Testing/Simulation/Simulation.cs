namespace KStreamSharp.Testing;

/// <summary>
/// Runs a flow on up to four instances in one thread, over an embedded broker, while things go wrong: crashes and pauses
/// at any step of a commit or a takeover, lost answers, late markers, fenced writers, lost folders, clocks that jump. What
/// happens is drawn from a seed; the same seed gives the same run.
/// </summary>
/// <remarks>
/// Besides the flow's own check, every run is looked at for what must hold of any flow: two owners never both commit a
/// shard, positions never go back, no transaction hangs, every finite run ends.
/// </remarks>
public sealed class Simulation
{
    /// <summary>A simulation of a flow.</summary>
    /// <param name="flow">The flow. Nothing may be added to it any more.</param>
    /// <param name="push">Pushes a record into an input topic, drawn from the random numbers it is given; it must use no others.</param>
    /// <param name="check">
    /// Called when every finite run has ended and all instances have left: compares the outputs with the inputs, and throws
    /// when they do not match.
    /// </param>
    /// <exception cref="FlowException">The flow is not complete.</exception>
    public Simulation(Dataflow flow, Action<Random, SimulationTopics> push, Action<SimulationTopics> check)
    {
        ArgumentNullException.ThrowIfNull(flow);
        ArgumentNullException.ThrowIfNull(push);
        ArgumentNullException.ThrowIfNull(check);
        flow.Seal();
        Flow = flow;
        Push = push;
        Check = check;
    }

    /// <summary>The guarantee to run with; default <see cref="Guarantee.ExactlyOnce"/>.</summary>
    public Guarantee Guarantee { get; init; } = Guarantee.ExactlyOnce;

    /// <summary>How many events a run has; default 250.</summary>
    public int Events { get; init; } = 250;

    /// <summary>How many runs may be spent on a shorter list of events for a run that failed; default 200.</summary>
    public int ShrinkRuns { get; init; } = 200;

    /// <summary>A fault: readers forget what they have paused, as Kafka's client does.</summary>
    internal bool ForgetsPauses { get; init; }

    /// <summary>A fault: an engine sees the time that code takes only when the worker's turn is over.</summary>
    internal bool IsBlindInTurns { get; init; }

    /// <summary>A fault: what stands between an instance and the broker, given the broker and the application.</summary>
    internal Func<Broker, string, Broker> Between { get; init; } = (broker, _) => broker;

    internal EngineSteps Steps { get; init; } = EngineSteps.Default;

    /// <summary>What the code of the steps calls, so that it takes time and fails; null where it calls nothing.</summary>
    internal SimulatedCode? Code { get; init; }

    /// <summary>The partitions of a topic of the flow, given the number of shards.</summary>
    internal Func<string, int, int> Partitions { get; init; } = (_, shards) => shards;

    internal Dataflow Flow { get; }

    internal Action<Random, SimulationTopics> Push { get; }

    internal Action<SimulationTopics> Check { get; }

    /// <summary>Runs the schedule of one seed. If it fails, shorter schedules that fail too are looked for.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="trace">Told every event of the run before it happens; null for nobody.</param>
    public SimulationReport Run(int seed, Action<string>? trace = null)
    {
        List<SimulationEvent> events = SimulationEvent.Draw(new Random(seed), Events, TakesSnapshots(seed), new SimulationMix(seed));
        (string? breach, IReadOnlyDictionary<string, int> faults) = Play(seed, events, trace);
        if (breach is not null)
        {
            (events, breach) = Shrink(seed, events, breach);
        }

        return new SimulationReport(seed, breach, [.. events.Select(e => e.ToString())], faults);
    }

    /// <summary>Whether the instances of a seed's run have a snapshot store: in two of five.</summary>
    internal static bool TakesSnapshots(int seed) => seed % 5 is 2 or 4;

    private (string? Breach, IReadOnlyDictionary<string, int> Faults) Play(int seed, IReadOnlyList<SimulationEvent> events, Action<string>? trace)
    {
        using SimulationRun run = new(this, seed, events, trace);
        try
        {
            run.Play();
            return (null, run.Faults);
        }
        catch (Exception error) when (error is not OutOfMemoryException)
        {
            // Whatever a run ends with is its result: the breach of a check, an error of the engine, or a run that never ends.
            return ($"{error.GetType().Name}: {error.Message}", run.Faults);
        }
    }

    /// <summary>Leaves out ever smaller parts of the list, as long as the rest fails.</summary>
    private (List<SimulationEvent> Events, string Breach) Shrink(int seed, List<SimulationEvent> events, string breach)
    {
        int left = ShrinkRuns;
        for (int size = events.Count / 2; size > 0 && left > 0; size /= 2)
        {
            for (int at = events.Count - size; at >= 0 && left > 0; at -= size)
            {
                List<SimulationEvent> fewer = [.. events.Take(at), .. events.Skip(at + size)];
                left--;
                if (Play(seed, fewer, trace: null).Breach is { } same)
                {
                    (events, breach) = (fewer, same);
                    at = Math.Min(at, events.Count);
                }
            }
        }

        return (events, breach);
    }
}

/// <summary>What came of one seed.</summary>
/// <param name="Seed">The seed.</param>
/// <param name="Breach">What did not hold, or null when all did.</param>
/// <param name="Events">The events of the run; if it failed, of the shortest run found that fails too.</param>
/// <param name="Faults">How often each fault happened, by kind and step.</param>
public sealed record SimulationReport(int Seed, string? Breach, IReadOnlyList<string> Events, IReadOnlyDictionary<string, int> Faults);
