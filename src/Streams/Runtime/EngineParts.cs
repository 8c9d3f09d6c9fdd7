namespace KStreamSharp;

/// <summary>What the parts that run shards share, on top of the context.</summary>
internal sealed class EngineParts : InstanceContext
{
    public required Ownership Ownership { get; init; }

    public required ShardTable Table { get; init; }

    /// <summary>What is known of each shard, by its number.</summary>
    public required IReadOnlyList<ShardFigures> Figures { get; init; }

    public EngineSteps Steps { get; init; } = EngineSteps.Default;
}
