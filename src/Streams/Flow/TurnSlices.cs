namespace KStreamSharp;

/// <summary>How much a worker does before it looks up. The defaults serve everyone; simulations draw others, so that a slice's edge is met with few keys.</summary>
internal sealed record TurnSlices
{
    /// <summary>The timer hints that one step looks at in one turn.</summary>
    public int Timers { get; init; } = 250;

    /// <summary>The keys that one step handles at the end of the input in one turn.</summary>
    public int EndOfInput { get; init; } = 1_000;

    /// <summary>The records after which a commit is due, however young the transaction is.</summary>
    public int RecordsPerCommit { get; init; } = 100_000;

    /// <summary>The committed records of a repartition partition that gather before they are deleted.</summary>
    public int Purge { get; init; } = 10_000;
}
