using Microsoft.Extensions.Logging;

namespace KStreamSharp;

/// <summary>What an instance is made of, and what all its parts may use.</summary>
internal class InstanceContext
{
    public required Dataflow Flow { get; init; }

    public required Broker Broker { get; init; }

    public required StreamOptions Options { get; init; }

    public required ILogger Logger { get; init; }

    public required TimeProvider Time { get; init; }

    public required string App { get; init; }

    public required string InstanceId { get; init; }

    public required AppTopics Topics { get; init; }

    public required StateLimits Limits { get; init; }

    public required StateFolder Folder { get; init; }

    public Counters Counters { get; } = new();

    public required Telemetry Telemetry { get; init; }

    /// <summary>When the instance began to end, by the time provider's timestamp; 0 before. Calls are not retried for ever after it.</summary>
    public long EndingSince;

    /// <summary>Called when a numbered step of commit, takeover or snapshot has been reached, after a turn, and before a transaction begins; tests stop an instance there.</summary>
    public Action<string>? Reached { get; init; }

    /// <summary>Begins long work beside the parts' turns; drivers and simulations do it in place.</summary>
    public Func<Func<Task>, Task> Beside { get; init; } = static work => work();

    /// <summary>Commits only when asked by hand, as a driver does.</summary>
    public bool CommitsByHand { get; init; }

    public int ShardCount => Topics.ShardCount;

    /// <summary>The ids of the steps that keep state.</summary>
    public IEnumerable<string> StepsWithState => Flow.Steps.Where(step => step.State is not null).Select(step => step.Id);

    public long NowMilliseconds => Time.GetUtcNow().ToUnixTimeMilliseconds();
}
