namespace KStreamSharp;

/// <summary>
/// The transaction has grown too old in the midst of a batch, which cannot be left half done: the turn is taken back and done
/// again with fewer records.
/// </summary>
internal sealed class TurnTooLongException(string step, int done, int of)
    : Exception($"step '{step}' has handled {done} of {of} {(of == 1 ? "batch" : "batches")}")
{
    /// <summary>The share of the work that fitted.</summary>
    public double Share { get; } = (double)done / of;
}
