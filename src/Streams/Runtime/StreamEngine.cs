using Microsoft.Extensions.Logging;

namespace KStreamSharp;

/// <summary>One instance of an application: runs a flow on a broker until it is stopped, or to the end of its inputs.</summary>
public sealed class StreamEngine : IDisposable
{
    private static readonly TimeSpan MembershipTurn = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan RestorerTurn = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan SnapshotterTurn = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan WorkerWait = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan JoinPatience = TimeSpan.FromSeconds(10);

    private readonly Dataflow _flow;
    private readonly Broker _broker;
    private readonly StreamOptions _options;
    private readonly ILoggerFactory? _logging;
    private readonly TimeProvider _time;
    private readonly ManualResetEventSlim _stopping = new();
    private readonly ManualResetEventSlim _restorerGone = new();
    private readonly ManualResetEventSlim _workersGone = new();
    private volatile Instance? _instance;
    private Exception? _fault;
    private int _started;

    /// <summary>An instance that has not been started.</summary>
    /// <param name="flow">The flow; it cannot be changed afterwards.</param>
    /// <param name="broker">The broker.</param>
    /// <param name="options">How to run; null for the defaults.</param>
    /// <param name="logging">Where to log; null for nowhere.</param>
    /// <param name="time">The clock; null for the system's.</param>
    /// <exception cref="FlowException">The flow is not complete.</exception>
    /// <exception cref="StreamException">An option cannot be used.</exception>
    public StreamEngine(Dataflow flow, Broker broker, StreamOptions? options = null, ILoggerFactory? logging = null, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(flow);
        ArgumentNullException.ThrowIfNull(broker);
        flow.Seal();
        _flow = flow;
        _broker = broker;
        _options = options ?? new StreamOptions();
        _options.Check();
        LeavesGroup = _options.InstanceId is null;
        _logging = logging;
        _time = time ?? TimeProvider.System;
    }

    /// <summary>What the instance has done so far and how its shards are. Cheap; safe to call from any thread.</summary>
    public EngineStatus Status => _instance?.Status ?? NotStarted;

    /// <summary>
    /// Runs. The task ends when the token is cancelled (after a commit and an orderly leave) or when a finite run is done.
    /// </summary>
    /// <param name="stop">Asks for an orderly end.</param>
    /// <exception cref="StreamException">The application cannot go on; the message says why and what to do.</exception>
    /// <exception cref="InvalidOperationException">The instance has been run before.</exception>
    public Task RunAsync(CancellationToken stop = default)
    {
        if (Interlocked.Exchange(ref _started, 1) != 0)
        {
            throw new InvalidOperationException("An engine runs once. Make another one.");
        }

        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Start("kstream-membership", () =>
        {
            try
            {
                using CancellationTokenRegistration registration = stop.Register(_stopping.Set);
                Run();
            }
            catch (Exception error)
            {
                Fail(error);
            }

            if (_fault is null)
            {
                done.SetResult();
            }
            else
            {
                done.SetException(_fault is BrokerException broker ? new StreamException(ExitCode.Broker, broker.Message, broker) : _fault);
            }
        });
        return done.Task;
    }

    /// <summary>Asks a running instance for an orderly end, and frees what it holds. Await the task of <see cref="RunAsync"/> first.</summary>
    public void Dispose() => _stopping.Set();

    /// <summary>
    /// Whether the instance gives up its membership when it is stopped, so that others take its shards at once. False: they
    /// wait for it until the session times out, so that a restart moves nothing. Default: false for an instance with an id
    /// of its own (<see cref="StreamOptions.InstanceId"/>), as static members of a Kafka group do; else true. May be set at any
    /// time before the stop. A finite run that is done leaves in any case.
    /// </summary>
    public bool LeavesGroup { get; set; }

    /// <summary>
    /// For hosts: asked once, when an orderly end begins, whether the instance leaves its group even where <see cref="LeavesGroup"/>
    /// says no. The last commits and snapshots go on meanwhile; only then is the answer waited for, so it must come in time.
    /// It must not fail. Null: nobody is asked.
    /// </summary>
    internal Func<Task<bool>>? AsksToLeave { get; init; }

    /// <summary>The status of an instance that has not been started.</summary>
    internal static EngineStatus NotStarted => new()
    {
        RecordsIn = 0,
        RecordsFromInputs = 0,
        RecordsOut = 0,
        RecordsSkipped = 0,
        Commits = 0,
        RecordsRestored = 0,
        RestoreTime = TimeSpan.Zero,
        SnapshotsPublished = 0,
        SnapshotBytesUploaded = 0,
        SnapshotFailures = 0,
        SnapshotsRestored = 0,
        SnapshotBytesRestored = 0,
        SnapshotsRefused = 0,
        LocalStatesWiped = 0,
        ProcessingTime = TimeSpan.Zero,
        ShardCount = 0,
        Shards = [],
    };

    /// <summary>For tests: called at each numbered step.</summary>
    internal Action<string>? Reached { get; init; }

    private bool HasStalled => _fault is StreamException { Code: ExitCode.Stalled };

    private void Run()
    {
        Instance instance = Instance.Open(_flow, _broker, _options, _logging, _time, Reached, beside: Beside, isThreaded: true);
        _instance = instance;
        try
        {
            Run(instance);
        }
        finally
        {
            // A worker that hangs is still inside its shard: closing it under its feet would end the process without a word.
            if (!HasStalled)
            {
                instance.Dispose();
            }
        }
    }

    private void Run(Instance instance)
    {
        Thread[] restorers = [.. instance.Restorers.Select((restorer, slot) => Start($"kstream-restorer-{slot}", () => Loop(
            () =>
            {
                bool moved = false;
                if (slot == 0)
                {
                    instance.TopicWatch.Step();
                    moved = instance.LagWatch.Step();
                }

                return restorer.Step() | moved;
            },
            RestorerTurn)))];
        Thread? snapshotter = instance.Snapshotter is { } uploads ? Start("kstream-snapshotter", () => Snapshot(uploads)) : null;
        Thread[] workers = [.. instance.Workers.Select((worker, slot) => Start($"kstream-worker-{slot}", () => Work(worker)))];
        while (!_stopping.IsSet)
        {
            if (!Tend(instance))
            {
                _stopping.Wait(MembershipTurn);
            }

            if (instance.IsDone)
            {
                _stopping.Set();
            }
        }

        Volatile.Write(ref instance.Parts.EndingSince, _time.GetTimestamp());
        Task<bool>? leaves = LeavesGroup || instance.IsDone || _fault is not null ? null : AsksToLeave?.Invoke();
        while (!Array.TrueForAll(restorers, restorer => restorer.Join(MembershipTurn)))
        {
            // Each call of a takeover has its own time-out; to close a store under it would end the process.
            Tend(instance);
        }

        _restorerGone.Set();
        while (!Array.TrueForAll(workers, worker => worker.Join(MembershipTurn)))
        {
            if (HasStalled)
            {
                break;
            }

            Tend(instance);
        }

        _workersGone.Set();
        snapshotter?.Join(JoinPatience);
        while (leaves?.Wait(MembershipTurn) == false)
        {
            Tend(instance);
        }

        // One that may not be here leaves its shards to those that may.
        if (LeavesGroup || instance.IsDone || leaves?.Result == true || instance.Ledger.Beside is not null)
        {
            instance.Membership.Leave();
        }
    }

    private void Work(ShardWorker worker)
    {
        try
        {
            while (!_stopping.IsSet)
            {
                if (!worker.Step())
                {
                    worker.Wait(WorkerWait);
                }
            }

            _restorerGone.Wait();
            if (_fault is null)
            {
                SnapshotAtEnd(worker);
                worker.Finish();
            }
            else
            {
                Quit(worker);
            }
        }
        catch (Exception error)
        {
            Fail(error);
            Quit(worker);
        }
    }

    /// <summary>The last snapshots of an orderly end, as far as the time for them goes.</summary>
    private void SnapshotAtEnd(ShardWorker worker)
    {
        long began = _time.GetTimestamp();
        while (!worker.StepEnd() && _fault is null && _time.GetElapsedTime(began) < _options.Snapshots!.EndTimeout)
        {
            worker.Wait(WorkerWait);
        }
    }

    /// <summary>Uploads go on until the workers have ended: they wait for their last ones.</summary>
    private void Snapshot(Snapshotter snapshotter)
    {
        try
        {
            snapshotter.LookAtStore();
            while (!_workersGone.IsSet)
            {
                if (!snapshotter.Step())
                {
                    _workersGone.Wait(SnapshotterTurn);
                }
            }

            snapshotter.Dispose();
        }
        catch (Exception error)
        {
            Fail(error);
        }
    }

    /// <summary>Gives up what a worker has open. What made it fail, a full disk for example, may make this fail too.</summary>
    private void Quit(ShardWorker worker)
    {
        try
        {
            worker.Quit();
        }
        catch (Exception error)
        {
            Fail(error);
        }
    }

    /// <summary>One turn of membership. Its failure ends the instance, but not before the workers have let go of their shards.</summary>
    private bool Tend(Instance instance)
    {
        try
        {
            bool moved = instance.StepMembership();
            Watch(instance);
            return moved;
        }
        catch (Exception error)
        {
            Fail(error);
            return false;
        }
    }

    private void Loop(Func<bool> step, TimeSpan pause)
    {
        try
        {
            while (!_stopping.IsSet)
            {
                if (!step())
                {
                    _stopping.Wait(pause);
                }
            }
        }
        catch (Exception error)
        {
            Fail(error);
        }
    }

    /// <summary>A worker that stays too long in the code of a step ends the instance.</summary>
    private void Watch(Instance instance)
    {
        foreach (ShardWorker worker in instance.Workers)
        {
            long began = worker.TurnBegan;
            if (began != 0 && _time.GetElapsedTime(began) > _options.StallTimeout && _fault is null)
            {
                Fail(new StreamException(
                    ExitCode.Stalled,
                    $"Step '{worker.CurrentStep}' has been running for more than {_options.StallTimeout} (StallTimeout). Nothing of its turn is committed. Let the step return sooner, or raise StallTimeout."));
            }
        }
    }

    /// <summary>Work of minutes, a download or hundreds of questions for example, on a thread of its own.</summary>
    private static Task Beside(Func<Task> work)
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Start("kstream-beside", () =>
        {
            try
            {
                work().GetAwaiter().GetResult();
                done.SetResult();
            }
            catch (Exception error)
            {
                done.SetException(error);
            }
        });
        return done.Task;
    }

    private void Fail(Exception error)
    {
        Interlocked.CompareExchange(ref _fault, error, null);
        _stopping.Set();
    }

    private static Thread Start(string name, Action body)
    {
        Thread thread = new(() => body()) { Name = name, IsBackground = true };
        thread.Start();
        return thread;
    }
}
