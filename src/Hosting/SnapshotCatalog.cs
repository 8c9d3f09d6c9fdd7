using System.Globalization;

namespace KStreamSharp.Hosting;

/// <summary>The published snapshots of an application, as its shards topic lists them, and what can be asked of their owners there.</summary>
internal sealed class SnapshotCatalog
{
    private static readonly TimeSpan Turn = TimeSpan.FromMilliseconds(100);

    private readonly Broker _broker;
    private readonly string _app;

    /// <exception cref="StreamException">The application has never run on this broker.</exception>
    public SnapshotCatalog(Broker broker, string app)
    {
        _broker = broker;
        _app = app;
        ShardCount = BrokerCalls.Ask(() => broker.DescribeTopic(InternalTopics.Shards(app)))?.Partitions
            ?? throw new StreamException(ExitCode.Broker, $"Application '{app}' has never run here: there is no topic '{InternalTopics.Shards(app)}'. Check the application id (--app-id) and the broker (--kafka, --state-dir).");
    }

    public int ShardCount { get; }

    /// <summary>Every published snapshot, shard by shard, newest first.</summary>
    public IReadOnlyList<(int Shard, SnapshotEntry Entry)> All() =>
        [.. Enumerable.Range(0, ShardCount).SelectMany(shard => Read(shard).Entries, (shard, entry) => (shard, entry))];

    /// <summary>What people call a snapshot.</summary>
    public static string NameOf((int Shard, SnapshotEntry Entry) snapshot) => string.Create(CultureInfo.InvariantCulture, $"{snapshot.Shard}/{snapshot.Entry.Id}");

    /// <summary>The snapshots of a name, or the newest of every shard.</summary>
    /// <param name="name">The name; null for the newest.</param>
    /// <exception cref="UsageException">There is none of that name.</exception>
    public IReadOnlyList<(int Shard, SnapshotEntry Entry)> Find(string? name)
    {
        IReadOnlyList<(int Shard, SnapshotEntry Entry)> all = All();
        if (name is null)
        {
            return [.. all.GroupBy(item => item.Shard).Select(shard => shard.First())];
        }

        (int Shard, SnapshotEntry Entry)[] found = [.. all.Where(item => NameOf(item) == name)];
        return found.Length > 0 ? found : throw new UsageException($"Application {_app} has no snapshot '{name}'. There are: {(all.Count == 0 ? "none" : string.Join(", ", all.Select(NameOf)))}.");
    }

    /// <summary>How many offsets of the changelog come after a snapshot.</summary>
    public long Behind(int shard, SnapshotEntry entry) =>
        BrokerCalls.Ask(() => _broker.EndOffset(new(InternalTopics.Changelog(_app), shard), committedOnly: false)) - entry.Position;

    /// <summary>Asks the owner of every shard for a snapshot, and waits for them.</summary>
    /// <returns>The snapshots that answer.</returns>
    /// <exception cref="StreamException">Some owner has not answered in time.</exception>
    public IReadOnlyList<(int Shard, SnapshotEntry Entry)> Take(TimeSpan timeout)
    {
        long[] asked = [.. Enumerable.Range(0, ShardCount).Select(shard => BrokerCalls.Ask(() => _broker.EndOffset(Place(shard), committedOnly: false)))];
        Write(Enumerable.Range(0, ShardCount).Select(shard => (shard, SnapshotList.RequestKey.ToArray(), new byte[] { 1 })));
        SnapshotEntry?[] answers = new SnapshotEntry?[ShardCount];
        if (!Await(timeout, shard => (answers[shard] = Read(shard).Entries.FirstOrDefault(entry => entry.Request >= asked[shard])) is not null, out string missing))
        {
            throw new StreamException(ExitCode.State, $"After {timeout.TotalSeconds:0} s there is no new snapshot of shard {missing}. Is an instance running that has a snapshot store (--snapshots)? Its log says what is wrong. The wish stays: the next owner takes them.");
        }

        return [.. answers.Select((entry, shard) => (shard, entry!))];
    }

    /// <summary>Asks the owners to drop snapshots, and waits until they have.</summary>
    /// <returns>False when some are still listed after the time.</returns>
    public bool Drop(IReadOnlyCollection<(int Shard, string Id)> snapshots, TimeSpan timeout)
    {
        Dictionary<int, HashSet<string>> wanted = snapshots.GroupBy(snapshot => snapshot.Shard, snapshot => snapshot.Id).ToDictionary(group => group.Key, group => group.ToHashSet());
        Write(wanted.Select(shard =>
        {
            // An earlier wish that no owner has carried out yet stays one.
            (IReadOnlyList<SnapshotEntry> entries, IReadOnlySet<string> dropped) = Read(shard.Key);
            return (shard.Key, SnapshotList.DropKey.ToArray(), SnapshotList.WriteDrop([.. shard.Value.Union(dropped.Where(id => entries.Any(entry => entry.Id == id)))]));
        }));
        return Await(timeout, shard => !wanted.TryGetValue(shard, out HashSet<string>? ids) || !Read(shard).Entries.Any(entry => ids.Contains(entry.Id)), out _);
    }

    private (IReadOnlyList<SnapshotEntry> Entries, IReadOnlySet<string> Dropped) Read(int shard)
    {
        using SnapshotListReader reader = BrokerCalls.Ask(() => new SnapshotListReader(_broker, _app, shard));
        while (true)
        {
            if (BrokerCalls.Ask(() => reader.Step(out IReadOnlyList<SnapshotEntry>? read) ? read : null) is { } entries)
            {
                return (entries, reader.Dropped);
            }

            reader.Wait(Turn);
        }
    }

    private void Write(IEnumerable<(int Shard, byte[] Key, byte[] Value)> records) => BrokerCalls.Ask(() =>
    {
        using OutputWriter writer = _broker.CreateOutputWriter();
        long now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        foreach ((int shard, byte[] key, byte[] value) in records)
        {
            writer.Append(Place(shard), new(now, key, true, value, true, Headers.Empty));
        }

        writer.Flush();
    });

    private bool Await(TimeSpan timeout, Func<int, bool> isDone, out string missing)
    {
        long began = TimeProvider.System.GetTimestamp();
        HashSet<int> open = [.. Enumerable.Range(0, ShardCount)];
        while (true)
        {
            open.RemoveWhere(shard => isDone(shard));
            missing = string.Join(", ", open.Order());
            if (open.Count == 0 || TimeProvider.System.GetElapsedTime(began) >= timeout)
            {
                return open.Count == 0;
            }

            Thread.Sleep(Turn);
        }
    }

    private TopicPartition Place(int shard) => new(InternalTopics.Shards(_app), shard);
}
