using System.Globalization;

namespace KStreamSharp.Testing;

/// <summary>Plays a list of events over instances of a flow, then looks whether all is as it must be.</summary>
internal sealed partial class SimulationRun : IDisposable
{
    private const int InstancesMax = 4;
    private const long OutOfRangeOffset = 999_999_999;
    private const string Refuses = "the simulation refuses this call";
    private const string PurgeRefused = "the simulation lets nobody delete records";
    /// <summary>Whoever fences a writer again and again is another process of its instance's id.</summary>
    private const string OfOneId = "uses instance id";

    private const string Away = "the simulation's broker is away";
    private const string CodeFailed = "the simulation lets this code fail";
    private const string NoSpace = "the simulation's disk is full";
    private const string ReadCall = nameof(Reader.Read);

    private static readonly TimeSpan MembershipEvery = TimeSpan.FromMilliseconds(100);

    private static readonly string[] ClientCalls =
    [
        ReadCall, nameof(Broker.DescribeTopic), nameof(Broker.CreateTopic), nameof(Broker.DeleteRecords), nameof(Broker.StartOffset), nameof(Broker.EndOffset), nameof(Broker.EndOffset),
        nameof(Broker.TryGetCommittedOffsets), nameof(Broker.TryGetCommittedOffsets),
    ];

    private readonly Simulation _simulation;
    private readonly IReadOnlyList<SimulationEvent> _events;
    private readonly Action<string>? _trace;
    private readonly Cluster _cluster;
    private readonly SimulationTopics _topics;
    private readonly SimulationAudit _audit;
    private readonly TopicPartition[] _partitions;
    private readonly HashSet<string> _sources;
    private readonly List<TopicPartition> _held = [];
    private readonly List<(SimulationEvent Event, Cluster.Member Member)> _armed = [];
    private readonly Dictionary<Cluster.Member, string> _copies = [];
    private readonly Dictionary<string, (SimulationEvent Event, int Left)> _failing = [];
    private readonly Dictionary<int, string> _covering = [];
    private readonly Dictionary<Cluster.Member, HashSet<int>> _refused = [];
    private readonly SimulatedStore? _store;
    private readonly bool _evictAlways;
    private readonly HashSet<string> _expired = [];
    private readonly TimeSpan _callTakes;
    private readonly SimulationMix _mix;
    private readonly SimulationKinds _kinds;
    private readonly BlindClock? _blindClock;
    private Neighbour? _neighbour;
    private readonly bool _refusesPurges;
    private (string Call, Consequence Consequence, int Left)? _clientFault;
    private int _slowCalls;
    private TimeSpan _slowCallTakes;
    private int _codeFailsIn;
    private bool _outOfRange;
    private int _diskFullIn;
    private TimeSpan _sinceMembership;
    private bool _takes;
    private int _next;
    private bool _settling;
    private bool _fencing;
    private bool _over;
    private bool _madeAnew;
    private TimeSpan _ahead = TimeSpan.FromMinutes(30);
    private int _workers = 2;

    public SimulationRun(Simulation simulation, int seed, IReadOnlyList<SimulationEvent> events, Action<string>? trace)
    {
        _simulation = simulation;
        _events = events;
        _trace = trace;
        _mix = new SimulationMix(seed);
        Random random = new(seed);
        _evictAlways = random.Next(3) == 0;
        _cluster = new Cluster(simulation.Flow, shards: 1 + random.Next(4), simulation.Guarantee, simulation.Partitions)
        {
            Steps = simulation.Steps,
            RecordsPerTurnMax = 1 + random.Next(9),
            Between = simulation.Between,
        };
        _kinds = new SimulationKinds(_cluster, Count);
        _cluster.EngineClock = _blindClock = simulation.IsBlindInTurns ? new BlindClock(_cluster.Clock) : null;
        Random sizes = new(~seed);
        TurnSlices slices = new()
        {
            Timers = Size(sizes, new TurnSlices().Timers),
            EndOfInput = Size(sizes, new TurnSlices().EndOfInput),
            RecordsPerCommit = Size(sizes, new TurnSlices().RecordsPerCommit),
            Purge = Size(sizes, new TurnSlices().Purge),
        };
        int recordsPerTurn = sizes.Next(4) == 0 ? Size(sizes, new StreamOptions().RecordsPerTurnMax) : _cluster.RecordsPerTurnMax;
        if (_mix.HasLongTurns)
        {
            Count("Long turns: all code is slow");
            recordsPerTurn = new StreamOptions().RecordsPerTurnMax;
        }

        // Also a commit after every turn: then nothing of a worker's turn waits for what membership learns meanwhile.
        TimeSpan commitInterval = TimeSpan.FromMilliseconds(seed % 4 == 2 ? 0 : 100);
        SnapshotOptions? snapshots = null;
        if (Simulation.TakesSnapshots(seed))
        {
            _store = new SimulatedStore();
            _store.Failed += what => Count($"Store fails: {what}");
            snapshots = new SnapshotOptions { Store = _store.Store, Interval = TimeSpan.FromSeconds(1), Kept = 1 + (seed % 3) };
        }

        // An offset counts far more than a byte: a snapshot is worth its download, and sizes, which are not the same in each run, change nothing.
        _cluster.Adjust = options => options with { EvictAlways = _evictAlways, Workers = _workers, CommitInterval = commitInterval, Snapshots = snapshots, BytesPerOffsetGuess = 1_000_000_000, Slices = slices, RecordsPerTurnMax = recordsPerTurn, StoresLog = false, StoreFaults = StoreFault };
        _cluster.Broker.Prefetch = sizes.Next(2) == 0 ? null : new EmbeddedPrefetch { RecordsMax = 1 + sizes.Next(20), FetchMax = 1 + sizes.Next(10), ForgetsPauses = simulation.ForgetsPauses };
        _cluster.Broker.WritersGoByName = true;

        // In some runs all code takes time, to the end.
        _callTakes = TimeSpan.FromMilliseconds(sizes.Next(6) == 0 ? 1 + sizes.Next(15) : 0) + _mix.CodeTakes;

        // In some the Delete right is missing: that is housekeeping, and nobody may end by it.
        _refusesPurges = sizes.Next(8) == 0;
        if (simulation.Code is { } code)
        {
            code.Called = CodeCalled;
        }

        _cluster.CallFaults = ClientFault;
        _cluster.Clock.Jump(_ahead);
        _cluster.StopsAt = Reached;
        _cluster.Seen = (_, what) => Count($"Group: {what}");
        string app = simulation.Flow.Id;
        _cluster.Broker.WriterFaults = (id, call, done) => Fault(id, call, done);
        _audit = new SimulationAudit(_cluster, Count, trace);
        _topics = new SimulationTopics(_cluster.Broker, simulation.Guarantee, _audit.States);
        _cluster.Says = trace is null ? null : (member, line) => trace($"     {member.Name}: {Volatile().Replace(line, "...")}");
        _cluster.Aborted = (_, reason) =>
        {
            if (reason.Contains("turns are made smaller", StringComparison.Ordinal))
            {
                Count("Long turn: broken off, and made smaller");
            }
        };
        _cluster.Planned = _audit.Planned;
        _cluster.Restored = SimulationAudit.Restored;
        _cluster.Wiped = _audit.Wiped;
        _cluster.BeginsToRead = (member, partition, offset) =>
        {
            if (partition.Topic == InternalTopics.Changelog(app))
            {
                _audit.BeginsToRestore(member, partition.Partition, offset);
            }
        };
        _cluster.MayEndBy = (_, error) => IsRefusal(error) || IsInjected(error);
        _cluster.HasEndedBy = (member, error) =>
        {
            if (SimulationKinds.Is(error))
            {
                _kinds.Ended(member, error);
            }

            if (IsInjected(error))
            {
                Count($"Ended: {error.Code}");
            }
            else
            {
                Refused(member, error);
            }
        };
        _sources = [.. simulation.Flow.Steps.Where(step => step.IsSource).Select(step => step.Topic ?? step.RepartitionTopic(app))];
        _partitions =
        [
            .. from topic in simulation.Flow.Steps.Select(step => step.Topic ?? (step.IsRepartition ? step.RepartitionTopic(app) : null)).OfType<string>()
                   .Append(InternalTopics.Shards(app)).Order(StringComparer.Ordinal)
               from partition in Enumerable.Range(0, simulation.Flow.Steps.Any(step => step.Topic == topic) ? simulation.Partitions(topic, _cluster.Shards) : _cluster.Shards)
               select new TopicPartition(topic, partition),
        ];
    }

    /// <summary>How often each kind of fault happened, by kind and step.</summary>
    public SortedDictionary<string, int> Faults { get; } = new(StringComparer.Ordinal);

    public void Play()
    {
        while (_next < _events.Count && !_over)
        {
            PlayNext();
        }

        End();
    }

    public void Dispose()
    {
        _settling = true;
        _simulation.Code?.Called = null;
        _cluster.Dispose();
    }

    /// <summary>Everything comes to its end, and is looked at.</summary>
    private void End()
    {
        if (_madeAnew)
        {
            return;
        }

        Finish();
        if (_over)
        {
            _audit.Look();
            return;
        }

        _audit.CheckEnd(_store, _expired);
        _simulation.Check(_topics);
        _neighbour?.CheckEnd();
    }

    private void PlayNext()
    {
        SimulationEvent next = _events[_next];
        _trace?.Invoke(string.Create(CultureInfo.InvariantCulture, $"{_next,4} {next}"));
        _next++;
        Happen(next);
        if (_madeAnew)
        {
            return;
        }

        _kinds.Look();
        _audit.Look();
        LiveBeside(next);
    }

    private void LiveBeside(in SimulationEvent e)
    {
        if (_neighbour is not null)
        {
            _neighbour.Live(e);
        }
        else if (_mix.HasNeighbour && _next >= _mix.NeighbourComesAt && _cluster.Members.Exists(member => member.IsUp))
        {
            _neighbour = new Neighbour(_cluster, _cluster.Adjust, _mix.NeighbourNumber, Count);
        }
    }

    private void Happen(in SimulationEvent e)
    {
        List<Cluster.Member> members = _cluster.Members;
        if (e.Kind != SimulationEventKind.Add && members.Count == 0)
        {
            return;
        }

        Cluster.Member member = members.Count == 0 ? null! : members[e.A % members.Count];
        switch (e.Kind)
        {
            case SimulationEventKind.Push:
                for (int i = 0; i <= (e.B % 3) + _mix.MoreRecords(e); i++)
                {
                    _simulation.Push(new Random((e.A * 10_000) + e.C + i), _topics);
                }

                break;
            case SimulationEventKind.Round:
                _cluster.Round(e.A % 80);
                break;
            case SimulationEventKind.Turn:
                member.Turn();
                Leave(member, e);
                _cluster.Clock.Advance(TimeSpan.FromMilliseconds(e.B % 80));
                break;
            case SimulationEventKind.Part when member.IsUp:
                member.TurnPart(e.B % member.PartCount);
                break;
            case SimulationEventKind.Add when members.Count < InstancesMax - 1:
                _workers = 1 + (e.B % 3);
                Add();
                break;
            case SimulationEventKind.Stop when member is { IsUp: true, IsBusy: false, IsAsleep: false }:
                Count(e.Kind);
                member.Stop();
                break;
            case SimulationEventKind.Crash when member.IsUp:
                Count(e.Kind);
                member.IsAsleep = false;
                member.Crash();
                break;
            case SimulationEventKind.Open when !member.IsUp:
                ChangeFolder(member, e.B % 8);
                _workers = 1 + (e.C % 3);
                if (e.D % 4 == 0)
                {
                    Enumerable.Range(0, _cluster.Shards).ToList().ForEach(shard => _audit.CheckFolder(member, shard));
                }

                Open(member);
                break;
            case SimulationEventKind.CrashAt or SimulationEventKind.SleepAt or SimulationEventKind.WorkerSleepsAt or SimulationEventKind.CrashAtSnapshot or SimulationEventKind.SleepAtSnapshot:
                _armed.Add((e, member));
                break;
            case SimulationEventKind.Sleep when member is { IsUp: true, IsBusy: false, IsAsleep: false }:
                Count(e.Kind);
                member.IsAsleep = true;
                break;
            case SimulationEventKind.MembershipSleeps when member.IsUp && !member.IsDeaf:
                Count(e.Kind);
                member.IsDeaf = true;
                break;
            case SimulationEventKind.Wake:
                member.IsDeaf = false;
                member.IsAsleep &= member.IsBusy;
                break;
            case SimulationEventKind.Pass:
                Count(e.Kind);
                _cluster.Clock.Advance(TimeSpan.FromMilliseconds(e.B % 3000));
                break;
            case SimulationEventKind.ClockJump:
                // Never more than an hour between two of them: more is not promised.
                TimeSpan ahead = TimeSpan.FromSeconds(e.B % 3601);
                Count(e.Kind, ahead > _ahead ? "forwards" : "back");
                _cluster.Clock.Jump(ahead - _ahead);
                _ahead = ahead;
                break;
            case SimulationEventKind.Days:
                // Who was away so long must not bring deleted keys back.
                Count(e.Kind);
                _audit.Look();
                _cluster.Clock.Advance(TimeSpan.FromDays(6 + (e.B % 3)));
                _cluster.Broker.Compact();
                break;
            case SimulationEventKind.HoldMarkers:
                TopicPartition held = e.C % 2 == 0
                    ? new TopicPartition(InternalTopics.Changelog(_simulation.Flow.Id), e.B % _cluster.Shards)
                    : _partitions[e.B % _partitions.Length];
                if (!_held.Contains(held) && _cluster.Broker.DescribeTopic(held.Topic) is { } topic && held.Partition < topic.Partitions)
                {
                    Count(e.Kind, held.Topic == InternalTopics.Changelog(_simulation.Flow.Id) ? "of the changelog"
                        : held.Topic == InternalTopics.Shards(_simulation.Flow.Id) ? "of the shards topic"
                        : held.Topic.EndsWith("repartition", StringComparison.Ordinal) ? "of a repartition topic" : "of an input or output");
                    _cluster.Broker.HoldMarkers(held);
                    _held.Add(held);
                }

                break;
            case SimulationEventKind.ReleaseMarkers when _held.Count > 0:
                _cluster.Broker.ReleaseMarkers(_held[^1]);
                _held.RemoveAt(_held.Count - 1);
                break;
            case SimulationEventKind.Compact:
                Count(e.Kind);
                _audit.Look();
                _cluster.Broker.Compact();
                break;
            case SimulationEventKind.TruncateChangelog when _store is not { IsDamaged: true } && members.Find(other => !other.IsUp) is { } down:
                Truncate(down, e);
                break;
            case SimulationEventKind.Corrupt when members.Find(other => !other.IsUp) is { } down:
                if (down.Corrupt(e.B % _cluster.Shards, e.C, 1 + (e.D % 16)))
                {
                    Count(e.Kind);
                }

                break;
            case SimulationEventKind.StoreFails when _store is not null:
                _store.Fail(1 + (e.B % 4), carriedOut: e.C % 2 == 0);
                break;
            case SimulationEventKind.StoreDamage when _store is not null && _covering.Count == 0:
                if (_store.Damage(e.B, lost: e.C % 2 == 0))
                {
                    Count(e.Kind, e.C % 2 == 0 ? "lost" : "changed");
                }

                break;
            case SimulationEventKind.FailCall:
                _failing[CallThatFails(e)] = (e, e.D % 4);
                break;
            case SimulationEventKind.Fence when member.IsUp && member.Instance!.Workers.All(worker => worker.Mailbox.IsReady):
                Count(e.Kind);
                using (TransactionalWriter other = _cluster.Broker.CreateWriter($"{_simulation.Flow.Id}/{member.Name}/{e.B % member.Instance.Workers.Count}", TimeSpan.FromSeconds(1)))
                {
                    _fencing = true;
                    other.Initialize();
                    _fencing = false;
                }

                break;
            case SimulationEventKind.SlowCode when _simulation.Code is not null:
                _slowCalls = 1 + (e.B % 40);
                _slowCallTakes = TimeSpan.FromMilliseconds(5 + (e.C % 300));
                break;
            case SimulationEventKind.CodeFails when _simulation.Code is not null:
                _codeFailsIn = 1 + (e.B % 60);
                break;
            case SimulationEventKind.FailClient:
                _clientFault = (ClientCalls[e.B % ClientCalls.Length], e.C % 2 == 0 && ClientCalls[e.B % ClientCalls.Length] != ReadCall ? Consequence.Retry : Consequence.Stop, e.D % 5);
                break;
            case SimulationEventKind.OutOfRange:
                _outOfRange = true;
                break;
            case SimulationEventKind.DiskFull:
                _diskFullIn = 1 + (e.B % 6);
                break;
            case SimulationEventKind.HoldOffsets:
                Count(e.Kind);
                _cluster.Broker.HoldOffsets();
                break;
            case SimulationEventKind.ReleaseOffsets:
                _cluster.Broker.ReleaseOffsets();
                break;
            case SimulationEventKind.ExpirePositions:
                TopicPartition expires = _partitions[e.B % _partitions.Length];
                if (_cluster.Broker.ForgetOffsets(_simulation.Flow.Id, expires.Topic))
                {
                    Count(e.Kind);
                    _expired.Add(expires.Topic);
                }

                break;
            case SimulationEventKind.TopicMadeAnew when !members.Exists(other => other.IsBusy):
                MakeTopicAnew(e);
                break;
            case SimulationEventKind.OtherKind when members.Find(other => !other.IsUp) is { } down:
                _kinds.Start(down);
                break;
            case SimulationEventKind.OtherKind when !member.IsBusy && !member.IsAsleep:
                _kinds.Start(member);
                break;
            case SimulationEventKind.End:
                _cluster.End();
                break;
            case SimulationEventKind.Finish when !members.Exists(other => other.IsBusy):
                End();
                _cluster.GoOn();
                Reopen();
                break;
            default:
                break;
        }
    }

    /// <summary>A slice of one to three, so that its edge is met again and again; or the engine's own.</summary>
    private static int Size(Random random, int large) => random.Next(3) < 2 ? 1 + random.Next(3) : large;

    private void Add() => _cluster.Add($"{(char)('a' + _cluster.Members.Count)}");

    private void Join()
    {
        if (_cluster.Members.Find(member => !member.IsUp) is { } down)
        {
            Open(down);
        }
        else if (_cluster.Members.Count < InstancesMax)
        {
            Add();
        }
    }

    private void Leave(Cluster.Member member, in SimulationEvent e)
    {
        if (_cluster.UntilEnd && member.IsDone && e.C % 10 == 0)
        {
            member.Stop();
        }
    }

    /// <summary>An instance has reached a step; true when it ends there.</summary>
    private bool Reached(Cluster.Member member, string step)
    {
        if (_settling || member.IsDying)
        {
            return member.IsDying;
        }

        int at = _armed.FindIndex(armed => armed.Member == member && armed.Event.Step == step);
        if (at < 0)
        {
            return false;
        }

        SimulationEvent e = _armed[at].Event;
        if (e.C % 3 != 0 && !step.StartsWith("run", StringComparison.Ordinal))
        {
            // Not the first time that it comes here.
            _armed[at] = (e with { C = e.C - 1 }, member);
            return false;
        }

        _armed.RemoveAt(at);
        Count(e.Kind, step == "begin" && HasProcessed(member) ? "begin, after a batch of which nothing was produced" : step);
        if (e.IsCrash)
        {
            return true;
        }

        bool asleep = member.IsAsleep;
        member.IsAsleep |= e.IsSleep;
        _trace?.Invoke($"     {member.Name} sleeps at {step}");
        if (e.D % 4 < 3)
        {
            // So that there is someone to whom shards move meanwhile.
            Join();
        }

        bool closing = asleep && !e.IsSleep;
        for (int left = closing ? 0 : 3 + (e.D % 25); left > 0 && !_over && _next < _events.Count && _events[_next].Kind != SimulationEventKind.Finish && !member.IsDying; left--)
        {
            PlayNext();
            if (e.D % 3 > 0)
            {
                // Enough for a session, a budget or a transaction to time out, and for the others to take over.
                _cluster.Round(100 + (e.A % 300));
            }
        }

        if (member.HasNews && !member.IsDying)
        {
            Count($"Zombie wakes at {step}");
        }

        member.IsAsleep = asleep;
        _trace?.Invoke($"     {member.Name} {(member.IsDying ? "ends" : "wakes")} at {step}");
        return member.IsDying;
    }

    /// <summary>A call fails, before or after it was carried out.</summary>
    private void Fault(string transactionalId, string call, bool done)
    {
        bool isTheFirsts = transactionalId.StartsWith($"{_simulation.Flow.Id}/", StringComparison.Ordinal);
        if (_settling || _fencing || !isTheFirsts || !_failing.TryGetValue(call, out (SimulationEvent Event, int Left) failing)
            || (call is not ("Append" or "Initialize") && done != (failing.Event.C % 2 == 0)))
        {
            return;
        }

        if (failing.Left > 0)
        {
            _failing[call] = (failing.Event, failing.Left - 1);
            return;
        }

        _failing.Remove(call);
        SimulationEvent e = failing.Event;
        Consequence consequence = call switch
        {
            "Initialize" => Consequence.Retry,
            "Commit" or "Abort" => e.A % 2 == 0 ? Consequence.Retry : Consequence.NewWriter,
            _ => (e.A % 3) switch { 0 => Consequence.Abort, 1 => Consequence.LostMembership, _ => Consequence.NewWriter },
        };
        Count(SimulationEventKind.FailCall, $"{call} {(done ? "after" : "before")}: {consequence}");
        throw new BrokerException(consequence, "the simulation lets this call fail");
    }

    /// <summary>A call of an admin or of a reader fails, because the broker is away or refuses it.</summary>
    private void ClientFault(Cluster.Member member, string call, TopicPartition partition)
    {
        if (call == nameof(Broker.DeleteRecords) && _refusesPurges)
        {
            Count(SimulationEventKind.FailClient, $"{call}: refused for good");
            throw new BrokerException(Consequence.Stop, $"{PurgeRefused} ({partition})");
        }

        if (_settling || member.IsDying)
        {
            return;
        }

        if (_outOfRange && call == ReadCall && _sources.Contains(partition.Topic))
        {
            _outOfRange = false;
            Count(SimulationEventKind.OutOfRange, _cluster.Broker.DescribeTopic(partition.Topic)!.Cleanup == TopicCleanup.Keep ? "in a repartition topic" : "in an input");
            throw new OffsetOutOfRangeException(partition, OutOfRangeOffset, 0, 0);
        }

        if (_clientFault is not { } fault || fault.Call != call)
        {
            return;
        }

        if (fault.Left > 0)
        {
            _clientFault = fault with { Left = fault.Left - 1 };
            return;
        }

        _clientFault = null;
        Count(SimulationEventKind.FailClient, $"{call}: {fault.Consequence}");
        throw new BrokerException(fault.Consequence, $"{(fault.Consequence == Consequence.Stop ? Refuses : Away)} ({call} of {partition})");
    }

    /// <summary>Something is about to be written to the folder of a shard.</summary>
    private void StoreFault(string folder)
    {
        if (!_settling && _diskFullIn > 0 && --_diskFullIn == 0)
        {
            Count(SimulationEventKind.DiskFull);
            throw new StreamException(ExitCode.State, $"{NoSpace} in {Path.GetFileName(folder)}");
        }
    }

    /// <summary>The code of a step is called: that takes time, in which memberships go on, or fails.</summary>
    private void CodeCalled(string step)
    {
        TimeSpan takes = _callTakes;
        if (!_settling && _slowCalls > 0)
        {
            _slowCalls--;
            takes += _slowCallTakes;
            Count(SimulationEventKind.SlowCode, KindOf(step));
        }

        if (takes > TimeSpan.Zero)
        {
            Take(takes);
        }

        if (!_settling && _codeFailsIn > 0 && --_codeFailsIn == 0)
        {
            Count(SimulationEventKind.CodeFails, KindOf(step));
            throw new InvalidOperationException(CodeFailed);
        }

        // A step's own name tells nothing of a run; which kind of call it was does.
        static string KindOf(string step) => step.IndexOf(',', StringComparison.Ordinal) is >= 0 and int at ? $"in{step[(at + 1)..]}" : "in a record or batch";
    }

    private void Take(TimeSpan time)
    {
        _cluster.Clock.Advance(time);
        _blindClock?.Hide(time);
        _sinceMembership += time;
        if (_sinceMembership < MembershipEvery || _takes)
        {
            return;
        }

        _sinceMembership = TimeSpan.Zero;
        _takes = true;
        foreach (Cluster.Member member in _cluster.Members.ToArray())
        {
            member.TurnPart(0);
        }

        _neighbour?.TurnMemberships();
        _takes = false;
    }

    /// <summary>An instance may end by what the simulation did to it.</summary>
    private static bool IsInjected(StreamException error) => error.Code switch
    {
        ExitCode.UserCode => error.Message.Contains(CodeFailed, StringComparison.Ordinal),
        ExitCode.Broker => error.Message.Contains(Refuses, StringComparison.Ordinal) || error.Message.Contains($"Offset {OutOfRangeOffset} ", StringComparison.Ordinal)
            || (error.Message.Contains(Away, StringComparison.Ordinal) && error.Message.Contains("DescribeTopic", StringComparison.Ordinal) | error.Message.Contains("CreateTopic", StringComparison.Ordinal))
            || error.Message.Contains(OfOneId, StringComparison.Ordinal),
        ExitCode.State => error.Message.Contains(NoSpace, StringComparison.Ordinal),

        _ => SimulationKinds.Is(error),
    };

    private static string CallThatFails(in SimulationEvent e) => (e.B % 8) switch
    {
        0 or 1 => "Append",
        2 => "SendOffsets",
        3 => "Abort",
        4 => "Initialize",
        _ => "Commit",
    };

    private static bool HasProcessed(Cluster.Member member) => member.Instance!.Workers.Any(worker => worker.Shards.Any(shard => shard.Claimed && shard.Touched));

    /// <summary>Deletes the oldest records of a changelog, as far as a folder covers them; a copy of it is kept.</summary>
    private void Truncate(Cluster.Member member, in SimulationEvent e)
    {
        int shard = e.B % _cluster.Shards;
        TopicPartition changelog = new(InternalTopics.Changelog(_simulation.Flow.Id), shard);
        if (member.Damaged.Contains(shard) || ShardFolder.Read(member.ShardFolder(shard)) is not { } folder || !Covers(folder, shard))
        {
            return;
        }

        long start = _cluster.Broker.StartOffset(changelog);
        long to = Math.Min(folder.Position, _cluster.Broker.EndOffset(changelog, committedOnly: true));
        if (to > start)
        {
            Count(e.Kind);
            _audit.Look();
            _covering[shard] = member.CopyFolder();
            _cluster.Broker.DeleteRecords(changelog, start + 1 + (e.C % (to - start)));
        }
    }

    /// <summary>Whether a restore can begin with a folder. Also the engine's rule, said once more.</summary>
    private bool Covers(ShardFolder? folder, int shard)
    {
        TopicPartition changelog = new(InternalTopics.Changelog(_simulation.Flow.Id), shard);
        long end = _cluster.Broker.EndOffset(changelog, committedOnly: false);
        TimeSpan age = TimeSpan.FromMilliseconds(_cluster.Clock.GetUtcNow().ToUnixTimeMilliseconds() - (folder?.BrokerTime ?? 0));
        return folder is not null
            && folder.Position >= _cluster.Broker.StartOffset(changelog)
            && folder.Position <= end
            && (folder.Position == end || age < Broker.TombstoneRetention - TimeSpan.FromHours(1));
    }

    private bool IsRefusal(StreamException error) => error.Code == ExitCode.State && RefusedShard(error) is { } shard && _covering.ContainsKey(shard);

    private static int? RefusedShard(StreamException error) =>
        error.Message.StartsWith("Shard ", StringComparison.Ordinal) && error.Message.Contains(" is not taken over", StringComparison.Ordinal)
            ? int.Parse(error.Message.Split(' ')[1], CultureInfo.InvariantCulture)
            : null;

    /// <summary>An instance has ended because state would be lost. That is right when its folder does not begin where the changelog does.</summary>
    private void Refused(Cluster.Member member, StreamException error)
    {
        int shard = RefusedShard(error)!.Value;
        bool isDamaged = member.Damaged.Contains(shard);
        ShardFolder? folder = isDamaged ? null : ShardFolder.Read(member.ShardFolder(shard));
        if (Covers(folder, shard))
        {
            throw new SimulationBreach($"{member.Name} refuses shard {shard}, though its folder is at {folder!.Position}: {error.Message}");
        }

        Count($"Refused: {(isDamaged ? "folder damaged" : folder is null ? "no folder" : folder.Position < _cluster.Broker.StartOffset(new(InternalTopics.Changelog(_simulation.Flow.Id), shard)) ? "folder before the changelog" : "folder too old")}");
        if (!_refused.TryGetValue(member, out HashSet<int>? shards))
        {
            _refused[member] = shards = [];
        }

        shards.Add(shard);
    }

    /// <summary>Starts an instance. What it refused is given a copy that is good; when there is none any more, the run is over.</summary>
    private void Open(Cluster.Member member)
    {
        _refused.Remove(member, out HashSet<int>? shards);
        foreach (int shard in shards ?? [])
        {
            string copy = _covering[shard];
            if (!Covers(ShardFolder.Read(Path.Combine(copy, _simulation.Flow.Id, $"shard-{shard}")), shard))
            {
                Count("Over: no copy of a refused shard is good any more");
                _over = true;
                return;
            }

            Count("Refused: a copy was put back");
            member.PutBack(copy, shard);
            _audit.Replaced(member, shard);
        }

        member.Open();
    }

    private void ChangeFolder(Cluster.Member member, int how)
    {
        switch (how)
        {
            case 0 or 1:
                Count(SimulationEventKind.Open, "folder lost");
                member.LoseFolder();
                break;
            case 2 or 3:
                _copies[member] = member.CopyFolder();
                break;
            case 4 when _copies.TryGetValue(member, out string? copy):
                Count(SimulationEventKind.Open, "old folder put back");
                member.PutBack(copy);
                break;
            default:
                break;
        }
    }

    /// <summary>From here on nothing fails, waits or sleeps by the simulation's doing.</summary>
    private void EndFaults()
    {
        _settling = true;
        _store?.Settle();
        _armed.Clear();
        _failing.Clear();
        _cluster.Broker.ReleaseOffsets();
        _held.ForEach(_cluster.Broker.ReleaseMarkers);
        _held.Clear();
        _cluster.Members.ForEach(member => member.IsAsleep = member.IsDeaf = false);
    }

    /// <summary>The faults are over: all must get to the end, and leave.</summary>
    private void Finish()
    {
        EndFaults();
        if (_cluster.Members.Count == 0)
        {
            Add();
        }

        Reopen();
        _kinds.Settle(RoundsMax);
        Reopen();
        _cluster.End();
        UntilAllHaveLeft();

        // What came while a run was under way belongs to the next one.
        Reopen();
        UntilAllHaveLeft();
        _settling = false;
    }

    private void Reopen() => _cluster.Members.FindAll(member => !member.IsUp).ForEach(Open);

    private void UntilAllHaveLeft() => _cluster.Until(
        () =>
        {
            // Often: a compaction takes the markers that the audit has not seen.
            _audit.Look();
            _cluster.Members.FindAll(member => member.IsDone).ForEach(member => member.Stop());
            _cluster.Members.FindAll(member => !member.IsUp && _refused.ContainsKey(member)).ForEach(Open);
            return _over || _cluster.Members.TrueForAll(member => !member.IsUp);
        },
        "the run is done, and all have left",
        RoundsMax);

    /// <summary>A slice of one key at a time takes a turn each.</summary>
    private int RoundsMax => 1_500 + (4 * _topics.Pushed);

    private void Count(SimulationEventKind kind, string? at = null) => Count(at is null ? $"{kind}" : $"{kind} {at}");

    private void Count(string name) => Faults[name] = Faults.GetValueOrDefault(name) + 1;

    /// <summary>What differs from run to run: RocksDB draws the beginning of its checksums anew, and its files have paths and times in them.</summary>
    [System.Text.RegularExpressions.GeneratedRegex("(?<=(stored|computed) = )[0-9]+|(?<=offset )[0-9]+(?= size)|(?<= size )[0-9]+(?=, block_type)|[0-9]+(?= (of [0-9]+ )?bytes)")]
    private static partial System.Text.RegularExpressions.Regex Volatile();
}
