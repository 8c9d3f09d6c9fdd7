using System.Globalization;
using System.Text.Json;
using Confluent.Kafka;
using ClientPartition = Confluent.Kafka.TopicPartition;

namespace KStreamSharp.Tests.Chaos;

/// <summary>What was seen of a source of a shard: an input's or a repartition topic's partition.</summary>
internal sealed class SourceSeen(Application app, ClientPartition partition)
{
    public Application App { get; } = app;

    public ClientPartition Partition { get; } = partition;

    /// <summary>Where the group stood when it was last looked at; −1 before its first commit.</summary>
    public long Position { get; set; } = -1;

    public long End { get; set; }

    public long LagMost { get; set; }

    /// <summary>How often it was looked at and something was left to read.</summary>
    public int Looks { get; set; }

    /// <summary>How often the group had moved on since the look before.</summary>
    public int Moves { get; set; }

    /// <summary>The longest time for which it stood still while its owner said that it works.</summary>
    public TimeSpan LongestStill { get; set; }

    /// <summary>Who has it and said so at each look since then; null while nobody says it.</summary>
    public string? Holder { get; set; }

    public DateTime Since { get; set; }

    public bool IsTold { get; set; }
}

/// <summary>
/// Sees a shard that stands still. Every second it asks each instance by HTTP how it is and which shards it runs, and
/// the broker how far the group has come: a lag that does not change, while the one process that has the shard says all the
/// time that it runs it and is well, is a breach. So is a shard that none of an application's instances has, though all say that they are ready.
/// </summary>
internal sealed class Standstill : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(3);

    /// <summary>What turns, rebalances and a machine under load may take beside the time-outs.</summary>
    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(10);

    private readonly World _world;
    private readonly HttpClient _http = new() { Timeout = AnswerLimit };
    private readonly Topics _topics;
    private readonly Dictionary<Application, IConsumer<byte[], byte[]>> _groups;
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<SourceSeen> _sources;
    private Task _watching = Task.CompletedTask;

    public Standstill(World world)
    {
        _world = world;
        _topics = new Topics(world.Address);

        // Not of committed records only: it would have to wait for positions that a transaction holds.
        _groups = world.Applications.ToDictionary(app => app, app => Topics.Build(world.Address, IsolationLevel.ReadUncommitted, app.Id));
        _sources = [.. world.Applications.SelectMany(app => app.Sources.SelectMany(topic => Enumerable.Range(0, app.Partitions).Select(partition => new SourceSeen(app, new ClientPartition(topic, partition)))))];
    }

    public Invariant Moving { get; } = new("I18", "no shard stands still: a lag that does not change, while its owner runs and says that all is well");

    public IReadOnlyList<SourceSeen> Sources => _sources;

    public void Start() => _watching = WatchAsync();

    public async Task StopAsync()
    {
        await _stopping.CancelAsync();
        await _watching;
        Moving.Looked += _sources.Sum(source => source.Looks);
    }

    public void Dispose()
    {
        _stopping.Cancel();
        _watching.Wait();
        foreach (IConsumer<byte[], byte[]> group in _groups.Values)
        {
            group.Dispose();
        }

        _topics.Dispose();
        _http.Dispose();
        _stopping.Dispose();
    }

    /// <summary>How long a shard may stand still: an owner that is new must wait for what the one before it has left open.</summary>
    public static TimeSpan Limit(World world, Application app) => Slack + app.Instances.Max(instance =>
        3 * instance.Tuning.CommitInterval + instance.Tuning.TransactionTimeout + world.Session(instance));

    private async Task WatchAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            await Task.Delay(Interval, CancellationToken.None);
            foreach (Application app in _world.Applications)
            {
                try
                {
                    Health[] healths = await Task.WhenAll(app.Instances.Select(AskAsync));
                    await Task.Run(() => Look(app, healths));
                }
                catch (KafkaException)
                {
                    // The broker is away: the next look may see more.
                }
            }
        }
    }

    private async Task<Health> AskAsync(HostInstance instance)
    {
        if (instance.Current is not { Ended: null } life)
        {
            return new(instance, 0, false, false, []);
        }

        try
        {
            JsonElement status = JsonSerializer.Deserialize<JsonElement>(await _http.GetStringAsync(new Uri($"http://{instance.HealthAddress}/status"), _stopping.Token));
            return new(
                instance,
                life.Number,
                status.GetProperty("live").GetBoolean() && status.GetProperty("member").GetBoolean(),
                status.GetProperty("ready").GetBoolean(),
                [.. status.GetProperty("shards").EnumerateArray().Where(shard => shard.GetProperty("state").GetString() == "running").Select(shard => shard.GetProperty("shard").GetInt32())]);
        }
        catch (Exception error) when (error is HttpRequestException or OperationCanceledException)
        {
            return new(instance, life.Number, false, false, []);
        }
    }

    private void Look(Application app, IReadOnlyList<Health> healths)
    {
        DateTime now = DateTime.UtcNow;
        SourceSeen[] sources = [.. _sources.Where(source => source.App == app)];
        List<TopicPartitionOffset> positions = _groups[app].Committed(sources.Select(source => source.Partition), TimeSpan.FromSeconds(10));
        foreach (SourceSeen source in sources)
        {
            long position = positions.Find(one => one.TopicPartition == source.Partition)?.Offset.Value is { } offset and >= 0 ? offset : -1;
            source.End = _topics.End(source.Partition);
            long lag = source.End - Math.Max(position, 0);
            string? holder = Holder(source.Partition.Partition.Value, healths, source.Since, now);
            bool moved = position != source.Position;
            source.Looks += lag > 0 ? 1 : 0;
            source.Moves += moved ? 1 : 0;
            source.LagMost = Math.Max(source.LagMost, lag);
            source.Position = position;
            if (moved || lag == 0 || holder is null || holder != source.Holder)
            {
                source.Holder = holder;
                source.Since = now;
                source.IsTold = false;
                continue;
            }

            TimeSpan still = now - source.Since;
            if (still > TimeSpan.FromSeconds(5) && _topics.IsEmptyAfter(source.Partition, Math.Max(position, 0)))
            {
                // What is left are the marks of ended transactions, or what an open one hides.
                source.Since = now;
                continue;
            }

            source.LongestStill = still > source.LongestStill ? still : source.LongestStill;
            if (still > Limit(_world, app) && !source.IsTold)
            {
                source.IsTold = true;
                Moving.Require(false, () => Text(source, lag));
                _world.Say($"BREACH of {Moving.Id}: {Moving.Breaches[^1]}");
            }
        }

        string Text(SourceSeen source, long lag) => string.Create(
            CultureInfo.InvariantCulture,
            $"{app}, {source.Partition.Topic}[{source.Partition.Partition.Value}]: {lag} records behind, at offset {source.Position} since {source.Since:HH:mm:ss}, for {(now - source.Since).TotalSeconds:0} s; {source.Holder}");
    }

    /// <summary>Who could go on with a shard, and says that nothing is wrong; null when there may be a reason to wait.</summary>
    private string? Holder(int shard, IReadOnlyList<Health> healths, DateTime since, DateTime now)
    {
        if (healths.FirstOrDefault(health => health.Shards.Contains(shard)) is { } owner)
        {
            return owner.IsWell && !_world.InTrouble(owner.Instance, since, now) ? $"{owner.Instance} (process {owner.Life}) runs it and says that all is well" : null;
        }

        return healths.All(health => health.IsReady && !_world.InTrouble(health.Instance, since, now))
            ? $"nobody has it, and {string.Join(", ", healths.Select(health => $"{health.Instance} (process {health.Life})"))} are ready"
            : null;
    }

    /// <param name="Instance">Who was asked.</param>
    /// <param name="Life">Its process.</param>
    /// <param name="IsWell">It is live and a member.</param>
    /// <param name="IsReady">All of its shards run, too.</param>
    /// <param name="Shards">Those that it runs.</param>
    private sealed record Health(HostInstance Instance, int Life, bool IsWell, bool IsReady, int[] Shards);
}
