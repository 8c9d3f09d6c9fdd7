namespace KStreamSharp;

/// <summary>Looks at the inputs' partitions now and then: a topic that is changed under way must not be read on as if nothing had happened.</summary>
internal sealed class TopicWatch(EngineParts parts)
{
    private static readonly TimeSpan Every = TimeSpan.FromMinutes(1);

    private long _lookedAt = parts.Time.GetTimestamp();

    /// <summary>Looks, when it is time to.</summary>
    /// <exception cref="StreamException">A topic has other partitions than at the start.</exception>
    public void Step()
    {
        if (parts.Time.GetElapsedTime(_lookedAt) < Every)
        {
            return;
        }

        _lookedAt = parts.Time.GetTimestamp();
        try
        {
            parts.Topics.Look(parts.Broker, parts.Flow);
        }
        catch (BrokerException error) when (error.Consequence == Consequence.Retry)
        {
            // The broker is away; the next look tells.
        }
    }
}
