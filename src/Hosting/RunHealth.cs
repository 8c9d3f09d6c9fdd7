namespace KStreamSharp.Hosting;

/// <summary>How a run is, decided from the engine's status alone.</summary>
/// <param name="flow">The flow's id.</param>
/// <param name="options">The engine's options.</param>
/// <param name="status">What the engine says of itself.</param>
/// <param name="time">The clock.</param>
internal sealed class RunHealth(string flow, StreamOptions options, Func<EngineStatus> status, TimeProvider time)
{
    private volatile bool _hasStarted;

    public string Flow => flow;

    public string App => options.AppId ?? flow;

    public EngineStatus Status => status();

    public DateTimeOffset Now => time.GetUtcNow();

    /// <summary>
    /// Why the process is to be started again; nothing while its loops turn. A restore, however long, and a broker that is away
    /// are no reasons: a new process would have to wait for the same.
    /// </summary>
    public IReadOnlyList<string> WhyNotLive()
    {
        EngineStatus now = Status;
        List<string> reasons = [];
        if (now.LastMembershipTurn is { } turned && Now - turned > options.StallTimeout)
        {
            reasons.Add($"the loop that keeps the membership has not turned for {(Now - turned).TotalSeconds:0} s");
        }

        foreach (WorkerStatus worker in now.Workers.Where(worker => worker.InTurn > options.StallTimeout))
        {
            reasons.Add($"worker {worker.Worker} has been in one turn for {worker.InTurn.TotalSeconds:0} s");
        }

        return reasons;
    }

    /// <summary>Why the start is not over yet: it is when the group has first given the instance its share.</summary>
    public IReadOnlyList<string> WhyNotStarted()
    {
        _hasStarted = _hasStarted || Status.IsMember;
        return _hasStarted ? [] : [NotAMember(Status)];
    }

    /// <summary>Why the instance does not do its share of the work now.</summary>
    public IReadOnlyList<string> WhyNotReady()
    {
        EngineStatus now = Status;
        if (now.IsEnding)
        {
            return ["the instance is ending"];
        }

        return now.IsMember ? [.. now.Shards.Where(shard => shard.State != ShardState.Running).Select(Describe)] : [NotAMember(now)];
    }

    private static string NotAMember(EngineStatus now) => now.InstanceId.Length == 0 ? "the instance has not started yet" : "the instance is no member of its group";

    private static string Describe(ShardStatus shard) => shard switch
    {
        { Restore: { } restore } => $"shard {shard.Shard} is restored from {restore.Source}: {restore.Done} of {restore.Total} {restore.Unit}",
        { State: ShardState.Closing } => $"shard {shard.Shard} is being given up",
        { State: ShardState.Owned } => $"shard {shard.Shard} waits for its restore",
        _ => $"shard {shard.Shard} is being restored",
    };
}
