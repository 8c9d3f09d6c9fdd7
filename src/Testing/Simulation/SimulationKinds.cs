namespace KStreamSharp.Testing;

/// <summary>
/// Instances that end with the inputs and instances without an end, of one application at one time: the finite one has to end,
/// or to say that the other one is in its way; and only if there is such a one.
/// </summary>
internal sealed class SimulationKinds(Cluster cluster, Action<string> count)
{
    private const string WithoutAnEnd = "without an end";

    private bool _isMixed;

    /// <summary>Starts an instance of the other kind than the cluster's; if it is up, it is stopped first.</summary>
    public void Start(Cluster.Member member)
    {
        if (member.IsUp)
        {
            member.Stop();
        }

        if (member.IsUp)
        {
            return;
        }

        count($"OtherKind: {(cluster.UntilEnd ? "endless beside finite" : "finite beside endless")}");
        _isMixed = true;
        member.Open(untilEnd: !cluster.UntilEnd);
    }

    /// <summary>Who is done leaves, as a process does; the rest is endless, and would not.</summary>
    public void Look()
    {
        if (_isMixed && !cluster.UntilEnd)
        {
            cluster.Members.FindAll(member => member is { IsFinite: true, IsDone: true, IsBusy: false, IsAsleep: false }).ForEach(Leave);
        }
    }

    /// <summary>The faults are over: no finite instance may wait for an endless one for ever.</summary>
    public void Settle(int rounds)
    {
        if (!_isMixed)
        {
            return;
        }

        cluster.Until(
            () =>
            {
                cluster.Members.FindAll(member => member is { IsFinite: true, IsDone: true }).ForEach(Leave);
                return cluster.Members.TrueForAll(member => !member.IsFinite);
            },
            "every instance that is to end has ended, or has said why it cannot",
            rounds);
        _isMixed = false;
    }

    /// <summary>Whether an instance ends because of an endless one.</summary>
    public static bool Is(StreamException error) =>
        error.Code == ExitCode.Usage && error.Message.Contains(WithoutAnEnd, StringComparison.Ordinal);

    /// <summary>An instance has ended because of another one: that must have been there meanwhile, and endless.</summary>
    public void Ended(Cluster.Member member, StreamException error)
    {
        string name = error.Message.Split('\'')[1];
        if (!cluster.Members.Exists(other => other.Name == name && other.WasEndlessSince(member.OpenedAt)))
        {
            throw new SimulationBreach(
                $"{member.Name} ends because of {name}, which has not been endless since {member.Name} was started: {error.Message}");
        }

        if (_isMixed)
        {
            count("OtherKind: the finite one has said why it ends");
        }
    }

    private void Leave(Cluster.Member member)
    {
        count("OtherKind: the finite one is done");
        member.Stop();
    }
}
