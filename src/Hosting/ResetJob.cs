namespace KStreamSharp.Hosting;

/// <summary>A reset of an application that is stopped: looks and refuses first, says what it would do, then does it step by step.</summary>
/// <param name="broker">The broker.</param>
/// <param name="app">The application.</param>
/// <param name="reached">Called after each numbered step; tests stop there.</param>
internal abstract class ResetJob(Broker broker, string app, Action<string>? reached)
{
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
        BrokerCalls.Await(
            () => BrokerCalls.Ask(() => Broker.TryGetCommittedOffsets(App, partitions, out positions)),
            () => $"A transaction of application '{App}' is still open on its positions. It ends by its time-out; then reset again.");
        return positions;
    }
}
