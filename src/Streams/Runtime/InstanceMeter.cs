using System.Diagnostics.Metrics;

namespace KStreamSharp;

/// <summary>What an instance counts anyway, read when someone collects.</summary>
internal sealed class InstanceMeter(Instance instance)
{
    private const string Kind = "kind";

    private readonly KeyValuePair<string, object?> _app = new(Telemetry.App, instance.Parts.App);

    public void Observe()
    {
        EngineParts parts = instance.Parts;
        Counters counters = parts.Counters;
        PerStep(Metrics.RecordsIn, parts, step => step.IsSource, step => Volatile.Read(ref step.In));
        PerStep(Metrics.RecordsSkipped, parts, step => step.IsSource, step => Volatile.Read(ref step.Skipped));
        PerStep(Metrics.RecordsOut, parts, step => step.IsSink, step => Volatile.Read(ref step.Out));
        PerStep(Metrics.Lag, parts, step => step.IsSource, step => step.Lag);
        Total(Metrics.Commits, () => Volatile.Read(ref counters.Commits));
        Several(Metrics.TransactionFailures, () => Enum.GetValues<Consequence>().Select(kind => Long(Volatile.Read(ref counters.TransactionFailures[(int)kind]), Label(Kind, Word(kind)))));
        PerShard(Metrics.ChangelogRecords, parts, shard => Volatile.Read(ref shard.ChangelogRecords));
        PerShard(Metrics.ChangelogBytes, parts, shard => Volatile.Read(ref shard.ChangelogBytes));
        PerStep(Metrics.CacheSize, parts, step => step.HasState, step => Volatile.Read(ref step.CacheBytes));
        PerStep(Metrics.CacheKeys, parts, step => step.HasState, step => Volatile.Read(ref step.CacheKeys));
        PerStep(Metrics.CacheMisses, parts, step => step.HasState, step => Volatile.Read(ref step.CacheMisses));
        PerState(Metrics.StateKeys, parts, state => state.Keys);
        PerState(Metrics.StateSize, parts, state => state.Bytes);
        PerShard(Metrics.Timers, parts, shard => shard.AskStore()?.Timers);
        PerShard(Metrics.Memtable, parts, shard => shard.AskStore()?.MemtableBytes);
        PerShard(Metrics.PendingCompaction, parts, shard => shard.AskStore()?.PendingCompactionBytes);
        PerShard(Metrics.Files, parts, shard => shard.AskStore()?.FileBytes);
        PerShard(Metrics.Stalled, parts, shard => shard.AskStore()?.Stalled);
        Several(Metrics.BlockCache, () => [Long(parts.Limits.BlockCacheUsage)]);
        Total(Metrics.Restores, () => Volatile.Read(ref counters.Restores));
        Total(Metrics.RestoreRecords, () => Volatile.Read(ref counters.RecordsRestored));
        Total(Metrics.RestoreBytes, () => Volatile.Read(ref counters.SnapshotBytesRestored));
        PerRestore(Metrics.RestoreProgress, parts, restore => restore.Total > 0 ? (double)restore.Done / restore.Total : 1);
        PerRestore(Metrics.RestoreRemaining, parts, restore => restore.Remaining?.TotalSeconds);
        Total(Metrics.SnapshotsRestored, () => Volatile.Read(ref counters.SnapshotsRestored));
        Total(Metrics.SnapshotsRefused, () => Volatile.Read(ref counters.SnapshotsRefused));
        Total(Metrics.Wipes, () => Volatile.Read(ref counters.Wipes));
        Total(Metrics.SnapshotsPublished, () => Volatile.Read(ref counters.Snapshots));
        Total(Metrics.SnapshotBytes, () => Volatile.Read(ref counters.SnapshotBytes));
        Total(Metrics.SnapshotFailures, () => Volatile.Read(ref counters.SnapshotFailures));
        PerShard(Metrics.SnapshotAge, parts, shard => shard.Snapshot is { } newest ? (parts.NowMilliseconds - newest.TakenAt) / 1000 : null);
        PerShard(Metrics.SnapshotSize, parts, shard => shard.Snapshot?.Bytes);
        Several(Metrics.Member, () => [Long(instance.Membership.IsMember ? 1 : 0)]);
        Several(Metrics.Shards, () =>
        {
            ILookup<ShardState, ShardStatus> shards = parts.Table.Status.ToLookup(shard => shard.State);
            return Enum.GetValues<ShardState>().Select(state => Long(shards[state].Count(), Label("state", Word(state))));
        });
        Several(Metrics.Handovers, () =>
        [
            Long(Volatile.Read(ref counters.ShardsAssigned), Label(Kind, "assigned")),
            Long(Volatile.Read(ref counters.ShardsRevoked), Label(Kind, "revoked")),
            Long(Volatile.Read(ref counters.ShardsLost), Label(Kind, "lost")),
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

    private static KeyValuePair<string, object?> Label(string name, object value) => new(name, value);

    private Measurement<long> Long(long value, params ReadOnlySpan<KeyValuePair<string, object?>> labels) => new(value, [_app, .. labels]);

    private void Total(Metric metric, Func<long> value) => Several(metric, () => [Long(value())]);

    /// <summary>Counts of every shard that has been here; gauges of those that are here.</summary>
    private void PerShard(Metric metric, EngineParts parts, Func<ShardFigures, long?> value) => Several(metric, () =>
        from shard in Here(metric, parts)
        let number = value(shard)
        where number is not null
        select Long(number.Value, Label(Telemetry.ShardLabel, shard.Shard)));

    private void PerStep(Metric metric, EngineParts parts, Func<StepFigures, bool> has, Func<StepFigures, long?> value) => Several(metric, () => Told(
        from shard in Here(metric, parts)
        from step in shard.Steps
        where has(step)
        let number = value(step)
        where number is not null
        select (step.Step, shard.Shard, number.Value)));

    private void PerState(Metric metric, EngineParts parts, Func<(long Keys, long Bytes), long> value) => Several(metric, () => Told(
        from shard in Here(metric, parts)
        from step in shard.AskStore()?.Steps ?? new Dictionary<string, (long, long)>()
        select (step.Key, shard.Shard, value(step.Value))));

    private IEnumerable<Measurement<long>> Told(IEnumerable<(string Step, int Shard, long Value)> values) => instance.Parts.Options.MetricsByShard
        ? values.Select(one => Long(one.Value, Label(Telemetry.Step, one.Step), Label(Telemetry.ShardLabel, one.Shard)))
        : values.GroupBy(one => one.Step, (step, all) => Long(all.Sum(one => one.Value), Label(Telemetry.Step, step)));

    private void PerRestore(Metric metric, EngineParts parts, Func<RestoreProgress, double?> value) => parts.Telemetry.Observe(
        metric,
        () => from shard in parts.Table.Status
              let number = shard.Restore is null ? null : value(shard.Restore)
              where number is not null
              select new Measurement<double>(number.Value, _app, Label(Telemetry.ShardLabel, shard.Shard)));

    private void Several(Metric metric, Func<IEnumerable<Measurement<long>>> values) => instance.Parts.Telemetry.Observe(metric, values);

    private static IEnumerable<ShardFigures> Here(Metric metric, EngineParts parts) => parts.Figures.Where(shard => metric.Kind == "counter" ? shard.HasBeenHere : shard.IsHere);
}
