using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace KStreamSharp;

/// <summary>
/// The meter and the activity source of one instance, both named <see cref="Name"/>. Histograms are told once per turn, commit,
/// restore or upload; counts and gauges are read when someone collects (<see cref="Observe(Metric, Func{IEnumerable{Measurement{long}}})"/>).
/// </summary>
internal sealed class Telemetry : IDisposable
{
    public const string Name = "KStreamSharp";
    public const string BatchSpan = "kstream.batch";
    public const string CommitSpan = "kstream.commit";
    public const string RestoreSpan = "kstream.restore";
    public const string SnapshotSpan = "kstream.snapshot";

    public const string App = "app";
    public const string Step = "step";
    public const string ShardLabel = "shard";

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
    /// <param name="steps">How many steps the flow has.</param>
    /// <param name="shards">How many shards the application has.</param>
    /// <param name="byShard">Whether what is counted by step is told by shard, too, or summed over the shards of the instance.</param>
    public Telemetry(string app, int steps, int shards, bool byShard)
    {
        _app = new(App, app);
        _byShard = byShard;
        _shards = shards;
        _steps = steps;
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
    public Activity? StartBatch(int shard, string step, Headers first)
    {
        _ = ActivityContext.TryParse(first.Text(TraceParent), null, isRemote: true, out ActivityContext parent);
        return Tag(_spans.StartActivity(BatchSpan, ActivityKind.Consumer, parent), shard)?.SetTag(Step, step);
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

    /// <summary>A counter or a gauge, read when someone collects.</summary>
    public void Observe(Metric metric, Func<IEnumerable<Measurement<long>>> values)
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

    /// <inheritdoc cref="Observe(Metric, Func{IEnumerable{Measurement{long}}})"/>
    public void Observe(Metric metric, Func<IEnumerable<Measurement<double>>> values) => _meter.CreateObservableGauge(metric.Name, values, metric.Unit, metric.Meaning);

    public void Dispose()
    {
        _meter.Dispose();
        _spans.Dispose();
    }

    private Activity? Tag(Activity? span, int? shard) => shard is null ? span?.SetTag(App, _app.Value) : span?.SetTag(App, _app.Value).SetTag(ShardLabel, shard);

    public static KeyValuePair<string, object?> Label(string name, object value) => new(name, value);

    private Histogram<double> Histogram(Metric metric, double[] bounds) =>
        _meter.CreateHistogram(metric.Name, metric.Unit, metric.Meaning, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = bounds });
}
