using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KStreamSharp;

/// <summary>
/// One opened instance of an application: its parts, each with a step of bounded work. <see cref="StreamEngine"/> turns them
/// on threads; drivers and simulations turn them by hand, in any order.
/// </summary>
internal sealed class Instance : IDisposable
{
    /// <summary>How many turns the orderly end by hand gives to the last snapshots.</summary>
    private const int SnapshotTurnsMax = 100;

    private const int RestoresAtOnce = 4;

    private readonly EngineParts _parts;
    private long _membershipTurned;

    private Instance(EngineParts parts, FiniteRun run, bool isThreaded)
    {
        _parts = parts;
        Run = run;
        Membership = new Membership(parts);
        Ledger = new RunLedger(parts, run);
        int workers = Math.Min(parts.Options.Workers ?? Environment.ProcessorCount, parts.ShardCount);
        Snapshotter = parts.Options.Snapshots is null ? null : new Snapshotter(parts);
        Workers = [.. Enumerable.Range(0, workers).Select(slot => new ShardWorker(parts, Membership, Ledger, Snapshotter, run, slot))];

        ShardMailbox[] mailboxes = [.. Workers.Select(worker => worker.Mailbox)];

        // A restore keeps a core busy: as many at once as there are workers, which have little to do before they have shards.
        int restorers = isThreaded ? Math.Min(workers, RestoresAtOnce) : 1;
        Restorers = [.. Enumerable.Range(0, restorers).Select(_ => new Restorer(parts, parts.Table, (shard, number) => parts.Steps.NewTakeover(parts, shard, number), mailboxes, Math.Max(1, RestoresAtOnce / restorers)))];
        TopicWatch = new TopicWatch(parts);
        LagWatch = new LagWatch(parts, parts.Figures);
        new InstanceMeter(this).Observe();
        Log.Starts(parts.Logger, parts.InstanceId, parts.App, parts.ShardCount, workers);
    }

    public EngineParts Parts => _parts;

    public FiniteRun Run { get; }

    public Membership Membership { get; }

    public RunLedger Ledger { get; }

    public IReadOnlyList<Restorer> Restorers { get; }

    public IReadOnlyList<ShardWorker> Workers { get; }

    /// <summary>Null when no snapshots are taken.</summary>
    public Snapshotter? Snapshotter { get; }

    public TopicWatch TopicWatch { get; }

    public LagWatch LagWatch { get; }

    public bool IsDone => Run.IsDone(Ledger.Current);

    public EngineStatus Status => new()
    {
        RecordsIn = Volatile.Read(ref _parts.Counters.RecordsIn),
        RecordsFromInputs = Volatile.Read(ref _parts.Counters.RecordsFromInputs),
        RecordsOut = Volatile.Read(ref _parts.Counters.RecordsOut),
        RecordsSkipped = Volatile.Read(ref _parts.Counters.RecordsSkipped),
        Commits = Volatile.Read(ref _parts.Counters.Commits),
        RecordsRestored = Volatile.Read(ref _parts.Counters.RecordsRestored),
        RestoreTime = TimeSpan.FromTicks(Volatile.Read(ref _parts.Counters.RestoreTicks)),
        SnapshotsPublished = Volatile.Read(ref _parts.Counters.Snapshots),
        SnapshotBytesUploaded = Volatile.Read(ref _parts.Counters.SnapshotBytes),
        SnapshotFailures = Volatile.Read(ref _parts.Counters.SnapshotFailures),
        SnapshotsRestored = Volatile.Read(ref _parts.Counters.SnapshotsRestored),
        SnapshotBytesRestored = Volatile.Read(ref _parts.Counters.SnapshotBytesRestored),
        SnapshotsRefused = Volatile.Read(ref _parts.Counters.SnapshotsRefused),
        LocalStatesWiped = Volatile.Read(ref _parts.Counters.Wipes),
        ProcessingTime = ProcessingTime(),
        ShardCount = _parts.ShardCount,
        Shards = [.. _parts.Table.Status.Select(shard => _parts.Figures[shard.Shard].AddTo(shard))],
        InstanceId = _parts.InstanceId,
        IsMember = Membership.IsMember,
        IsEnding = Volatile.Read(ref _parts.EndingSince) != 0,
        LastMembershipTurn = At(Volatile.Read(ref _membershipTurned)),
        Workers = [.. Workers.Select(worker => new WorkerStatus(worker.Slot, At(worker.TurnEnded), worker.TurnBegan is > 0 and long began ? _parts.Time.GetElapsedTime(began) : TimeSpan.Zero))],
    };

    /// <summary>Takes the state folder, looks at the topics and makes the internal ones. Joins nothing yet.</summary>
    /// <exception cref="StreamException">The folder or a topic cannot be used.</exception>
    public static Instance Open(
        Dataflow flow, Broker broker, StreamOptions options, ILoggerFactory? logging, TimeProvider time, Action<string>? reached = null, bool commitsByHand = false,
        EngineSteps? steps = null, Func<Func<Task>, Task>? beside = null, bool isThreaded = false)
    {
        string app = options.AppId ?? flow.Id;
        StateFolder folder = StateFolder.Open(options.StateDir, app, options.InstanceId);
        StateLimits? limits = null;
        try
        {
            AppTopics topics = AppTopics.Prepare(broker, flow, app, options.Shards, time.GetUtcNow().ToUnixTimeMilliseconds());
            int caches = Math.Max(1, flow.Steps.Count(step => step.State is not null) * topics.ShardCount);
            limits = new StateLimits(options.CacheBytesMax / caches, options.BlockCacheBytesMax, options.WriteBufferBytesMax, options.EvictAlways, options.StoresLog) { Faults = options.StoreFaults };
            FiniteRun run = new();
            if (options.UntilEnd)
            {
                run.Want();
            }

            return new Instance(
                new EngineParts
                {
                    Flow = flow,
                    Broker = broker,
                    Options = options,
                    Logger = (logging ?? NullLoggerFactory.Instance).CreateLogger("KStreamSharp"),
                    Time = time,
                    App = app,
                    InstanceId = folder.InstanceId,
                    Topics = topics,
                    Ownership = new Ownership(topics.ShardCount),
                    Table = new ShardTable(),
                    Limits = limits,
                    Figures = [.. Enumerable.Range(0, topics.ShardCount).Select(shard => new ShardFigures(flow, shard))],
                    Telemetry = new Telemetry(app, flow.Steps.Count, topics.ShardCount, options.MetricsByShard),
                    Folder = folder,
                    Reached = reached,
                    CommitsByHand = commitsByHand,
                    Steps = steps ?? EngineSteps.Default,
                    Beside = beside ?? (static work => work()),
                },
                run,
                isThreaded);
        }
        catch (BrokerException error)
        {
            limits?.Dispose();
            folder.Dispose();
            throw new StreamException(ExitCode.Broker, error.Message, error);
        }
        catch
        {
            limits?.Dispose();
            folder.Dispose();
            throw;
        }
    }

    /// <summary>One turn of membership and of the ledger of runs.</summary>
    public bool StepMembership()
    {
        bool moved = Membership.Step();
        moved |= Ledger.Step();
        Run.See(Ledger.Current);
        CheckEnd();
        foreach (ShardWorker worker in Workers)
        {
            worker.Tick();
        }

        Volatile.Write(ref _membershipTurned, _parts.Time.GetTimestamp());
        return moved;
    }

    /// <summary>Stops as a crash would: nothing is committed, aborted or left; unflushed state is thrown away.</summary>
    public void Abandon()
    {
        _parts.Telemetry.Dispose();
        foreach (Restorer restorer in Restorers)
        {
            restorer.Abandon();
        }

        Snapshotter?.Dispose();
        foreach (ShardWorker worker in Workers)
        {
            worker.Abandon();
        }

        Ledger.Dispose();
        _parts.Folder.Dispose();
        _parts.Limits.Dispose();
    }

    /// <summary>The orderly end, by hand: commits, closes, leaves.</summary>
    public void Close()
    {
        DisposeRestorers();
        if (Snapshotter is not null)
        {
            for (int turn = 0; turn < SnapshotTurnsMax && !Workers.All(worker => worker.StepEnd()); turn++)
            {
                Snapshotter.Step();
            }
        }

        foreach (ShardWorker worker in Workers)
        {
            worker.Finish();
        }

        Membership.Leave();
        Dispose();
    }

    /// <summary>Closes what is open; nothing is committed.</summary>
    public void Dispose()
    {
        _parts.Telemetry.Dispose();
        DisposeRestorers();
        Snapshotter?.Dispose();
        foreach (ShardWorker worker in Workers)
        {
            worker.Dispose();
        }

        Membership.Dispose();
        Ledger.Dispose();
        _parts.Folder.Dispose();
        _parts.Limits.Dispose();
        Log.Stopped(_parts.Logger, _parts.InstanceId, _parts.App);
    }

    /// <summary>A run is never done that has a shard of an instance without an end.</summary>
    private void CheckEnd()
    {
        if (Ledger.Beside is { } endless && !IsDone)
        {
            throw new StreamException(
                ExitCode.Usage,
                $"Instance '{endless.Instance}' runs shard {endless.Shard} of application '{_parts.App}' without an end, so a run to the end (--until-end, StreamOptions.UntilEnd) would never be done. "
                + "Stop that instance, then start this one again, or leave --until-end out.");
        }
    }

    private void DisposeRestorers()
    {
        foreach (Restorer restorer in Restorers)
        {
            restorer.Dispose();
        }
    }

    private DateTimeOffset? At(long timestamp) => timestamp == 0 ? null : _parts.Time.GetUtcNow() - _parts.Time.GetElapsedTime(timestamp);

    private TimeSpan ProcessingTime()
    {
        long first = Volatile.Read(ref _parts.Counters.FirstRecordAt);
        long last = Volatile.Read(ref _parts.Counters.LastCommitAt);
        return first == 0 || last <= first ? TimeSpan.Zero : _parts.Time.GetElapsedTime(first, last);
    }
}
