using System.Diagnostics.Metrics;

namespace KStreamSharp;

/// <summary>What an instance counts anyway, read when someone collects.</summary>
internal sealed class InstanceMeter(Instance instance)
{
    private const string Kind = "kind";

    private readonly EngineParts _parts = instance.Parts;
    private readonly KeyValuePair<string, object?> _app = Telemetry.Label(Telemetry.App, instance.Parts.App);

    /// <summary>Adds its counters and gauges to the instance's meter.</summary>
    public void Observe()
    {
        Counters counters = _parts.Counters;
        PerStep(Metrics.RecordsIn, step => step.IsSource, step => Volatile.Read(ref step.In));
        PerStep(Metrics.RecordsSkipped, step => step.IsSource, step => Volatile.Read(ref step.Skipped));
        PerStep(Metrics.RecordsOut, step => step.IsSink, step => Volatile.Read(ref step.Out));
        PerStep(Metrics.Lag, step => step.IsSource, step => step.Lag);
        Total(Metrics.Commits, () => Volatile.Read(ref counters.Commits));
        Several(Metrics.TransactionFailures, () => Enum.GetValues<Consequence>().Select(kind => Long(Volatile.Read(ref counters.TransactionFailures[(int)kind]), Telemetry.Label(Kind, Word(kind)))));
        PerShard(Metrics.ChangelogRecords, shard => Volatile.Read(ref shard.ChangelogRecords));
        PerShard(Metrics.ChangelogBytes, shard => Volatile.Read(ref shard.ChangelogBytes));
        PerStep(Metrics.CacheSize, step => step.HasState, step => Volatile.Read(ref step.CacheBytes));
        PerStep(Metrics.CacheKeys, step => step.HasState, step => Volatile.Read(ref step.CacheKeys));
        PerStep(Metrics.CacheMisses, step => step.HasState, step => Volatile.Read(ref step.CacheMisses));
        PerState(Metrics.StateKeys, state => state.Keys);
        PerState(Metrics.StateSize, state => state.Bytes);
        PerShard(Metrics.Timers, shard => shard.AskStore()?.Timers);
        PerShard(Metrics.Memtable, shard => shard.AskStore()?.MemtableBytes);
        PerShard(Metrics.PendingCompaction, shard => shard.AskStore()?.PendingCompactionBytes);
        PerShard(Metrics.Files, shard => shard.AskStore()?.FileBytes);
        PerShard(Metrics.Stalled, shard => shard.AskStore()?.Stalled);
        Several(Metrics.BlockCache, () => [Long(_parts.Limits.BlockCacheUsage)]);
        Total(Metrics.Restores, () => Volatile.Read(ref counters.Restores));
        Total(Metrics.RestoreRecords, () => Volatile.Read(ref counters.RecordsRestored));
        Total(Metrics.RestoreBytes, () => Volatile.Read(ref counters.SnapshotBytesRestored));
        PerRestore(Metrics.RestoreProgress, restore => restore.Total > 0 ? (double)restore.Done / restore.Total : 1);
        PerRestore(Metrics.RestoreRemaining, restore => restore.Remaining?.TotalSeconds);
        Total(Metrics.SnapshotsRestored, () => Volatile.Read(ref counters.SnapshotsRestored));
        Total(Metrics.SnapshotsRefused, () => Volatile.Read(ref counters.SnapshotsRefused));
        Total(Metrics.Wipes, () => Volatile.Read(ref counters.Wipes));
        Total(Metrics.SnapshotsPublished, () => Volatile.Read(ref counters.Snapshots));
        Total(Metrics.SnapshotBytes, () => Volatile.Read(ref counters.SnapshotBytes));
        Total(Metrics.SnapshotFailures, () => Volatile.Read(ref counters.SnapshotFailures));
        PerShard(Metrics.SnapshotAge, shard => shard.Snapshot is { } newest ? (_parts.NowMilliseconds - newest.TakenAt) / 1000 : null);
        PerShard(Metrics.SnapshotSize, shard => shard.Snapshot?.Bytes);
        Several(Metrics.Member, () => [Long(instance.Membership.IsMember ? 1 : 0)]);
        Several(Metrics.Shards, () =>
        {
            ILookup<ShardState, ShardStatus> shards = _parts.Table.Status.ToLookup(shard => shard.State);
            return Enum.GetValues<ShardState>().Select(state => Long(shards[state].Count(), Telemetry.Label("state", Word(state))));
        });
        Several(Metrics.Handovers, () =>
        [
            Long(Volatile.Read(ref counters.ShardsAssigned), Telemetry.Label(Kind, "assigned")),
            Long(Volatile.Read(ref counters.ShardsRevoked), Telemetry.Label(Kind, "revoked")),
            Long(Volatile.Read(ref counters.ShardsLost), Telemetry.Label(Kind, "lost")),
        ]);
    }

    private static string Word(Consequence kind) => kind switch
    {
        Consequence.LostMembership => "lost_membership",
        Consequence.NewWriter => "new_writer",
        _ => Word<Consequence>(kind),
    };

    private static string Word<T>(T value)
        where T : struct, Enum => value.ToString().ToLowerInvariant();

    private Measurement<long> Long(long value, params ReadOnlySpan<KeyValuePair<string, object?>> labels) => new(value, [_app, .. labels]);

    private void Total(Metric metric, Func<long> value) => Several(metric, () => [Long(value())]);

    /// <summary>Counts of every shard that has been here; gauges of those that are here.</summary>
    private void PerShard(Metric metric, Func<ShardFigures, long?> value) => Several(metric, () =>
        from shard in Here(metric)
        let number = value(shard)
        where number is not null
        select Long(number.Value, Telemetry.Label(Telemetry.ShardLabel, shard.Shard)));

    private void PerStep(Metric metric, Func<StepFigures, bool> has, Func<StepFigures, long?> value) => Several(metric, () => Told(
        from shard in Here(metric)
        from step in shard.Steps
        where has(step)
        let number = value(step)
        where number is not null
        select (step.Step, shard.Shard, number.Value)));

    private void PerState(Metric metric, Func<(long Keys, long Bytes), long> value) => Several(metric, () => Told(
        from shard in Here(metric)
        from step in shard.AskStore()?.Steps ?? new Dictionary<string, (long, long)>()
        select (step.Key, shard.Shard, value(step.Value))));

    private IEnumerable<Measurement<long>> Told(IEnumerable<(string Step, int Shard, long Value)> values) => _parts.Options.MetricsByShard
        ? values.Select(one => Long(one.Value, Telemetry.Label(Telemetry.Step, one.Step), Telemetry.Label(Telemetry.ShardLabel, one.Shard)))
        : values.GroupBy(one => one.Step, (step, all) => Long(all.Sum(one => one.Value), Telemetry.Label(Telemetry.Step, step)));

    private void PerRestore(Metric metric, Func<RestoreProgress, double?> value) => _parts.Telemetry.Observe(
        metric,
        () => from shard in _parts.Table.Status
              let number = shard.Restore is null ? null : value(shard.Restore)
              where number is not null
              select new Measurement<double>(number.Value, _app, Telemetry.Label(Telemetry.ShardLabel, shard.Shard)));

    private void Several(Metric metric, Func<IEnumerable<Measurement<long>>> values) => _parts.Telemetry.Observe(metric, values);

    private IEnumerable<ShardFigures> Here(Metric metric) => _parts.Figures.Where(shard => metric.Kind == "counter" ? shard.HasBeenHere : shard.IsHere);
}
