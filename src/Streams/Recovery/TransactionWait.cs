namespace KStreamSharp;

/// <summary>A wait for another's transaction to end. It does so at the latest by its time-out: what takes longer is worth a word, again and again.</summary>
internal sealed class TransactionWait(InstanceContext parts)
{
    private long _since;
    private long _saidAt;

    /// <summary>Nothing is waited for now.</summary>
    public void End() => _since = 0;

    /// <summary>Call it while it lasts.</summary>
    /// <param name="say">Logs the wait; gets the seconds since it began.</param>
    public void Go(Action<double> say)
    {
        long now = parts.Time.GetTimestamp();
        if (_since == 0)
        {
            _since = _saidAt = now;
        }
        else if (parts.Time.GetElapsedTime(_saidAt, now) > parts.Options.TransactionTimeout)
        {
            _saidAt = now;
            say(parts.Time.GetElapsedTime(_since, now).TotalSeconds);
        }
    }
}
