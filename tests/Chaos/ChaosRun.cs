using System.Diagnostics;
using System.Globalization;
using Confluent.Kafka;
using Confluent.Kafka.Admin;

namespace KStreamSharp.Tests.Chaos;

/// <summary>What a run is asked for.</summary>
internal sealed record ChaosOptions
{
    /// <summary>A broker that is there; null to start one.</summary>
    public string? Kafka { get; init; }

    public int Seed { get; init; } = 1;

    /// <summary>How long faults come; starting, coming to rest and checking take some minutes more. Null for the scenario's own.</summary>
    public TimeSpan? Length { get; init; }

    /// <summary>
    /// One application of three instances over a partition that is far behind, which lasts as long as the faults do, and a trickle
    /// in the others; every five seconds a process is killed, paused or started anew.
    /// </summary>
    public bool IsBacklog { get; init; }

    /// <summary>How many records a backlog has; null for the scenario's own.</summary>
    public long? Backlog { get; init; }

    /// <summary>Null for both: an application with each.</summary>
    public Guarantee? Guarantee { get; init; }

    /// <summary>The binary toxiproxy-server; null to look for it.</summary>
    public string? Toxiproxy { get; init; }

    /// <summary>Only these faults; null for all.</summary>
    public IReadOnlyList<string>? Kinds { get; init; }
}

/// <summary>One run: start everything, let the faults come, let it come to rest, end it, check.</summary>
internal sealed class ChaosRun : IAsyncDisposable
{
    /// <summary>The one that is far behind in the scenario of a backlog.</summary>
    public const int BacklogPartition = 0;

    /// <summary>Why a kind of fault is not even named.</summary>
    public const string OfAnotherScenario = "not of this scenario";

    private const int Partitions = 4;
    private const int PaceMilliseconds = 20;

    /// <summary>Any machine does more.</summary>
    private const int BacklogPerSecond = 5000;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(150);
    private static readonly TimeSpan RestLimit = TimeSpan.FromSeconds(180);

    private readonly ChaosOptions _options;
    private readonly TimeSpan _length;
    private readonly long _backlog;
    private readonly string _folder;
    private readonly CancellationToken _stop;
    private readonly string _name = $"chaos-{Guid.NewGuid().ToString("N")[..8]}";
    private readonly Stack<IAsyncDisposable> _open = [];
    private bool _keep;

    private ChaosRun(ChaosOptions options, CancellationToken stop)
    {
        _options = options;
        _length = options.Length ?? TimeSpan.FromMinutes(options.IsBacklog ? 5 : 3);
        _backlog = options.Backlog ?? (options.IsBacklog ? 2_000_000 : 500_000);
        _stop = stop;
        _folder = Directory.CreateTempSubdirectory("kstream-chaos-").FullName;
    }

    /// <summary>True when nothing was breached.</summary>
    public static async Task<bool> RunAsync(ChaosOptions options, CancellationToken stop)
    {
        await using ChaosRun run = new(options, stop);
        return await run.RunAsync();
    }

    public async ValueTask DisposeAsync()
    {
        while (_open.TryPop(out IAsyncDisposable? opened))
        {
            await opened.DisposeAsync();
        }

        if (_keep)
        {
            foreach (string other in Directory.EnumerateDirectories(_folder).Where(folder => Path.GetFileName(folder) == "look"))
            {
                Directory.Delete(other, recursive: true);
            }

            Console.WriteLine($"Logs and state folders are kept in {_folder}");
        }
        else
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    private async Task<bool> RunAsync()
    {
        OwnCluster? cluster = _options.Kafka is null ? Own(await OwnCluster.StartAsync()) : null;
        string address = _options.Kafka ?? cluster!.Address;
        Toxiproxy? toxiproxy = Toxiproxy.Find(_options.Toxiproxy) is { } binary ? Own(await Toxiproxy.StartAsync(binary, _stop)) : null;
        List<FaultKind> kinds = [.. Faults.All.Where(kind => WhyLeftOut(kind) is null)];
        IReadOnlyList<PlannedFault> schedule = _options.IsBacklog ? Schedule.DrawSteady(_options.Seed, _length, kinds) : Schedule.Draw(_options.Seed, _length, kinds);
        Application[] applications = [.. Applications()];
        foreach (HostInstance instance in applications.SelectMany(app => app.Instances))
        {
            Own(instance);
        }

        World world = new(address, _folder, applications, _stop)
        {
            Admin = Own(Clients.Admin(address)),
            Watch = Own(new Watch(address, applications)),
            Backlog = _backlog,
            Cluster = cluster,
            Toxiproxy = toxiproxy,
        };
        return await RunAsync(world, schedule, WhyLeftOut);

        string? WhyLeftOut(FaultKind kind) => (_options.IsBacklog ? !kind.IsSteady : kind.Isolates) ? OfAnotherScenario
            : kind.ComesLast && _options.Kinds is null ? "left out: comes only where it is asked for by name"
            : _options.Kinds is { } only && !only.Contains(kind.Name) ? "not asked for"
            : kind.NeedsProxies && toxiproxy is null ? "left out: there is no toxiproxy-server (--toxiproxy, KSTREAM_TOXIPROXY, PATH)"
            : (kind.NeedsOwnCluster || kind.NeedsAuthorizer) && cluster is null ? "left out: the brokers are not this program's own"
            : null;
    }

    private async Task<bool> RunAsync(World world, IReadOnlyList<PlannedFault> schedule, Func<FaultKind, string?> whyLeftOut)
    {
        if (!await world.AnswersAsync(StartLimit))
        {
            throw new InvalidOperationException($"no broker answers at {world.Address}");
        }

        world.ConsumerSession = await ConsumerSessionAsync(world);
        Say($"Seed {_options.Seed}, {_length.TotalMinutes:0.##} minutes of faults. Brokers {(world.Cluster is null ? "given" : "of its own")} at {world.Address}.");
        foreach (PlannedFault fault in schedule)
        {
            Console.WriteLine($"  {fault}");
        }

        await ConnectAsync(world);
        string input = world.Applications[0].Input;
        await Clients.CreateAsync(
            world.Admin,
            new TopicSpecification { Name = input, NumPartitions = Partitions, ReplicationFactor = -1, Configs = new() { ["retention.ms"] = "-1" } },
            _stop);
        if (world.Cluster is null)
        {
            Own(new Leftovers(world, input));
        }

        using Load load = new(world.Address, input, _options.Seed, _options.IsBacklog ? [.. Load.AllKeys.Except(world.KeysOf(BacklogPartition))] : null);
        world.Load = load;
        List<FiredFault> fired = [];
        foreach (PlannedFault fault in schedule.Where(fault => fault.Kind.ComesFirst))
        {
            fired.Add(await FireAsync(world, new Faults(world), fault));
        }

        if (_options.IsBacklog)
        {
            await Task.Run(() => load.Pour(world.KeysOf(BacklogPartition), _backlog, StartLimit));
            Say($"{_backlog} records wait in partition {BacklogPartition}; steps are slow, so that they last as long as the faults.");
            foreach (HostInstance instance in world.Instances)
            {
                // In the other partitions, too: a client holds the one that is far behind while its worker is busy there.
                Slowness.Begin(instance.Slow, Math.Max(1, (int)(2 * _backlog / (_length.TotalSeconds + 60) * PaceMilliseconds / 1000)), PaceMilliseconds, millisecondsOfOthers: 1);
            }
        }

        load.Start();
        foreach (HostInstance instance in world.Instances)
        {
            Console.WriteLine($"  {instance}: {instance.App}, commits every {instance.Tuning.CommitInterval.TotalMilliseconds:0} ms, transaction {instance.Tuning.TransactionTimeout.TotalSeconds:0.0} s, session {world.Session(instance).TotalSeconds:0.0} s, {(instance.Tuning.HasOwnId ? "own id" : "made id")}, {instance.Tuning.Workers} workers");
            instance.Start();
        }

        using Standstill standstill = new(world);
        using CancellationTokenSource tending = new();
        Task tended = world.TendAsync(tending.Token);
        await CompactSoonAsync(world);
        world.Watch.Start();
        DateTime began = DateTime.UtcNow;
        await UntilAsync(StartLimit, () => world.Instances.All(instance => world.Watch.HasCommitted(instance, began)), "not every instance has begun to work");
        standstill.Start();
        Say("All instances work; the faults begin.");

        fired.AddRange(await FireAsync(world, [.. schedule.Where(fault => !fault.Kind.ComesFirst && !fault.Kind.ComesLast)]));
        Checker checker = new(world, standstill);
        using IDisposable closing = checker;
        await ComeToRestAsync(world, load, checker);
        await standstill.StopAsync();
        await tending.CancelAsync();
        await tended;
        Say("The orderly end of all.");
        await Task.WhenAll(world.Instances.Where(instance => instance.IsUp).Select(world.TerminateAsync));
        foreach (Application app in world.Applications)
        {
            await FinishRestoresAsync(world, app, checker);
        }

        Say("Checking.");
        checker.CheckTopics(load.Written);
        checker.CheckLogs();
        foreach (PlannedFault fault in schedule.Where(fault => fault.Kind.ComesLast))
        {
            fired.Add(await FireAsync(world, new Faults(world), fault));
        }

        foreach (IGrouping<FaultKind, FiredFault> kind in fired.GroupBy(one => one.Plan.Kind))
        {
            checker.Fired.Require(kind.Any(one => one.Evidence.Count > 0), () => $"{kind.Key.Name} was planned {kind.Count()} times, and never seen");
        }

        Report.Faults(Faults.All, fired, whyLeftOut);
        Report.Sources(standstill.Sources);
        Report.Invariants(checker.All);
        _keep = checker.All.Any(invariant => invariant.Breaches.Count > 0);
        return !_keep;

        void Say(string text) => world.Say(text);
    }

    /// <summary>The applications: counting, and a second flow; each guarantee that is asked for, and each group protocol.</summary>
    private IEnumerable<Application> Applications()
    {
        Random random = new(_options.Seed);
        bool rekeys = random.Next(2) == 0;
        bool classicFirst = random.Next(2) == 0;
        bool snapshotsFirst = random.Next(2) == 0;
        (string Flow, Guarantee Guarantee, int Instances)[] wanted = _options.IsBacklog
            ? [("count", _options.Guarantee ?? Guarantee.ExactlyOnce, 3)]
            : _options.Guarantee is { } one
            ? [("count", one, 3), (rekeys ? "rekey-count" : "copy", one, 2)]
            : [("count", Guarantee.ExactlyOnce, 2), ("count", Guarantee.AtLeastOnce, 2), (rekeys ? "rekey-count" : "copy", (Guarantee)random.Next(2), 2)];
        for (int i = 0; i < wanted.Length; i++)
        {
            Application app = new()
            {
                Id = $"{_name}-{wanted[i].Flow}-{i}",
                Flow = wanted[i].Flow,
                Guarantee = wanted[i].Guarantee,
                Protocol = classicFirst == (i % 2 == 0) ? "classic" : "consumer",
                Input = $"{_name}-in",
                Partitions = Partitions,
                Snapshots = snapshotsFirst == (i % 2 == 0) ? Directory.CreateDirectory(Path.Combine(_folder, $"snapshots-{i}")).FullName : null,
            };
            for (int slot = 0; slot < wanted[i].Instances; slot++)
            {
                // The shortest and the longest commits are always there; between them by chance.
                double commit = slot switch { 0 => 0.05, 1 => 5, _ => 0.05 * Math.Pow(100, random.NextDouble()) };
                Tuning tuning = _options.IsBacklog ? BacklogTuning(random) : new(
                    TimeSpan.FromSeconds(commit),
                    TimeSpan.FromSeconds(Math.Max(commit * 3.01, 3 + random.NextDouble() * 7)),
                    TimeSpan.FromSeconds(6 + random.NextDouble() * 4),
                    HasOwnId: random.Next(2) == 0,
                    Workers: random.Next(1, 3));
                app.Instances.Add(new HostInstance(app, slot, tuning, _folder));
            }

            yield return app;
        }
    }

    /// <summary>
    /// Short, so that a pause is longer than a transaction or a session, and a shard that stands still is seen before the next
    /// fault moves it. One worker, whose reader has the partition that is far behind and others beside it.
    /// </summary>
    private static Tuning BacklogTuning(Random random) => new(
        TimeSpan.FromSeconds(0.1 + random.NextDouble() * 0.4),
        TimeSpan.FromSeconds(3),
        TimeSpan.FromSeconds(8),
        HasOwnId: random.Next(2) == 0,
        Workers: 1);

    /// <summary>What the broker has for members of the consumer protocol; older ones do not know it.</summary>
    private static async Task<TimeSpan> ConsumerSessionAsync(World world)
    {
        int broker = world.Admin.GetMetadata(TimeSpan.FromSeconds(10)).Brokers[0].BrokerId;
        ConfigResource ofBroker = new() { Type = ResourceType.Broker, Name = broker.ToString(CultureInfo.InvariantCulture) };
        List<DescribeConfigsResult> configs = await Clients.AskAsync(() => world.Admin.DescribeConfigsAsync([ofBroker]), world.Stop);
        return configs[0].Entries.TryGetValue("group.consumer.session.timeout.ms", out ConfigEntryResult? entry)
            ? TimeSpan.FromMilliseconds(long.Parse(entry.Value, CultureInfo.InvariantCulture))
            : world.ConsumerSession;
    }

    /// <summary>A way from every instance to every broker, which faults can spoil.</summary>
    private async Task ConnectAsync(World world)
    {
        foreach (HostInstance instance in world.Instances)
        {
            Relay relay = Own(new Relay());
            world.Relays[instance] = relay;
            world.Proxies[instance] = [];
            List<int> ports = [];
            foreach (BrokerMetadata broker in world.Admin.GetMetadata(TimeSpan.FromSeconds(10)).Brokers)
            {
                int port = relay.Listen(broker.Host, broker.Port);
                if (world.Toxiproxy is { } toxiproxy)
                {
                    string proxy = $"{instance}-{broker.BrokerId}";
                    port = await toxiproxy.AddAsync(proxy, port, _stop);
                    world.Proxies[instance].Add(proxy);
                }

                relay.Advertise(broker.Host, broker.Port, port);
                ports.Add(port);
            }

            instance.Address = string.Join(',', ports.Select(port => $"127.0.0.1:{port}"));
        }
    }

    /// <summary>Changelogs are compacted within the run, so that restores read what compaction leaves.</summary>
    private async Task CompactSoonAsync(World world)
    {
        foreach (Application app in world.Applications)
        {
            // By the list of all topics: to ask for one may create it.
            await UntilAsync(StartLimit, () => world.Admin.GetMetadata(TimeSpan.FromSeconds(10)).Topics.Exists(topic => topic.Topic == app.Changelog && topic.Partitions.Count == app.Partitions), $"there is no topic {app.Changelog}");
            await world.Admin.IncrementalAlterConfigsAsync(new()
            {
                [new ConfigResource { Type = ResourceType.Topic, Name = app.Changelog }] =
                [
                    Set("segment.ms", "15000"),
                    Set("min.cleanable.dirty.ratio", "0.01"),
                ],
            });
        }

        static ConfigEntry Set(string name, string value) => new() { Name = name, Value = value, IncrementalOperation = AlterConfigOpType.Set };
    }

    private async Task<IReadOnlyList<FiredFault>> FireAsync(World world, IReadOnlyList<PlannedFault> schedule)
    {
        Faults faults = new(world);
        long began = Stopwatch.GetTimestamp();
        List<Task<FiredFault>> firing = [];
        foreach (PlannedFault plan in schedule)
        {
            TimeSpan wait = plan.At - Stopwatch.GetElapsedTime(began);
            if (wait > TimeSpan.Zero)
            {
                await Task.Delay(wait, _stop);
            }

            firing.Add(FireAsync(world, faults, plan));
        }

        return await Task.WhenAll(firing);
    }

    private static async Task<FiredFault> FireAsync(World world, Faults faults, PlannedFault plan)
    {
        try
        {
            // What was not seen to happen, because something else was going on, is tried again.
            IReadOnlyList<string> evidence = [];
            for (int attempt = 0; attempt < 3 && evidence.Count == 0; attempt++)
            {
                evidence = await plan.Kind.Fire(faults, plan with { Variant = plan.Variant + attempt });
            }

            world.Say($"#{plan.Number} {plan.Kind.Name}: {(evidence.Count > 0 ? string.Join("; ", evidence) : "not seen")}");
            return new(plan, evidence, null);
        }
        catch (Exception error) when (error is InvalidOperationException or KafkaException or IOException or HttpRequestException or UnauthorizedAccessException)
        {
            world.Say($"#{plan.Number} {plan.Kind.Name} failed: {error.Message}");
            return new(plan, [], error.Message);
        }
    }

    /// <summary>With load every instance must work again; without it all must be processed.</summary>
    private async Task ComeToRestAsync(World world, Load load, Checker checker)
    {
        DateTime over = DateTime.UtcNow;
        foreach (HostInstance instance in world.Instances)
        {
            Slowness.End(instance.Slow);
        }

        world.Say($"The faults are over; {load.Written} records were written.");
        Stopwatch took = Stopwatch.StartNew();
        bool work = await IsTrueAsync(RestLimit, () => world.Instances.All(instance => instance.IsUp && world.Watch.HasCommitted(instance, over)));
        string idle = string.Join(", ", world.Instances.Where(instance => !world.Watch.HasCommitted(instance, over)));
        checker.Alive.Require(work, () => $"{RestLimit.TotalSeconds:0} s after the last fault these have committed nothing: {idle}");
        checker.Alive.Note += string.Create(CultureInfo.InvariantCulture, $"All committed {took.Elapsed.TotalSeconds:0.0} s after the last fault; ");
        load.Stop(RestLimit);
        took.Restart();
        TimeSpan catchUpLimit = RestLimit + TimeSpan.FromSeconds((double)_backlog / BacklogPerSecond);
        foreach (Application app in world.Applications)
        {
            long behind = 0;
            bool caughtUp = await IsTrueAsync(catchUpLimit, () => (behind = checker.Behind(app)) == 0);
            checker.Alive.Require(caughtUp, () => $"{app} is {behind} records behind {catchUpLimit.TotalSeconds:0} s after the last record");
        }

        checker.Alive.Note += string.Create(CultureInfo.InvariantCulture, $"lag 0 after {took.Elapsed.TotalSeconds:0.0} s more. ");
        world.Say(checker.Alive.Breaches.Count == 0 ? $"All {load.Written} records are processed." : checker.Alive.Breaches[^1]);
    }

    /// <summary>Where the orderly end came into a restore, an instance finishes it, so that there is a folder to compare.</summary>
    private async Task FinishRestoresAsync(World world, Application app, Checker checker)
    {
        if (checker.ShardsBehind(app) is not { Length: > 0 } behind)
        {
            return;
        }

        world.Say($"{app}: shards {string.Join(", ", behind)} were being restored at the end; one more start.");
        HostInstance instance = app.Instances[0];
        instance.Start();
        foreach (int shard in behind)
        {
            await instance.LineAsync(line => line.Id == 302 && line.Text.StartsWith($"Shard {shard}:", StringComparison.Ordinal), RestLimit, _stop);
        }

        await world.TerminateAsync(instance);
    }

    private async Task UntilAsync(TimeSpan limit, Func<bool> condition, string what)
    {
        if (!await IsTrueAsync(limit, condition))
        {
            _keep = true;
            throw new InvalidOperationException($"{what} after {limit.TotalSeconds:0} s");
        }
    }

    private async Task<bool> IsTrueAsync(TimeSpan limit, Func<bool> condition)
    {
        long began = Stopwatch.GetTimestamp();
        while (!IsTrue())
        {
            if (Stopwatch.GetElapsedTime(began) > limit)
            {
                return false;
            }

            await Task.Delay(200, _stop);
        }

        return true;

        bool IsTrue()
        {
            try
            {
                return condition();
            }
            catch (KafkaException error) when (KafkaErrors.Of(error) == Consequence.Retry)
            {
                // A leader moves: asked again in a moment.
                return false;
            }
        }
    }

    private T Own<T>(T opened)
    {
        _open.Push(opened is IAsyncDisposable disposable ? disposable : new Closing((IDisposable)(object)opened!));
        return opened;
    }

    private sealed class Closing(IDisposable opened) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            opened.Dispose();
            return ValueTask.CompletedTask;
        }
    }

    /// <summary>The topics and groups of this run on a broker that goes on.</summary>
    private sealed class Leftovers(World world, string input) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            foreach (HostInstance instance in world.Instances)
            {
                instance.Dispose();
            }

            using IAdminClient admin = Clients.Admin(world.Address);
            try
            {
                string[] topics = [.. admin.GetMetadata(TimeSpan.FromSeconds(10)).Topics.Select(topic => topic.Topic).Where(topic => topic == input || world.Applications.Any(app => topic.StartsWith(app.Id, StringComparison.Ordinal)))];
                await admin.DeleteTopicsAsync(topics);
                await admin.DeleteGroupsAsync([.. world.Applications.Select(app => app.Id)]);
            }
            catch (KafkaException error)
            {
                Console.Error.WriteLine($"Not everything could be removed from the broker: {error.Message}");
            }
        }
    }
}
