namespace KStreamSharp;

/// <summary>Whether this instance works to an end, which run it is in, and whether that is done.</summary>
internal sealed class FiniteRun
{
    private long _run;
    private volatile bool _wanted;

    /// <summary>The instance is to process what the inputs have now, and to end.</summary>
    public bool IsWanted => _wanted;

    /// <summary>The run that this instance is in; 0 before it has joined one.</summary>
    public long Run => Volatile.Read(ref _run);

    public void Want() => _wanted = true;

    /// <summary>This instance has announced a run; 0 takes it back when the announcement was aborted.</summary>
    public void Join(long run) => Volatile.Write(ref _run, run);

    public void See(RunLedger.State ledger)
    {
        if (_wanted && Run == 0 && ledger is { IsLoaded: true, InProgress: true })
        {
            Join(ledger.Run);
        }
    }

    public bool IsDone(RunLedger.State ledger) => _wanted && Run > 0 && (ledger.Run > Run || (ledger.Run == Run && ledger.AllDone));
}
