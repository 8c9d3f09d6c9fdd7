namespace KStreamSharp.Hosting;

/// <summary>The last commit of a shard, by its marker in the changelog.</summary>
/// <param name="Marker">The marker.</param>
/// <param name="Timestamp">The time of the commit, in milliseconds since 1970.</param>
internal sealed record LastCommit(CommitMarker Marker, long Timestamp)
{
    private const int BatchMax = 10_000;

    /// <summary>Finds it in a changelog partition as far as that is committed; null when there is none.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="app">The application.</param>
    /// <param name="changelog">The partition.</param>
    /// <param name="end">Where to stop; waits until it can be read up to there.</param>
    /// <param name="again">What the user does again when a transaction has ended that is still open there.</param>
    /// <exception cref="StreamException">A transaction stays open, or the broker does not answer.</exception>
    public static LastCommit? Find(Broker broker, string app, TopicPartition changelog, long end, string again)
    {
        long start = BrokerCalls.Ask(() => broker.StartOffset(changelog));
        using Reader reader = BrokerCalls.Ask(() => broker.CreateReader(readCommitted: true, hurries: true));

        // It is the last record of the last commit. Only records of aborted transactions and markers of their ends come after it.
        for (long back = 1_000; ; back *= 10)
        {
            long from = Math.Max(start, end - back);
            LastCommit? last = null;
            BrokerCalls.Ask(() => reader.Assign(changelog, from));
            BrokerCalls.Await(
                () =>
                {
                    while (BrokerCalls.Ask(() => reader.Read(changelog, BatchMax)) is { } batch)
                    {
                        for (int i = 0; i < batch.Count; i++)
                        {
                            if (batch[i].Offset < end && ShardChanges.ReadKey(batch[i].Key, out _) is null)
                            {
                                last = new(CommitMarker.Read(batch[i].Value), batch[i].Timestamp);
                            }
                        }
                    }

                    return reader.Position(changelog) >= end;
                },
                () => $"A transaction of application '{app}' is still open in {changelog} at offset {reader.Position(changelog)}. It ends by its time-out; then {again} again.");
            if (last is not null || from == start)
            {
                return last;
            }
        }
    }
}
