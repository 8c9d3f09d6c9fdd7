namespace KStreamSharp;

/// <summary>
/// How much a worker takes into one transaction: as much as it may, until one outlived its limit; then so much less that it
/// should fit, and again more with every transaction that stays young.
/// </summary>
internal sealed class Pace
{
    private readonly int _most;

    /// <summary>Full pace.</summary>
    /// <param name="most">The records of one source that one turn takes at most.</param>
    public Pace(int most) => Records = _most = most;

    /// <summary>The records that one turn takes at most.</summary>
    public int Records { get; private set; }

    /// <summary>Whether a turn is kept small, and committed before the next one.</summary>
    public bool IsCareful { get; private set; }

    /// <summary>Nothing smaller can be tried.</summary>
    public bool IsSlowest => IsCareful && Records == 1;

    /// <summary>A transaction has outlived its limit, or would have.</summary>
    /// <param name="records">The records that it took.</param>
    /// <param name="share">The share of its work that would have fitted, as far as is known.</param>
    public void Slow(long records, double share)
    {
        Records = (int)Math.Max(1, Math.Clamp(records, 1, Records) * share / 2);
        IsCareful = true;
    }

    /// <summary>A transaction was committed well before its limit.</summary>
    public void Quicken()
    {
        Records = (int)Math.Min(_most, Records * 2L);
        IsCareful = Records < _most;
    }
}
