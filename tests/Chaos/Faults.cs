using System.Diagnostics;
using System.Globalization;
using System.Text;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using ClientPartition = Confluent.Kafka.TopicPartition;

namespace KStreamSharp.Tests.Chaos;

/// <summary>What each kind of fault does, and what shows that it happened.</summary>
internal sealed class Faults(World world)
{
    private const int Killed = 137;

    /// <summary>How long a fault that only makes sense in an instance that works waits for it.</summary>
    private static readonly TimeSpan CalmLimit = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan PourLimit = TimeSpan.FromMinutes(3);

    /// <summary>librdkafka has it, its binding has no name for it.</summary>
    private const ResourceType TransactionalId = (ResourceType)5;

    private static readonly IReadOnlyList<string> NotShown = [];

    /// <summary>All kinds. Seconds are how long an instance stays away, a broker is down or a connection is bad.</summary>
    public static IReadOnlyList<FaultKind> All { get; } =
    [
        new("kill", Hits.Instance, 0, 12, (faults, plan) => faults.KillAsync(plan)) { IsSteady = true },
        new("alone", Hits.Application, 1.5, 3, (faults, plan) => faults.LeaveAloneAsync(plan)) { IsSteady = true, Isolates = true },
        new("kill-all", Hits.Application, 0, 5, (faults, plan) => faults.KillAllAsync(plan)),
        new("kill-in-restore", Hits.Instance, 0, 1, (faults, plan) => faults.KillInRestoreAsync(plan)),
        new("terminate", Hits.Instance, 0, 1, (faults, plan) => faults.TerminateAsync(plan)) { IsSteady = true },
        new("terminate-long", Hits.Instance, 10, 15, (faults, plan) => faults.TerminateAsync(plan)),
        new("pause-short", Hits.Instance, 0.5, 4, (faults, plan) => faults.PauseAsync(plan, _ => TimeSpan.Zero)) { IsSteady = true },
        new("pause-transaction", Hits.Instance, 0.5, 4, (faults, plan) => faults.PauseAsync(plan, instance => instance.Tuning.TransactionTimeout)) { IsSteady = true, MakesAbort = true },
        new("pause-session", Hits.Instance, 2, 8, (faults, plan) => faults.PauseAsync(plan, faults.Session)) { IsSteady = true },
        new("folder-deleted", Hits.Instance, 0, 5, (faults, plan) => faults.DeleteFolderAsync(plan)) { LosesFolder = true },
        new("folder-old-copy", Hits.Instance, 8, 15, (faults, plan) => faults.OldCopyAsync(plan)) { LosesFolder = true },
        new("sst-damaged", Hits.Instance, 0, 1, (faults, plan) => faults.DamageAsync(plan, "*.sst")) { LosesFolder = true },
        new("manifest-damaged", Hits.Instance, 0, 1, (faults, plan) => faults.DamageAsync(plan, "MANIFEST-*")) { LosesFolder = true },
        new("changelog-truncated", Hits.Application, 0, 1, (faults, plan) => faults.TruncateAsync(plan)) { ComesLate = true },
        new("snapshots-away", Hits.Instance, 8, 20, (faults, plan) => faults.SnapshotsAwayAsync(plan)) { LosesFolder = true, LosesSnapshots = true },
        new("snapshot-damaged", Hits.Instance, 0, 1, (faults, plan) => faults.DamageSnapshotAsync(plan)) { LosesFolder = true, LosesSnapshots = true },
        new("strange-transaction", Hits.Application, 2, 8, (faults, plan) => faults.StrangeTransactionAsync(plan)),
        new("end-request-lost", Hits.Instance, 0, 1, (faults, plan) => faults.CutAsync(plan, Cut.BeforeEnd)),
        new("end-answer-lost", Hits.Instance, 0, 1, (faults, plan) => faults.CutAsync(plan, Cut.AfterEnd)),
        new("positions-answer-lost", Hits.Instance, 0, 1, (faults, plan) => faults.CutAsync(plan, Cut.AfterPositions)),
        new("backlog-at-start", Hits.Everything, 0, 0, (faults, plan) => faults.BacklogAtStartAsync(plan)) { ComesFirst = true },
        new("backlog", Hits.Everything, 0, 0, (faults, plan) => faults.BacklogAsync(plan)) { ComesInTheMiddle = true },
        new("skew", Hits.Everything, 5, 15, (faults, plan) => faults.SkewAsync(plan)),
        new("slow-step", Hits.Instance, 5, 15, (faults, plan) => faults.SlowStepAsync(plan)) { NeedsSlowStep = true },
        new("right-withdrawn", Hits.Application, 3, 12, (faults, plan) => faults.WithdrawAsync(plan)) { NeedsAuthorizer = true },
        new("topic-made-anew", Hits.Application, 0, 0, (faults, plan) => faults.MakeAnewAsync(plan)) { ComesLast = true },
        new("tcp-latency", Hits.Instance, 5, 15, (faults, plan) => faults.ToxicAsync(plan, "latency", variant => new { latency = 50 + variant % 400, jitter = variant % 100 })) { NeedsProxies = true },
        new("tcp-bandwidth", Hits.Instance, 5, 15, (faults, plan) => faults.ToxicAsync(plan, "bandwidth", variant => new { rate = 2 + variant % 20 })) { NeedsProxies = true },
        new("tcp-black-hole", Hits.Instance, 3, 20, (faults, plan) => faults.ToxicAsync(plan, "timeout", _ => new { timeout = 0 })) { NeedsProxies = true },
        new("tcp-reset", Hits.Instance, 1, 8, (faults, plan) => faults.ToxicAsync(plan, "reset_peer", variant => new { timeout = variant % 500 })) { NeedsProxies = true },
        new("tcp-cut", Hits.Instance, 1, 20, (faults, plan) => faults.CutOffAsync(plan)) { NeedsProxies = true },
        new("broker-stopped", Hits.Broker, 2, 20, (faults, plan) => faults.BrokerAwayAsync(plan, OwnCluster.StopAsync)) { NeedsOwnCluster = true },
        new("broker-killed", Hits.Broker, 2, 20, (faults, plan) => faults.BrokerAwayAsync(plan, OwnCluster.KillAsync)) { NeedsOwnCluster = true },
        new("broker-restarted", Hits.Broker, 0, 0, (faults, plan) => faults.BrokerAwayAsync(plan, OwnCluster.StopAsync)) { NeedsOwnCluster = true },
        new("broker-paused", Hits.Broker, 2, 15, (faults, plan) => faults.BrokerAwayAsync(plan, OwnCluster.PauseAsync, OwnCluster.WakeAsync)) { NeedsOwnCluster = true },
    ];

    private TimeSpan Session(HostInstance instance) => world.Session(instance);

    /// <summary>The instance that is hit: of those that can bear it.</summary>
    private HostInstance Instance(PlannedFault plan)
    {
        HostInstance[] candidates = [.. world.Instances.Where(instance =>
            !(plan.Kind.LosesFolder && instance.App.NeedsFolders)
            && (instance.CanBeSlow || !plan.Kind.NeedsSlowStep)
            && !(plan.Kind.LosesSnapshots && (instance.App.Snapshots is null || instance.App.NeedsSnapshots)))];
        if (plan.Aim != Aim.Any && candidates.Where(instance => world.Watch.ShardsOf(instance).Contains(ChaosRun.BacklogPartition) == (plan.Aim == Aim.Backlog)).ToArray() is { Length: > 0 } aimed)
        {
            candidates = aimed;
        }

        return candidates.Length > 0 ? candidates[plan.Target % candidates.Length] : throw new InvalidOperationException("no application can bear it any more");
    }

    private Application Application(PlannedFault plan) => world.Applications[plan.Target % world.Applications.Count];

    private Task Wait(double seconds) => Task.Delay(TimeSpan.FromSeconds(seconds), world.Stop);

    private async Task<IReadOnlyList<string>> KillAsync(PlannedFault plan)
    {
        HostInstance instance = Instance(plan);
        using IDisposable held = await HoldAsync([instance], []);
        int[] shards = world.Watch.ShardsOf(instance);
        DateTime at = DateTime.UtcNow;
        if (await instance.KillAsync() != Killed)
        {
            return NotShown;
        }

        await Wait(plan.Seconds);
        int taken = world.Watch.TakenOver(instance, shards, at);
        instance.Start();
        return Shown("gone by signal 9", taken > 0, "others took over meanwhile");
    }

    /// <summary>
    /// All but one are killed: it gets every shard, and its one reader every partition. Pauses then make it abort a few times, for
    /// not each abort comes while its client holds back the partition that is far behind; and it is left in peace until a
    /// shard that stands still must have been seen.
    /// </summary>
    private async Task<IReadOnlyList<string>> LeaveAloneAsync(PlannedFault plan)
    {
        const int aborts = 3;
        Application app = Application(plan);
        using IDisposable held = await HoldAsync(app.Instances, []);
        HostInstance alone = app.Instances[plan.Variant % app.Instances.Count];
        HostInstance[] others = [.. app.Instances.Where(instance => instance != alone)];
        await world.WorksAsync(alone, CalmLimit);
        DateTime at = DateTime.UtcNow;
        await Task.WhenAll(others.Select(instance => instance.KillAsync()));
        int seen = 0;
        try
        {
            bool hasAll = await HasAllAsync(at);
            for (int i = 0; i < aborts && hasAll; i++)
            {
                await Wait(2);
                DateTime paused = DateTime.UtcNow;
                if (await alone.PauseAsync())
                {
                    await Wait(alone.Tuning.TransactionTimeout.TotalSeconds + plan.Seconds);
                    alone.Wake();
                    seen += await alone.LineAsync(line => line.Id is 400 or 401 or 202 && line.At >= paused, TimeSpan.FromSeconds(20), world.Stop) is null ? 0 : 1;
                }
            }

            await Task.Delay(Standstill.Limit(world, app) * 1.5, world.Stop);
        }
        finally
        {
            Array.ForEach(others, instance => instance.Start());
        }

        return seen > 0 ? [string.Create(CultureInfo.InvariantCulture, $"one had all shards and aborted {seen} times")] : NotShown;

        async Task<bool> HasAllAsync(DateTime since)
        {
            while (DateTime.UtcNow - since < CalmLimit + Session(alone))
            {
                if (world.Watch.Markers(app).Where(marker => marker.Seen >= since && alone.Ids.Contains(marker.InstanceId)).Select(marker => marker.Shard).Distinct().Count() == app.Partitions)
                {
                    return true;
                }

                await Task.Delay(200, world.Stop);
            }

            return false;
        }
    }

    private async Task<IReadOnlyList<string>> KillAllAsync(PlannedFault plan)
    {
        Application app = Application(plan);
        using IDisposable held = await HoldAsync(app.Instances, []);
        int?[] codes = await Task.WhenAll(app.Instances.Select(instance => instance.KillAsync()));
        await Wait(plan.Seconds);
        app.Instances.ForEach(instance => instance.Start());
        return codes.Any(code => code == Killed) ? [$"all gone by signal 9"] : NotShown;
    }

    /// <summary>Ended in the midst of a takeover, of the whole changelog where that may be.</summary>
    private async Task<IReadOnlyList<string>> KillInRestoreAsync(PlannedFault plan)
    {
        HostInstance instance = Instance(plan);
        using IDisposable held = await HoldAsync([instance], [instance], withBroker: true);
        await world.WorksAsync(instance, CalmLimit);
        await instance.KillAsync();
        if (!instance.App.NeedsFolders)
        {
            instance.DeleteFolder();
        }

        instance.Start();
        LogLine? restoring = await instance.LineAsync(line => line.Id == 300, TimeSpan.FromSeconds(60), world.Stop);
        await Task.Delay(plan.Variant % 60, world.Stop);
        int? code = await instance.KillAsync();
        instance.Start();
        return restoring is null || code != Killed ? NotShown : ["killed within 60 ms of a restore's begin"];
    }

    private async Task<IReadOnlyList<string>> TerminateAsync(PlannedFault plan)
    {
        HostInstance instance = Instance(plan);
        using IDisposable held = await HoldAsync([instance], []);
        if (!instance.IsUp)
        {
            return NotShown;
        }

        int[] shards = world.Watch.ShardsOf(instance);
        OrderlyEnd end = await world.TerminateAsync(instance);
        await Wait(plan.Seconds);
        int taken = world.Watch.TakenOver(instance, shards, end.Asked);
        instance.Start();
        return Shown($"ended with {end.ExitCode?.ToString(CultureInfo.InvariantCulture) ?? "SIGKILL after 45 s"}", taken > 0, "others took over meanwhile");
    }

    private async Task<IReadOnlyList<string>> PauseAsync(PlannedFault plan, Func<HostInstance, TimeSpan> limit)
    {
        HostInstance instance = Instance(plan);
        using IDisposable held = await HoldAsync([instance], []);
        int[] shards = world.Watch.ShardsOf(instance);
        DateTime at = DateTime.UtcNow;
        if (!await instance.PauseAsync())
        {
            return NotShown;
        }

        try
        {
            await Wait(limit(instance).TotalSeconds + plan.Seconds);
        }
        finally
        {
            instance.Wake();
        }

        return Shown("stopped (state T), then woken", world.Watch.TakenOver(instance, shards, at) > 0, "others took over meanwhile");
    }

    private async Task<IReadOnlyList<string>> DeleteFolderAsync(PlannedFault plan)
    {
        HostInstance instance = Instance(plan);
        using IDisposable held = await HoldAsync([instance], []);
        await instance.KillAsync();
        bool had = !instance.App.NeedsFolders && Directory.Exists(instance.AppFolder);
        if (had)
        {
            instance.DeleteFolder();
        }

        await Wait(plan.Seconds);
        instance.Start();
        return had ? ["killed, folder deleted"] : NotShown;
    }

    /// <summary>The folder as it was some seconds ago is put back: after an orderly end, or after a crash.</summary>
    private async Task<IReadOnlyList<string>> OldCopyAsync(PlannedFault plan)
    {
        HostInstance instance = Instance(plan);
        using IDisposable held = await HoldAsync([instance], []);
        await instance.KillAsync();
        string copy = Path.Combine(world.Folder, $"copy-{plan.Number}");
        if (instance.App.NeedsFolders || !Directory.Exists(instance.AppFolder))
        {
            instance.Start();
            return NotShown;
        }

        Folders.Copy(instance.StateDir, copy);
        bool wasDamaged = instance.IsDamaged;
        instance.Start();
        await Wait(plan.Seconds);
        if (plan.Variant % 2 == 0 && instance.IsUp)
        {
            await world.TerminateAsync(instance);
        }
        else
        {
            await instance.KillAsync();
        }

        instance.DeleteFolder();
        Folders.Copy(copy, instance.StateDir);
        Directory.Delete(copy, recursive: true);
        if (wasDamaged)
        {
            instance.DamagedAt.Add(DateTime.UtcNow);
        }

        instance.Start();
        return [plan.Variant % 2 == 0 ? "put back after an orderly end" : "put back after a kill"];
    }

    /// <summary>One byte of a file of RocksDB is changed while the instance is down.</summary>
    private async Task<IReadOnlyList<string>> DamageAsync(PlannedFault plan, string pattern)
    {
        HostInstance instance = Instance(plan);
        using IDisposable held = await HoldAsync([instance], [instance], withBroker: true);
        await world.WorksAsync(instance, CalmLimit);
        if (instance.IsUp)
        {
            // What it has in memory is flushed, so that there are files.
            await world.TerminateAsync(instance);
        }

        string[] files = instance.App.NeedsFolders || !Directory.Exists(instance.AppFolder)
            ? []
            : [.. Directory.EnumerateFiles(instance.AppFolder, pattern, SearchOption.AllDirectories).Order()];
        if (files.Length > 0)
        {
            string file = files[plan.Variant % files.Length];
            await Folders.DamageAsync(file, plan.Variant);
            instance.DamagedAt.Add(DateTime.UtcNow);
            instance.FolderTouched.Add(DateTime.UtcNow);
        }

        instance.Start();
        return files.Length > 0 ? ["a byte changed"] : NotShown;
    }

    /// <summary>
    /// The begin of the changelog is deleted: up to the newest snapshots, or, where there are none, up to what all folders hold.
    /// An instance that has lost its folder then restores from a snapshot, or refuses and says why.
    /// </summary>
    private async Task<IReadOnlyList<string>> TruncateAsync(PlannedFault plan)
    {
        Application app = Application(plan);
        using IDisposable held = await HoldAsync(app.Instances, app.Instances, withBroker: true);
        foreach (HostInstance instance in app.Instances)
        {
            await world.WorksAsync(instance, CalmLimit);
        }

        OrderlyEnd[] ends = await Task.WhenAll(app.Instances.Where(instance => instance.IsUp).Select(world.TerminateAsync));
        try
        {
            if (ends.Any(end => end.ExitCode != 0))
            {
                return NotShown;
            }

            long[] published = app.HasDamagedSnapshots || app.NeedsFolders ? [] : Snapshots.NewestPositions(world.Address, app);
            HostInstance without = app.Instances[plan.Variant % app.Instances.Count];
            return published.Length > 0 && published.All(position => position > 0)
                ? await TruncateToSnapshotsAsync(app, without, published)
                : await TruncateToFoldersAsync(app, without, Path.Combine(world.Folder, $"newest-{plan.Number}"));
        }
        finally
        {
            StartAll(app);
        }
    }

    private async Task<IReadOnlyList<string>> TruncateToSnapshotsAsync(Application app, HostInstance without, long[] positions)
    {
        app.NeedsSnapshots = true;
        bool moved = await DeleteBelowAsync(app, positions);
        without.DeleteFolder();
        app.Instances.ForEach(instance => instance.FolderTouched.Add(DateTime.UtcNow));
        without.Start();
        LogLine? downloaded = await without.LineAsync(line => line.Id == 308, TimeSpan.FromSeconds(60) + Session(without), world.Stop);
        return downloaded is null || !moved ? NotShown : ["log starts moved up to snapshots; an instance without its folder restored from one"];
    }

    /// <summary>To make all folders hold it, the newest of each shard is copied to every instance, as an operator would do it.</summary>
    private async Task<IReadOnlyList<string>> TruncateToFoldersAsync(Application app, HostInstance without, string safe)
    {
        (string Folder, long Position)[] newest = [.. Enumerable.Range(0, app.Partitions).Select(shard => Newest(app, shard))];
        if (newest.Any(one => one.Position == 0))
        {
            return NotShown;
        }

        for (int shard = 0; shard < app.Partitions; shard++)
        {
            Folders.Copy(newest[shard].Folder, Path.Combine(safe, Path.GetFileName(newest[shard].Folder)));
        }

        app.NeedsFolders = app.NeedsSnapshots = true;
        bool moved = await DeleteBelowAsync(app, [.. newest.Select(one => one.Position)]);
        without.DeleteFolder();
        without.Start(willRefuse: true);
        int? code = await without.ExitAsync(TimeSpan.FromSeconds(60) + Session(without));
        string lastWords = without.Current!.LastWords;
        bool refused = code == (int)ExitCode.State && lastWords.Contains("is lost", StringComparison.Ordinal);
        if (!refused)
        {
            world.Say($"an instance without its folder ended with {code}: {lastWords}");
            await without.KillAsync();
        }

        foreach (HostInstance instance in app.Instances)
        {
            instance.DeleteFolder();
            for (int shard = 0; shard < app.Partitions; shard++)
            {
                string name = Path.GetFileName(newest[shard].Folder);
                Folders.Copy(Path.Combine(safe, name), Path.Combine(instance.AppFolder, name));
            }
        }

        Directory.Delete(safe, recursive: true);
        return moved && refused ? ["log starts moved up to the folders; an instance without its folder refused"] : NotShown;
    }

    /// <summary>True when the broker says that the partitions begin there now. A compacted topic allows it only for as long as it is said to be deleted from, too.</summary>
    private async Task<bool> DeleteBelowAsync(Application app, long[] positions)
    {
        await CleanupAsync(app.Changelog, "compact,delete");
        try
        {
            for (long began = Stopwatch.GetTimestamp(); ;)
            {
                try
                {
                    // A client of its own each time: one that knows a leader goes on asking it when another leads.
                    using IAdminClient admin = Clients.Admin(world.Address);
                    List<DeleteRecordsResult> starts = await admin.DeleteRecordsAsync(positions.Select((position, shard) => new TopicPartitionOffset(app.Changelog, shard, position)));
                    return starts.All(start => start.Offset == positions[start.Partition.Value]);
                }
                catch (KafkaException) when (Stopwatch.GetElapsedTime(began) < CalmLimit)
                {
                    // A fault of a broker before this one: its partitions have no leader yet, or not all of their replicas.
                    await Task.Delay(TimeSpan.FromSeconds(1), world.Stop);
                }
            }
        }
        finally
        {
            await CleanupAsync(app.Changelog, "compact");
        }
    }

    private static void StartAll(Application app)
    {
        foreach (HostInstance instance in app.Instances.Where(instance => !instance.IsUp))
        {
            instance.Start();
        }
    }

    private (string Folder, long Position) Newest(Application app, int shard) => app.Instances
        .Where(instance => !instance.IsDamaged)
        .Select(instance => Path.Combine(instance.AppFolder, $"shard-{shard}"))
        .Where(Directory.Exists)
        .Select(folder => (folder, Folders.Position(folder, Path.Combine(world.Folder, "look"))))
        .DefaultIfEmpty(("", 0))
        .MaxBy(found => found.Item2);

    private Task CleanupAsync(string topic, string policy) => world.Admin.IncrementalAlterConfigsAsync(new()
    {
        [new ConfigResource { Type = ResourceType.Topic, Name = topic }] =
        [
            new ConfigEntry { Name = "cleanup.policy", Value = policy, IncrementalOperation = AlterConfigOpType.Set },
            new ConfigEntry { Name = "retention.ms", Value = "-1", IncrementalOperation = AlterConfigOpType.Set },
        ],
    });

    /// <summary>The snapshot store is not there for a while, and an instance that has lost its folder begins meanwhile.</summary>
    private async Task<IReadOnlyList<string>> SnapshotsAwayAsync(PlannedFault plan)
    {
        HostInstance instance = Instance(plan);
        Application app = instance.App;
        using IDisposable held = await HoldAsync([instance], []);
        DateTime at = DateTime.UtcNow;
        string away = app.Snapshots + "-away";
        Directory.Move(app.Snapshots!, away);
        try
        {
            await instance.KillAsync();
            instance.DeleteFolder();
            instance.Start();
            await Wait(plan.Seconds);
        }
        finally
        {
            Directory.Move(away, app.Snapshots!);
        }

        bool said = app.Instances.Exists(one => one.Lines.Any(line => line.At >= at && line.Id is 309 or 352));
        return Shown("store gone, then back", said, "told in a log");
    }

    /// <summary>One byte of an object in the snapshot store is changed, and an instance that has lost its folder begins after it.</summary>
    private async Task<IReadOnlyList<string>> DamageSnapshotAsync(PlannedFault plan)
    {
        HostInstance instance = Instance(plan);
        Application app = instance.App;
        using IDisposable held = await HoldAsync([instance], [instance], withBroker: true);
        string[] files = [.. Directory.EnumerateFiles(app.Snapshots!, "*", SearchOption.AllDirectories).Where(file => !file.Contains('~', StringComparison.Ordinal) && new FileInfo(file).Length > 0).Order()];
        if (app.NeedsSnapshots || files.Length == 0)
        {
            return NotShown;
        }

        DateTime at = DateTime.UtcNow;
        await Folders.DamageAsync(files[plan.Variant % files.Length], plan.Variant);
        app.HasDamagedSnapshots = true;
        await instance.KillAsync();
        instance.DeleteFolder();
        instance.Start();
        await world.WorksAsync(instance, CalmLimit);
        return Shown("a byte changed", app.Instances.Exists(one => one.Lines.Any(line => line.At >= at && line.Id == 310)), "noticed");
    }

    /// <summary>A producer that is none of the application's writes into its changelog and aborts; an instance begins anew meanwhile.</summary>
    private async Task<IReadOnlyList<string>> StrangeTransactionAsync(PlannedFault plan)
    {
        Application app = Application(plan);
        HostInstance instance = app.Instances[plan.Variant % app.Instances.Count];
        using IDisposable held = await HoldAsync([instance], [], withBroker: true);
        using IProducer<byte[], byte[]> producer = new ProducerBuilder<byte[], byte[]>(new ProducerConfig
        {
            BootstrapServers = world.Address,
            TransactionalId = $"{app.Id}-stranger-{plan.Number}",
            TransactionTimeoutMs = 30_000,
        }).SetErrorHandler((_, _) => { }).SetLogHandler((_, _) => { }).Build();
        int delivered = 0;
        try
        {
            producer.InitTransactions(TimeSpan.FromSeconds(30));
            producer.BeginTransaction();
            for (int i = 0; i < 25 * app.Partitions; i++)
            {
                producer.Produce(
                    new ClientPartition(app.Changelog, i % app.Partitions),
                    new Message<byte[], byte[]> { Key = [5, .. "count"u8, .. Encoding.ASCII.GetBytes($"key-{i:D4}")], Value = [.. "not a state"u8] },
                    report => delivered += report.Error.IsError ? 0 : 1);
            }

            producer.Flush(TimeSpan.FromSeconds(20));
            await instance.KillAsync();
            instance.Start();
            await Wait(plan.Seconds);
            producer.AbortTransaction(TimeSpan.FromSeconds(20));
        }
        catch (KafkaException error)
        {
            // The broker is away, or ended the transaction itself: it is aborted all the same, a little later.
            world.Say($"#{plan.Number}: {error.Message}");
        }

        if (!instance.IsUp)
        {
            instance.Start();
        }

        return delivered > 0 ? [$"records written and aborted"] : NotShown;
    }

    private async Task<IReadOnlyList<string>> BacklogAtStartAsync(PlannedFault plan)
    {
        await PourAsync(plan);
        return ["there before the first start"];
    }

    /// <summary>Nothing runs, in order or by force, while one partition gets far ahead of the others.</summary>
    private async Task<IReadOnlyList<string>> BacklogAsync(PlannedFault plan)
    {
        using IDisposable held = await HoldAsync(world.Instances, []);
        bool inOrder = plan.Variant % 2 == 0;
        await Task.WhenAll(world.Instances.Where(instance => instance.IsUp).Select<HostInstance, Task>(instance => inOrder ? world.TerminateAsync(instance) : instance.KillAsync()));
        try
        {
            await PourAsync(plan);
        }
        finally
        {
            foreach (Application app in world.Applications)
            {
                StartAll(app);
            }
        }

        return [$"written while all were {(inOrder ? "stopped" : "killed")}"];
    }

    private async Task PourAsync(PlannedFault plan)
    {
        int partition = plan.Target % world.Applications[0].Partitions;
        await Task.Run(() => world.Load.Pour(world.KeysOf(partition), world.Backlog, PourLimit));
        world.Say($"#{plan.Number}: {world.Backlog} records into partition {partition}");
    }

    /// <summary>Nearly everything that is written goes into one partition, ten times as much as before.</summary>
    private async Task<IReadOnlyList<string>> SkewAsync(PlannedFault plan)
    {
        await world.LoadLock.WaitAsync(world.Stop);
        try
        {
            int partition = plan.Target % world.Applications[0].Partitions;
            long[] before = Ends();
            world.Load.Favour(world.KeysOf(partition));
            try
            {
                await Wait(plan.Seconds);
            }
            finally
            {
                world.Load.Favour(null);
            }

            long[] grown = [.. Ends().Zip(before, (after, earlier) => after - earlier)];
            return grown[partition] > grown.Sum() * 0.8 ? ["more than 80 % of all records in one partition"] : NotShown;
        }
        finally
        {
            world.LoadLock.Release();
        }

        long[] Ends()
        {
            using Topics topics = new(world.Address);
            return [.. Enumerable.Range(0, world.Applications[0].Partitions).Select(one => topics.End(new ClientPartition(world.Applications[0].Input, one)))];
        }
    }

    /// <summary>Some records take a while: never so long that a process is given up for it.</summary>
    private async Task<IReadOnlyList<string>> SlowStepAsync(PlannedFault plan)
    {
        HostInstance instance = Instance(plan);
        using IDisposable held = await HoldAsync([instance], []);
        await world.WorksAsync(instance, CalmLimit);
        Slowness.Begin(instance.Slow, 20 + plan.Variant % 200, 10 + plan.Variant % 190);
        try
        {
            await Wait(plan.Seconds);
        }
        finally
        {
            Slowness.End(instance.Slow);
        }

        return File.Exists(Slowness.Seen(instance.Slow)) ? ["told by the step"] : NotShown;
    }

    /// <summary>
    /// A right that an application needs is taken from it and given back: its instances end and say what they are not allowed, or,
    /// where only housekeeping needs it, go on.
    /// </summary>
    private async Task<IReadOnlyList<string>> WithdrawAsync(PlannedFault plan)
    {
        Application app = Application(plan);
        (ResourceType Type, string Name, ResourcePatternType Pattern, AclOperation Operation)[] rights =
        [
            (ResourceType.Topic, app.Output, ResourcePatternType.Literal, AclOperation.Write),
            (ResourceType.Topic, app.Changelog, ResourcePatternType.Literal, AclOperation.Write),
            (ResourceType.Topic, app.Changelog, ResourcePatternType.Literal, AclOperation.Read),
            (ResourceType.Group, app.Id, ResourcePatternType.Literal, AclOperation.Read),
            (TransactionalId, $"{app.Id}/", ResourcePatternType.Prefixed, AclOperation.Write),
            .. app.Repartition is { } repartition ? [(ResourceType.Topic, repartition, ResourcePatternType.Literal, AclOperation.Delete)] : Array.Empty<(ResourceType, string, ResourcePatternType, AclOperation)>(),
        ];
        (ResourceType type, string name, ResourcePatternType pattern, AclOperation operation) = rights[plan.Variant % rights.Length];
        using IDisposable held = await HoldAsync([], app.Instances, withBroker: true);
        DateTime at = DateTime.UtcNow;
        ResourcePattern resource = new() { Type = type, Name = name, ResourcePatternType = pattern };
        AclBinding[] entries =
        [
            Entry(AclOperation.All, AclPermissionType.Allow),
            Entry(operation, AclPermissionType.Deny),
        ];
        Trouble[] troubles = [.. app.Instances.Select(instance => world.Begin(instance, "AuthorizationFailed"))];
        int denied;
        try
        {
            await world.Admin.CreateAclsAsync(entries);
            await Wait(plan.Seconds);
        }
        finally
        {
            List<DeleteAclsResult> gone = await world.Admin.DeleteAclsAsync([new AclBindingFilter
            {
                PatternFilter = new ResourcePatternFilter { Type = type, Name = name, ResourcePatternType = pattern },
                EntryFilter = new AccessControlEntryFilter { Operation = AclOperation.Any, PermissionType = AclPermissionType.Any },
            }]);
            denied = gone.Sum(result => result.AclBindings.Count);
            Array.ForEach(troubles, trouble => trouble.To = DateTime.UtcNow);
        }

        // The ends come at the next use of the right; they are noted when the supervisor finds them.
        bool ended = world.UnexpectedEnds.Any(end => end.Instance.App == app && end.At >= at) || app.Instances.Exists(instance => instance.Current is { Ended: { } end, IsMeantToEnd: false } && end >= at);
        return denied == entries.Length ? Shown($"{operation} of {(type == TransactionalId ? "transactional ids" : type == ResourceType.Group ? "the group" : name == app.Output ? "the output" : name == app.Changelog ? "the changelog" : "a repartition topic")} denied, then allowed", ended, "instances ended") : NotShown;

        AclBinding Entry(AclOperation what, AclPermissionType permission) => new()
        {
            Pattern = resource,
            Entry = new AccessControlEntry { Principal = "User:*", Host = "*", Operation = what, PermissionType = permission },
        };
    }

    private Task<IReadOnlyList<string>> MakeAnewAsync(PlannedFault plan) => world.RemadeTopic.RunAsync(plan);

    /// <summary>The connection is cut at a numbered moment of a transaction's end: nobody knows on this side whether it was ended.</summary>
    private async Task<IReadOnlyList<string>> CutAsync(PlannedFault plan, Cut moment)
    {
        HostInstance instance = Instance(plan);
        using IDisposable held = await HoldAsync([], [instance]);
        Relay relay = world.Relays[instance];
        int before = relay.Cuts;
        relay.Arm(moment);
        for (int i = 0; i < 300 && relay.Cuts == before; i++)
        {
            await Task.Delay(100, world.Stop);
        }

        relay.Arm(Cut.None);
        return relay.Cuts > before ? ["connection cut at that request"] : NotShown;
    }

    private async Task<IReadOnlyList<string>> ToxicAsync(PlannedFault plan, string type, Func<int, object> attributes) => await OverConnectionsAsync(
        plan,
        async proxy => await world.Toxiproxy!.PoisonAsync(proxy, type, "downstream", attributes(plan.Variant), world.Stop)
            & await world.Toxiproxy.PoisonAsync(proxy, type, "upstream", attributes(plan.Variant), world.Stop),
        "toxics listed by the proxy");

    private async Task<IReadOnlyList<string>> CutOffAsync(PlannedFault plan) =>
        await OverConnectionsAsync(plan, proxy => world.Toxiproxy!.EnableAsync(proxy, false, world.Stop), "closed, as the proxy says");

    /// <summary>For one instance, or for all of its application.</summary>
    private async Task<IReadOnlyList<string>> OverConnectionsAsync(PlannedFault plan, Func<string, Task<bool>> spoil, string evidence)
    {
        HostInstance first = Instance(plan);
        IReadOnlyList<HostInstance> targets = plan.Variant % 3 == 0 ? first.App.Instances : [first];
        using IDisposable held = await HoldAsync([], targets);
        int connections = targets.Sum(instance => world.Relays[instance].Connections);
        int[][] shards = [.. targets.Select(world.Watch.ShardsOf)];
        DateTime at = DateTime.UtcNow;
        Trouble[] troubles = [.. targets.Select(instance => world.Begin(instance))];
        bool confirmed = true;
        try
        {
            foreach (string proxy in targets.SelectMany(instance => world.Proxies[instance]))
            {
                confirmed &= await spoil(proxy);
            }

            await Wait(plan.Seconds);
        }
        finally
        {
            foreach (string proxy in targets.SelectMany(instance => world.Proxies[instance]))
            {
                await world.Toxiproxy!.HealAsync(proxy, CancellationToken.None);
            }

            Array.ForEach(troubles, trouble => trouble.To = DateTime.UtcNow);
        }

        await Wait(1);
        List<string> shown = confirmed ? [evidence] : [];
        if (targets.Sum(instance => world.Relays[instance].Connections) > connections)
        {
            shown.Add("connections made anew");
        }

        if (targets.Where((instance, i) => world.Watch.TakenOver(instance, shards[i], at) > 0).Any())
        {
            shown.Add("others took over meanwhile");
        }

        return shown;
    }

    /// <summary>One broker at a time: the next fault of this kind waits until all replicas are in step again.</summary>
    private async Task<IReadOnlyList<string>> BrokerAwayAsync(PlannedFault plan, Func<string, Task<bool>> away, Func<string, Task>? back = null)
    {
        using IDisposable held = await HoldAsync([], [], withBroker: true);
        IReadOnlyList<string> brokers = world.Cluster!.Brokers;
        string broker = brokers[plan.Target % brokers.Count];
        Trouble trouble = world.Begin(null);
        bool down = await away(broker);
        await Wait(plan.Seconds);
        await (back ?? OwnCluster.StartAgainAsync)(broker);
        bool inStep = await world.InStepAsync(TimeSpan.FromSeconds(240));
        trouble.To = DateTime.UtcNow;
        return down && inStep ? ["its container says so; replicas in step again after it"] : NotShown;
    }

    private static IReadOnlyList<string> Shown(string evidence, bool more, string moreEvidence) => more ? [evidence, moreEvidence] : [evidence];

    /// <summary>Takes the locks, always in the same order: processes, connections, broker.</summary>
    private async Task<IDisposable> HoldAsync(IReadOnlyList<HostInstance> processes, IReadOnlyList<HostInstance> connections, bool withBroker = false)
    {
        Held held = new();
        try
        {
            foreach (SemaphoreSlim wanted in Ordered(processes).Select(instance => instance.ProcessLock)
                .Concat(Ordered(connections).Select(instance => instance.NetworkLock))
                .Concat(withBroker ? [world.BrokerLock] : []))
            {
                await wanted.WaitAsync(world.Stop);
                held.Locks.Push(wanted);
            }

            // The supervisor cannot, while they are held.
            foreach (HostInstance instance in processes)
            {
                world.Revive(instance);
            }

            return held;
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    private IEnumerable<HostInstance> Ordered(IReadOnlyList<HostInstance> some) => world.Instances.Where(some.Contains);

    private sealed class Held : IDisposable
    {
        public Stack<SemaphoreSlim> Locks { get; } = [];

        public void Dispose()
        {
            while (Locks.TryPop(out SemaphoreSlim? held))
            {
                held.Release();
            }
        }
    }
}
