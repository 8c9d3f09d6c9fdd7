namespace KStreamSharp.Hosting;

/// <summary>A reset of an application that is stopped: looks and refuses first, says what it would do, then does it step by step.</summary>
/// <param name="broker">The broker.</param>
/// <param name="app">The application.</param>
/// <param name="reached">Called after each numbered step; tests stop there.</param>
internal abstract class ResetJob(Broker broker, string app, Action<string>? reached)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Nap = TimeSpan.FromMilliseconds(50);

    protected Broker Broker { get; } = broker;

    protected string App { get; } = app;

    /// <summary>What would be done, a line each; none when there is nothing to do. Nothing is changed.</summary>
    /// <exception cref="StreamException">The application is not in a state to be reset, or the broker does not answer.</exception>
    public abstract IReadOnlyList<string> Look();

    /// <summary>Does it, and tells each thing that is done. Cut off, it is to be done again.</summary>
    /// <exception cref="StreamException">An instance is at work, or the broker refuses; the message says what is left.</exception>
    public abstract void Run(Action<string> tell);

    /// <exception cref="StreamException">The application's group has members.</exception>
    public void CheckMembers()
    {
        int members = BrokerCalls.Ask(() => Broker.CountMembers(App));
        if (members > 0)
        {
            throw new StreamException(
                ExitCode.Broker,
                $"Application '{App}' has {members} live member{(members == 1 ? "" : "s")}. Stop its instances first. One that was killed, or has an id of its own (--instance-id), counts until its session times out (15 s, unless set otherwise).");
        }
    }

    protected void Reach(string step) => reached?.Invoke(step);

    protected bool Exists(string topic) => BrokerCalls.Ask(() => Broker.DescribeTopic(topic)) is not null;

    /// <summary>The group's positions, when no transaction is pending on them.</summary>
    protected long?[] Positions(IReadOnlyList<TopicPartition> partitions)
    {
        long?[] positions = [];
        Await(
            () => BrokerCalls.Ask(() => Broker.TryGetCommittedOffsets(App, partitions, out positions)),
            () => $"A transaction of application '{App}' is still open on its positions. It ends by its time-out; then reset again.");
        return positions;
    }

    /// <summary>The last commit marker in a changelog partition as far as it is committed; null when there is none.</summary>
    /// <param name="changelog">The partition.</param>
    /// <param name="end">Where to stop; waits until it can be read up to there.</param>
    protected CommitMarker? LastMarker(TopicPartition changelog, long end)
    {
        long start = BrokerCalls.Ask(() => Broker.StartOffset(changelog));
        using Reader reader = Broker.CreateReader(readCommitted: true);

        // It is the last record of the last commit. Only records of aborted transactions and markers of their ends come after it.
        for (long back = 1_000; ; back *= 10)
        {
            long from = Math.Max(start, end - back);
            CommitMarker? last = null;
            reader.Assign(changelog, from);
            Await(
                () =>
                {
                    while (BrokerCalls.Ask(() => reader.Read(changelog, 10_000)) is { } batch)
                    {
                        for (int i = 0; i < batch.Count; i++)
                        {
                            if (batch[i].Offset < end && ShardChanges.ReadKey(batch[i].Key, out _) is null)
                            {
                                last = CommitMarker.Read(batch[i].Value);
                            }
                        }
                    }

                    return reader.Position(changelog) >= end;
                },
                () => $"A transaction of application '{App}' is still open in {changelog} at offset {reader.Position(changelog)}. It ends by its time-out; then reset again.");
            if (last is not null || from == start)
            {
                return last;
            }
        }
    }

    /// <exception cref="StreamException">It was not so in time.</exception>
    protected static void Await(Func<bool> condition, Func<string> otherwise)
    {
        for (long began = TimeProvider.System.GetTimestamp(); !condition();)
        {
            if (TimeProvider.System.GetElapsedTime(began) > Patience)
            {
                throw new StreamException(ExitCode.Broker, otherwise());
            }

            Thread.Sleep(Nap);
        }
    }
}
