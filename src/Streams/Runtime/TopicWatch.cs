namespace KStreamSharp;

/// <summary>Looks at the topics now and then: one that is changed, or made anew, under way must not be read or written on as if nothing had happened.</summary>
internal sealed class TopicWatch(EngineParts parts)
{
    private static readonly TimeSpan Every = TimeSpan.FromMinutes(1);

    private long _lookedAt = parts.Time.GetTimestamp();

    /// <summary>Looks, when it is time to.</summary>
    /// <exception cref="StreamException">A topic has other partitions than at the start, or was made anew.</exception>
    public void Step()
    {
        if (parts.Time.GetElapsedTime(_lookedAt) < Every)
        {
            return;
        }

        _lookedAt = parts.Time.GetTimestamp();
        try
        {
            parts.Topics.Look(parts.Broker);
        }
        catch (BrokerException error) when (error.Consequence == Consequence.Retry)
        {
            // The broker is away; the next look tells.
        }
        catch (BrokerException error)
        {
            // To look is housekeeping: what may not be asked any more is no reason to end. Whatever reads and writes says what it needs.
            Log.TopicsNotLookedAt(parts.Logger, Every.TotalMinutes, error.Message);
        }
    }
}
