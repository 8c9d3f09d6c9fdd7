using Confluent.Kafka;

namespace KStreamSharp.Tests.Chaos;

/// <summary>A commit marker as it was seen in a changelog.</summary>
internal sealed record SeenMarker(int Shard, long Offset, long Epoch, string Writer, DateTime Seen)
{
    /// <summary>The instance's id in the transactional id <c>application/instance/worker</c>.</summary>
    public string InstanceId => Writer.Split('/')[1];
}

/// <summary>
/// Reads the changelogs from their beginning while everything runs, so that no marker is lost to compaction or truncation:
/// who commits what, and when.
/// </summary>
internal sealed class Watch : IDisposable
{
    private readonly IConsumer<byte[], byte[]> _consumer;
    private readonly IReadOnlyDictionary<string, Application> _applications;
    private readonly Dictionary<string, List<SeenMarker>> _markers;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Thread _thread;
    private readonly Lock _gate = new();

    public Watch(string address, IEnumerable<Application> applications)
    {
        _applications = applications.ToDictionary(app => app.Changelog);
        _markers = _applications.Keys.ToDictionary(topic => topic, _ => new List<SeenMarker>());
        _consumer = new ConsumerBuilder<byte[], byte[]>(Clients.Consumer(address, IsolationLevel.ReadCommitted)).SetErrorHandler((_, _) => { }).SetLogHandler((_, _) => { }).Build();
        _thread = new Thread(Run) { IsBackground = true, Name = "watch" };
    }

    public void Start()
    {
        _consumer.Assign(_applications.Values.SelectMany(app => Enumerable.Range(0, app.Partitions).Select(
            partition => new TopicPartitionOffset(app.Changelog, partition, Offset.Beginning))));
        _thread.Start();
    }

    public IReadOnlyList<SeenMarker> Markers(Application app)
    {
        lock (_gate)
        {
            return [.. _markers[app.Changelog]];
        }
    }

    /// <summary>The shards whose last marker is of an instance.</summary>
    public int[] ShardsOf(HostInstance instance) =>
        [.. Markers(instance.App).GroupBy(marker => marker.Shard).Where(shard => instance.Ids.Contains(shard.Last().InstanceId)).Select(shard => shard.Key)];

    /// <summary>How many of some shards others have committed since a moment.</summary>
    public int TakenOver(HostInstance from, IReadOnlyCollection<int> shards, DateTime since) => Markers(from.App)
        .Where(marker => marker.Seen >= since && shards.Contains(marker.Shard) && !from.Ids.Contains(marker.InstanceId))
        .Select(marker => marker.Shard)
        .Distinct()
        .Count();

    public bool HasCommitted(HostInstance instance, DateTime since) =>
        Markers(instance.App).Any(marker => marker.Seen >= since && instance.Ids.Contains(marker.InstanceId));

    public void Dispose()
    {
        _stopping.Cancel();
        if (_thread.IsAlive)
        {
            _thread.Join();
        }

        _consumer.Close();
        _consumer.Dispose();
        _stopping.Dispose();
    }

    private void Run()
    {
        while (!_stopping.IsCancellationRequested)
        {
            ConsumeResult<byte[], byte[]>? result;
            try
            {
                result = _consumer.Consume(200);
            }
            catch (ConsumeException)
            {
                // The broker is away for a while.
                continue;
            }

            if (result is { IsPartitionEOF: false, Message: { Key: [0], Value: not null } message })
            {
                CommitMarker marker = CommitMarker.Read(message.Value);
                lock (_gate)
                {
                    _markers[result.Topic].Add(new(result.Partition.Value, result.Offset.Value, marker.OwnerEpoch, marker.TransactionalId, DateTime.UtcNow));
                }
            }
        }
    }
}
