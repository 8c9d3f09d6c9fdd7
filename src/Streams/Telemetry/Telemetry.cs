using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace KStreamSharp;

/// <summary>
/// The meter and the activity source of one instance, both named <see cref="Name"/>. Counts and gauges are read from what the
/// instance counts anyway, and only when someone collects; histograms are told once per turn, commit, restore or upload.
/// </summary>
internal sealed class Telemetry : IDisposable
{
    public const string Name = "KStreamSharp";
    public const string BatchSpan = "kstream.batch";
    public const string CommitSpan = "kstream.commit";
    public const string RestoreSpan = "kstream.restore";
    public const string SnapshotSpan = "kstream.snapshot";

    private const string App = "app";
    private const string Step = "step";
    private const string ShardLabel = "shard";
    private const string Kind = "kind";
    private const string TraceParent = "traceparent";

    private static readonly double[] Seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];
    private static readonly double[] Records = [1, 10, 100, 1_000, 10_000, 100_000];
    private static readonly string? Version = typeof(Telemetry).Assembly.GetName().Version?.ToString(3);

    private readonly Meter _meter;
    private readonly ActivitySource _spans = new(Name, Version);
    private readonly KeyValuePair<string, object?> _app;
    private readonly Histogram<double> _latency;
    private readonly Histogram<double> _process;
    private readonly Histogram<double> _commit;
    private readonly Histogram<double> _commitRecords;
    private readonly Histogram<double> _restore;
    private readonly Histogram<double> _snapshot;
    private readonly bool _byShard;
    private readonly int _shards;
    private readonly int _steps;

    /// <param name="app">The application.</param>
    /// <param name="flow">The flow.</param>
    /// <param name="shards">How many shards the application has.</param>
    /// <param name="byShard">Whether what is counted by step is told by shard, too, or summed over the shards of the instance.</param>
    public Telemetry(string app, Dataflow flow, int shards, bool byShard)
    {
        _app = new(App, app);
        _byShard = byShard;
        _shards = shards;
        _steps = flow.Steps.Count;
        _meter = new(new MeterOptions(Name) { Version = Version, Scope = this });
        _latency = Histogram(Metrics.Latency, Seconds);
        _process = Histogram(Metrics.ProcessDuration, Seconds);
        _commit = Histogram(Metrics.CommitDuration, Seconds);
        _commitRecords = Histogram(Metrics.CommitRecords, Records);
        _restore = Histogram(Metrics.RestoreDuration, Seconds);
        _snapshot = Histogram(Metrics.SnapshotDuration, Seconds);
    }

    /// <summary>
    /// How many series an instrument has at most; null for a few. A collector that keeps room for fewer, as OpenTelemetry does by
    /// default, would lump the rest together without a word. It finds this as the scope of the meter.
    /// </summary>
    public int? SeriesMax(string instrument) => Metrics.All.FirstOrDefault(metric => metric.Name == instrument)?.Labels switch
    {
        Metrics.ByStepAndShard => _byShard ? _steps * _shards : _steps,
        ShardLabel => _shards,
        _ => null,
    };

    /// <summary>Lets the meter read what the instance counts.</summary>
    public void Observe(Instance instance)
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

    /// <summary>A turn of a shard that had records.</summary>
    public void Processed(TimeSpan took) => _process.Record(took.TotalSeconds, _app);

    /// <summary>A transaction with its number of records.</summary>
    public void Committed(TimeSpan took, long records)
    {
        _commit.Record(took.TotalSeconds, _app);
        _commitRecords.Record(records, _app);
    }

    /// <summary>A commit of a source, whose oldest record had this age.</summary>
    public void Delivered(string source, TimeSpan age) => _latency.Record(age.TotalSeconds, _app, Label(Step, source));

    public void Restored(TimeSpan took) => _restore.Record(took.TotalSeconds, _app);

    public void Uploaded(TimeSpan took) => _snapshot.Record(took.TotalSeconds, _app);

    /// <summary>Whether anyone listens to spans.</summary>
    public bool IsTraced => _spans.HasListeners();

    /// <summary>A span of a shard's turn, in the trace of the record that comes first, when it has one.</summary>
    public Activity? StartBatch(int shard, Source first)
    {
        _ = ActivityContext.TryParse(first.Next.Headers.Text(TraceParent), null, isRemote: true, out ActivityContext parent);
        return Tag(_spans.StartActivity(BatchSpan, ActivityKind.Consumer, parent), shard)?.SetTag(Step, first.Inlet.Step.Id);
    }

    /// <summary>A span of what the caller does until it disposes it; null when nobody listens.</summary>
    public Activity? Start(string name, int? shard = null) => Tag(_spans.StartActivity(name, ActivityKind.Internal, default(ActivityContext)), shard);

    /// <summary>A span of work in many steps, between which the thread does other things.</summary>
    public Activity? StartLong(string name, int shard)
    {
        Activity? before = Activity.Current;
        Activity? span = Start(name, shard);
        Activity.Current = before;
        return span;
    }

    public void Dispose()
    {
        _meter.Dispose();
        _spans.Dispose();
    }

    private Activity? Tag(Activity? span, int? shard) => shard is null ? span?.SetTag(App, _app.Value) : span?.SetTag(App, _app.Value).SetTag(ShardLabel, shard);

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

    private Histogram<double> Histogram(Metric metric, double[] bounds) =>
        _meter.CreateHistogram(metric.Name, metric.Unit, metric.Meaning, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = bounds });

    private void Total(Metric metric, Func<long> value) => Several(metric, () => [Long(value())]);

    /// <summary>Counts of every shard that has been here; gauges of those that are here.</summary>
    private void PerShard(Metric metric, EngineParts parts, Func<ShardFigures, long?> value) => Several(metric, () =>
        from shard in Here(metric, parts)
        let number = value(shard)
        where number is not null
        select Long(number.Value, Label(ShardLabel, shard.Shard)));

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

    private IEnumerable<Measurement<long>> Told(IEnumerable<(string Step, int Shard, long Value)> values) => _byShard
        ? values.Select(one => Long(one.Value, Label(Step, one.Step), Label(ShardLabel, one.Shard)))
        : values.GroupBy(one => one.Step, (step, all) => Long(all.Sum(one => one.Value), Label(Step, step)));

    private void PerRestore(Metric metric, EngineParts parts, Func<RestoreProgress, double?> value) => _meter.CreateObservableGauge(
        metric.Name,
        () => from shard in parts.Table.Status
              let number = shard.Restore is null ? null : value(shard.Restore)
              where number is not null
              select new Measurement<double>(number.Value, _app, Label(ShardLabel, shard.Shard)),
        metric.Unit,
        metric.Meaning);

    private void Several(Metric metric, Func<IEnumerable<Measurement<long>>> values)
    {
        if (metric.Kind == "counter")
        {
            _meter.CreateObservableCounter(metric.Name, values, metric.Unit, metric.Meaning);
        }
        else
        {
            _meter.CreateObservableGauge(metric.Name, values, metric.Unit, metric.Meaning);
        }
    }

    private static IEnumerable<ShardFigures> Here(Metric metric, EngineParts parts) => parts.Figures.Where(shard => metric.Kind == "counter" ? shard.HasBeenHere : shard.IsHere);
}
