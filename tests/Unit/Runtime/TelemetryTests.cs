using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Reflection;
using System.Text.RegularExpressions;
using KStreamSharp.Testing;
using Microsoft.Extensions.Logging;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>What an instance tells of itself: metrics, spans, log events, and the page that lists them.</summary>
public sealed class TelemetryTests
{
    private const string TraceId = "0af7651916cd43dd8448eb211c80319c";

    private static readonly KeyedTopic<string, int> Orders = Topic.Keyed<string, int>("orders");
    private static readonly KeyedTopic<string, int?> Counts = Topic.Keyed<string, int?>("counts");

    [Fact]
    public void ABrokerThatDoesNotAnswerIsNotAskedForTheLagAgainAtOnce()
    {
        using Cluster cluster = new(Flow("telemetry-lag"), shards: 2);
        Cluster.Member one = cluster.Add("one");
        cluster.Until(() => one.Running == 2, "it runs");
        LagWatch watch = one.Instance!.LagWatch;
        cluster.Broker.DeleteTopic("orders");
        Assert.False(watch.Step());

        cluster.Broker.CreateTopic("orders", 2);
        Assert.False(watch.Step());
        cluster.Clock.Advance(TimeSpan.FromSeconds(5));
        Assert.True(watch.Step());
    }

    [Fact]
    public void ThePageHasEveryMetric() => Assert.Equal(
        Metrics.All.Select(metric => (metric.Name, metric.Kind, metric.Unit, metric.Labels, metric.Meaning)),
        Rows("Metrics").Select(cells => (cells[0], cells[2], cells[3], cells[4], cells[5])));

    [Fact]
    public void TheDashboardAsksForMetricsOfThePage()
    {
        string dashboard = Repository.Read("docker/grafana/dashboards/kstreamsharp.json");
        string[] listed = [.. Rows("Metrics").SelectMany(cells => cells[2] == "histogram" ? [$"{cells[1]}_bucket", $"{cells[1]}_sum", $"{cells[1]}_count"] : (string[])[cells[1]])];

        string[] asked = [.. Regex.Matches(dashboard, @"\bkstream_\w+").Select(match => match.Value).Distinct()];
        Assert.NotEmpty(asked);
        Assert.Empty(asked.Except(listed));
    }

    [Fact]
    public void ThePageHasEverySpan() => Assert.Equal(
        [Telemetry.BatchSpan, Telemetry.CommitSpan, Telemetry.RestoreSpan, Telemetry.SnapshotSpan], Rows("Spans").Select(cells => cells[0]));

    [Fact]
    public void ThePageHasEveryLogEvent() => Assert.Equal(
        typeof(Log).GetMethods(BindingFlags.Static | BindingFlags.Public)
            .Select(method => method.GetCustomAttribute<LoggerMessageAttribute>())
            .OfType<LoggerMessageAttribute>()
            .OrderBy(line => line.EventId)
            .Select(line => ($"{line.EventId}", line.EventId == 600 ? "the client's" : line.Level.ToString().ToLowerInvariant(), line.Message)),
        Rows("Log").Select(cells => (cells[0], cells[1], cells[2])));

    [Fact]
    public void AnInstanceHasTheMetricsOfTheTable()
    {
        using Collector collector = new("telemetry-table");
        using FlowDriver driver = new(Flow("telemetry-table"));

        Assert.Equal(
            Metrics.All.Select(metric => (metric.Name, metric.Unit, metric.Meaning)).Order(),
            collector.Published.Select(instrument => (instrument.Name, instrument.Unit!, instrument.Description!)).Distinct().Order());
        Assert.All(collector.Published, instrument => Assert.Contains(Kind(instrument), Metrics.All.Single(metric => metric.Name == instrument.Name).Kind, StringComparison.Ordinal));
    }

    [Fact]
    public void RecordsAreCountedByStepAndShard()
    {
        using Collector collector = new("telemetry-records");
        using FlowDriver driver = new(Flow("telemetry-records"), new FlowDriverOptions { Shards = 2 });
        for (int i = 0; i < 10; i++)
        {
            driver.Push(Orders, $"key-{i}", i, driver.Now - TimeSpan.FromSeconds(5));
        }

        driver.PushBytes("orders", "bad"u8.ToArray(), [1]);
        driver.Run();
        collector.Collect();

        Assert.Equal(11, collector.Sum(Metrics.RecordsIn, ("step", "orders")));
        Assert.Equal(1, collector.Sum(Metrics.RecordsSkipped));
        Assert.Equal(10, collector.Sum(Metrics.RecordsOut, ("step", "out")));
        Assert.Equal(10, collector.Sum(Metrics.RecordsOut, ("shard", 0)) + collector.Sum(Metrics.RecordsOut, ("shard", 1)));
        Assert.Equal(10, collector.Sum(Metrics.CacheKeys, ("step", "count")));
        Assert.Equal(10, collector.Sum(Metrics.CacheMisses));
        Assert.True(collector.Sum(Metrics.CacheSize) > 0);
        Assert.Equal(10, collector.Sum(Metrics.ChangelogRecords));
        Assert.True(collector.Sum(Metrics.ChangelogBytes) > 0);
        Assert.Equal((2, 0), (collector.Sum(Metrics.Shards, ("state", "running")), collector.Sum(Metrics.Shards, ("state", "restoring"))));
        Assert.Equal((1, 2, 2), (collector.Sum(Metrics.Member), collector.Sum(Metrics.Handovers, ("kind", "assigned")), collector.Sum(Metrics.Restores)));
        Assert.All(collector.Of(Metrics.Latency), age => Assert.Equal(5, age));
        Assert.Equal(collector.Sum(Metrics.Commits), collector.Of(Metrics.CommitDuration).Count);

        // The claims of both shards, then outputs, states and markers.
        Assert.Equal(2 + 10 + 10 + 2, collector.Sum(Metrics.CommitRecords));
    }

    [Fact]
    public void WorkThatWasAbortedAndDoneAgainIsCountedTwiceAndCountsOutliveTheShard()
    {
        using Collector collector = new("telemetry-again");
        using FlowDriver driver = new(Flow("telemetry-again"));
        driver.Push(Orders, "a", 1);
        driver.Turn();
        collector.Collect();

        Assert.Equal((1, 1, 0), (collector.Sum(Metrics.RecordsIn), collector.Sum(Metrics.RecordsOut), collector.Sum(Metrics.ChangelogRecords)));
        driver.Crash();
        collector.Collect();
        Assert.Empty(collector.Of(Metrics.RecordsIn));
    }

    [Fact]
    public void TheStoreTellsOfItselfInTheTurnAfterACollection()
    {
        using Collector collector = new("telemetry-store");
        using FlowDriver driver = new(Flow("telemetry-store"));
        for (int i = 0; i < 100; i++)
        {
            driver.Push(Orders, $"key-{i}", i);
        }

        driver.Run();
        collector.Collect();
        Assert.Empty(collector.Of(Metrics.StateKeys));

        driver.Turn();
        collector.Collect();
        Assert.Equal(100, collector.Sum(Metrics.StateKeys, ("step", "count")));
        Assert.True(collector.Sum(Metrics.Memtable) > 0);
        Assert.Equal((0, 0), (collector.Sum(Metrics.Timers), collector.Sum(Metrics.Stalled)));
        Assert.NotEmpty(collector.Of(Metrics.BlockCache));
    }

    [Fact]
    public async Task RestoresSnapshotsAndLagAreTold()
    {
        const int Shards = 2;
        MemorySnapshotStore store = new();
        using Collector collector = new("telemetry-restore");
        using Cluster cluster = new(Flow("telemetry-restore"), Shards);
        cluster.Adjust = options => options with { BytesPerOffsetGuess = 1 << 30, Snapshots = new SnapshotOptions { Store = store, Interval = TimeSpan.FromSeconds(2) } };
        Cluster.Member one = cluster.Add("one");
        cluster.Until(() => one.Running == Shards, "it runs");
        for (int i = 0; i < 10; i++)
        {
            cluster.Broker.Produce("orders", [(byte)('a' + i)], [0, 0, 0, 1]);
        }

        while (one.Instance!.LagWatch.Step())
        {
        }

        collector.Collect();
        Assert.Equal(10, collector.Sum(Metrics.Lag, ("step", "orders")));
        Assert.Equal(10, one.Instance.Status.Shards.Sum(shard => shard.Lag));

        cluster.Until(() => one.Instance!.Status.SnapshotsPublished >= Shards, "snapshots are published");
        collector.Collect();
        Assert.Equal(0, collector.Sum(Metrics.Lag));
        Assert.Equal(Shards, collector.Of(Metrics.SnapshotAge).Count);
        Assert.True(collector.Sum(Metrics.SnapshotSize) > 0);
        Assert.True(collector.Sum(Metrics.SnapshotBytes) > 0);
        Assert.All(one.Instance.Status.Shards, shard => Assert.True(shard is { LastCommit: not null, LastSnapshot.Bytes: > 0 }));

        one.Crash();
        one.LoseFolder();
        TaskCompletionSource slow = new();
        store.Before = (call, _) => call == "Open" ? slow.Task : Task.CompletedTask;
        one.Open();
        cluster.Until(() => one.Instance!.Status.Shards.Any(shard => shard.Restore is not null), "a restore is under way");
        collector.Collect();
        Assert.Contains(0, collector.Of(Metrics.RestoreProgress));
        Assert.Equal(0, collector.Sum(Metrics.Restores));

        // What waits for it goes on inside this call, as there is no context there that would put it off.
        await Task.Run(slow.SetResult, TestContext.Current.CancellationToken);
        cluster.Until(() => one.Running == Shards, "it runs again");
        collector.Collect();
        Assert.Equal((Shards, Shards), (collector.Sum(Metrics.Restores), collector.Sum(Metrics.SnapshotsRestored)));
        Assert.True(collector.Sum(Metrics.RestoreBytes) > 0);
        Assert.Empty(collector.Of(Metrics.RestoreProgress));
    }

    [Fact]
    public void ATraceGoesOnFromTheFirstRecordOfABatch()
    {
        List<Activity> spans = [];
        using ActivityListener listener = new()
        {
            ShouldListenTo = source => source.Name == Telemetry.Name,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = span =>
            {
                if (span.GetTagItem("app") is "telemetry-trace")
                {
                    spans.Add(span);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        using FlowDriver driver = new(Flow("telemetry-trace"));
        driver.Push(Orders, "a", 1, headers: Headers.Empty.With("traceparent", $"00-{TraceId}-b7ad6b7169203331-01"));
        driver.Push(Orders, "b", 2);
        driver.Run();

        Activity batch = Assert.Single(spans, span => span.OperationName == Telemetry.BatchSpan);
        Assert.Equal((TraceId, "b7ad6b7169203331"), (batch.TraceId.ToString(), batch.ParentSpanId.ToString()));
        Assert.Equal((0, "orders", 2), (batch.GetTagItem("shard"), batch.GetTagItem("step"), batch.GetTagItem("records")));
        Assert.Single(spans, span => span.OperationName == Telemetry.RestoreSpan);
        Activity commit = spans.FindLast(span => span.OperationName == Telemetry.CommitSpan)!;
        Assert.Equal((1, 5L), (commit.GetTagItem("shards"), commit.GetTagItem("records")));
        Assert.Null(Activity.Current);
    }

    private static string Kind(Instrument instrument) => instrument.GetType().Name switch
    {
        ['O', .. string name] => name.Contains("Counter", StringComparison.Ordinal) ? "counter" : "gauge",
        _ => "histogram",
    };

    private static Dataflow Flow(string id)
    {
        Dataflow flow = new(id);
        flow.Input("orders", Orders, new InputOptions { BadRecords = BadRecords.Skip })
            .StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1)
            .Output("out", Counts);
        return flow;
    }

    /// <summary>The rows of the table under a heading of the page.</summary>
    private static IEnumerable<string[]> Rows(string heading)
    {
        string page = Repository.Read("docs/telemetry.md");
        int begin = page.IndexOf($"\n## {heading}\n", StringComparison.Ordinal);
        int end = page.IndexOf("\n## ", begin + 1, StringComparison.Ordinal);
        return page[begin..(end < 0 ? page.Length : end)].Split('\n')
            .Where(line => line.StartsWith("| ", StringComparison.Ordinal))
            .Skip(1)
            .Select(line => line[2..^2].Split(" | ").Select(cell => cell.Trim('`', ' ')).ToArray());
    }

    /// <summary>What the instances of one application report.</summary>
    private sealed class Collector : IDisposable
    {
        private readonly MeterListener _listener = new();
        private readonly Lock _gate = new();
        private readonly List<(Instrument Instrument, double Value, KeyValuePair<string, object?>[] Labels)> _told = [];
        private readonly List<Instrument> _published = [];

        public Collector(string app)
        {
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == Telemetry.Name)
                {
                    lock (_gate)
                    {
                        _published.Add(instrument);
                    }

                    listener.EnableMeasurementEvents(instrument);
                }
            };
            _listener.SetMeasurementEventCallback<long>((instrument, value, labels, _) => Take(app, instrument, value, labels));
            _listener.SetMeasurementEventCallback<double>((instrument, value, labels, _) => Take(app, instrument, value, labels));
            _listener.Start();
        }

        public IReadOnlyList<Instrument> Published
        {
            get
            {
                lock (_gate)
                {
                    return [.. _published];
                }
            }
        }

        /// <summary>Reads the observable ones anew; histograms keep what they were told.</summary>
        public void Collect()
        {
            lock (_gate)
            {
                _told.RemoveAll(told => told.Instrument.IsObservable);
            }

            _listener.RecordObservableInstruments();
        }

        public List<double> Of(Metric metric, params (string Name, object Value)[] labels)
        {
            lock (_gate)
            {
                return [.. _told.Where(told => told.Instrument.Name == metric.Name && Array.TrueForAll(labels, label => told.Labels.Contains(new(label.Name, label.Value)))).Select(told => told.Value)];
            }
        }

        public double Sum(Metric metric, params (string Name, object Value)[] labels) => Of(metric, labels).Sum();

        public void Dispose() => _listener.Dispose();

        private void Take(string app, Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> labels)
        {
            if (labels.Contains(new KeyValuePair<string, object?>("app", app)))
            {
                lock (_gate)
                {
                    _told.Add((instrument, value, labels.ToArray()));
                }
            }
        }
    }
}
