using System.Buffers;

namespace KStreamSharp.Testing;

/// <summary>
/// Runs a flow in the caller's thread, on the real engine: shard workers, commits and RocksDB (in a temporary folder) over
/// an embedded broker in memory, with a clock that moves only when told. For tests of your flows.
/// </summary>
public sealed class FlowDriver : IDisposable
{
    private const int RoundsMax = 10_000;

    private static readonly TimeSpan Never = TimeSpan.FromDays(3650);

    private readonly FlowDriverOptions _options;
    private readonly DriverClock _clock;
    private readonly EmbeddedBroker _broker;
    private readonly string _folder;
    private Dataflow _flow;
    private Instance[] _instances = [];

    /// <summary>Starts an instance of the flow; the topics of its inputs and outputs are made.</summary>
    /// <param name="flow">The flow.</param>
    /// <param name="options">Shards, instances, the clock's start; null for the defaults.</param>
    /// <exception cref="FlowException">The flow is not complete.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The options ask for less than one shard or instance.</exception>
    public FlowDriver(Dataflow flow, FlowDriverOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(flow);
        _options = options ?? new FlowDriverOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.Shards, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.Instances, 1, nameof(options));
        flow.Seal();
        _flow = flow;
        _clock = new DriverClock(_options.Start);
        _broker = EmbeddedBroker.InMemory(new EmbeddedBrokerOptions { RetentionBytes = long.MaxValue }, _clock);
        _folder = Directory.CreateTempSubdirectory("kstream-driver-").FullName;
        Start();
    }

    /// <summary>The time on the driver's clock.</summary>
    public DateTimeOffset Now => _clock.GetUtcNow();

    /// <summary>Appends a record to an input topic; the next turn reads it.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="topic">The topic.</param>
    /// <param name="key">The key; null for a record without one.</param>
    /// <param name="value">The value; null for a record without one.</param>
    /// <param name="timestamp">The timestamp; null for the driver's time.</param>
    /// <param name="headers">The headers; null for none.</param>
    public void Push<TKey, TValue>(KeyedTopic<TKey, TValue> topic, TKey key, TValue value, DateTimeOffset? timestamp = null, Headers? headers = null)
    {
        ArgumentNullException.ThrowIfNull(topic);
        PushBytes(topic.Name, Bytes(topic.Name, RecordPart.Key, topic.Key, key), Bytes(topic.Name, RecordPart.Value, topic.Value, value), timestamp, headers);
    }

    /// <summary>Appends a value to an input topic; the next turn reads it.</summary>
    /// <typeparam name="T">The type of the values.</typeparam>
    /// <param name="topic">The topic.</param>
    /// <param name="value">The value; null for a record without one.</param>
    /// <param name="timestamp">The timestamp; null for the driver's time.</param>
    /// <param name="headers">The headers; null for none.</param>
    public void Push<T>(ValueTopic<T> topic, T value, DateTimeOffset? timestamp = null, Headers? headers = null)
    {
        ArgumentNullException.ThrowIfNull(topic);
        PushBytes(topic.Name, null, Bytes(topic.Name, RecordPart.Value, topic.Value, value), timestamp, headers);
    }

    /// <summary>Appends a record to an input topic; the next turn reads it.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="topic">The topic.</param>
    /// <param name="record">The record.</param>
    public void Push<TKey, TValue>(RecordTopic<TKey, TValue> topic, Record<TKey, TValue> record)
    {
        ArgumentNullException.ThrowIfNull(topic);
        PushBytes(
            topic.Name, Bytes(topic.Name, RecordPart.Key, topic.Key, record.Key), Bytes(topic.Name, RecordPart.Value, topic.Value, record.Value), record.Timestamp, record.Headers);
    }

    /// <summary>Appends bytes to an input topic: for records that cannot be decoded.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="key">The key; null for a record without one.</param>
    /// <param name="value">The value; null for a record without one.</param>
    /// <param name="timestamp">The timestamp; null for the driver's time.</param>
    /// <param name="headers">The headers; null for none.</param>
    public void PushBytes(string topic, byte[]? key, byte[]? value, DateTimeOffset? timestamp = null, Headers? headers = null) =>
        _broker.Produce(topic, key, value, timestamp ?? Now, headers);

    /// <summary>Appends bytes with a timestamp as they lie in a topic, in milliseconds since 1970: for one that no <see cref="DateTimeOffset"/> holds.</summary>
    internal void PushAt(TopicPartition partition, byte[]? key, byte[]? value, long timestamp)
    {
        using OutputWriter writer = _broker.CreateOutputWriter();
        writer.Append(partition, new(timestamp, key, key is not null, value, value is not null, Headers.Empty));
        writer.Flush();
    }

    /// <summary>One turn of every worker, without a commit: reads what was pushed (up to 1,000 records a topic), handles batches, fires due timers.</summary>
    /// <exception cref="StreamException">A record or a step failed.</exception>
    public void Turn() => TurnAll();

    /// <summary>Turns and commits until nothing is left to do, across repartition topics too.</summary>
    /// <exception cref="StreamException">A record or a step failed.</exception>
    /// <exception cref="InvalidOperationException">The flow does not come to rest: most likely a logic that always asks for a time in the past.</exception>
    public void Run() => Until(() => !TurnAll() & !CommitAll());

    /// <summary>Moves the clock, then <see cref="Run"/>: due timers fire and what they emit is committed.</summary>
    /// <param name="by">How far; not negative.</param>
    /// <exception cref="StreamException">A record or a step failed.</exception>
    public void Advance(TimeSpan by)
    {
        AdvanceQuietly(by);
        Run();
    }

    /// <summary>Moves the clock and nothing else.</summary>
    /// <param name="by">How far; not negative.</param>
    public void AdvanceQuietly(TimeSpan by) => _clock.Advance(by);

    /// <summary>Commits what the turns since the last commit did.</summary>
    public void Commit() => CommitAll();

    /// <summary>Ends the inputs: processes all, calls <c>OnEof</c>, commits. After it the driver is stopped; <see cref="Restart"/> begins the next run.</summary>
    /// <exception cref="StreamException">A record or a step failed.</exception>
    public void End()
    {
        foreach (Instance instance in Running)
        {
            instance.Run.Want();
        }

        Until(() =>
        {
            bool moved = TurnAll();
            if (!moved)
            {
                CommitAll();
            }

            return Array.TrueForAll(_instances, instance => instance.IsDone);
        });
        Stop();
    }

    /// <summary>Stops every instance as kill -9 would: no commit, no leave; what RocksDB has not flushed is gone.</summary>
    public void Crash()
    {
        foreach (Instance instance in Running)
        {
            instance.Abandon();
        }

        _instances = [];
    }

    /// <summary>Stops every instance in order: commit, leave.</summary>
    public void Stop()
    {
        foreach (Instance instance in Running)
        {
            instance.Close();
        }

        _instances = [];
    }

    /// <summary>Starts again after <see cref="Crash"/>, <see cref="Stop"/> or <see cref="End"/>: states and positions are those of the last commit.</summary>
    /// <param name="flow">Another version of the flow, with the same flow id; null for the same.</param>
    /// <exception cref="InvalidOperationException">The driver is running.</exception>
    public void Restart(Dataflow? flow = null)
    {
        if (_instances.Length > 0)
        {
            throw new InvalidOperationException("The driver is running. Call Crash, Stop or End first.");
        }

        flow?.Seal();
        _flow = flow ?? _flow;
        Start();
    }

    /// <summary>All committed records of a topic since the driver was made, partition by partition.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="topic">The topic.</param>
    public IReadOnlyList<Record<TKey, TValue>> Outputs<TKey, TValue>(KeyedTopic<TKey, TValue> topic) => Read(topic, readCommitted: true);

    /// <summary>All committed values of a topic since the driver was made, partition by partition.</summary>
    /// <typeparam name="T">The type of the values.</typeparam>
    /// <param name="topic">The topic.</param>
    public IReadOnlyList<T> Outputs<T>(ValueTopic<T> topic) => Read(topic, readCommitted: true);

    /// <summary>All committed records of a topic since the driver was made, partition by partition.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="topic">The topic.</param>
    public IReadOnlyList<Record<TKey, TValue>> Outputs<TKey, TValue>(RecordTopic<TKey, TValue> topic)
    {
        ArgumentNullException.ThrowIfNull(topic);
        return Read(topic.Name, topic.Key, topic.Value, readCommitted: true);
    }

    /// <summary>Everything that was ever appended to a topic: also what is not committed yet, and what was aborted.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TValue">The type of the values.</typeparam>
    /// <param name="topic">The topic.</param>
    public IReadOnlyList<Record<TKey, TValue>> Emitted<TKey, TValue>(KeyedTopic<TKey, TValue> topic) => Read(topic, readCommitted: false);

    /// <summary>Everything that was ever appended to a topic: also what is not committed yet, and what was aborted.</summary>
    /// <typeparam name="T">The type of the values.</typeparam>
    /// <param name="topic">The topic.</param>
    public IReadOnlyList<T> Emitted<T>(ValueTopic<T> topic) => Read(topic, readCommitted: false);

    /// <summary>The state of a key, as the next commit would save it; false when the key has none.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <typeparam name="TState">The type of the state, as the step's serde has it.</typeparam>
    /// <param name="step">The step's id.</param>
    /// <param name="key">The key.</param>
    /// <param name="state">The state.</param>
    /// <param name="keySerde">The serde of the step's keys; null for <see cref="Serde.For{T}"/>.</param>
    /// <param name="stateSerde">The serde of the step's state; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="ArgumentException">The flow has no stateful step of that id.</exception>
    /// <exception cref="InvalidOperationException">The driver is not running.</exception>
    public bool TryGetState<TKey, TState>(string step, TKey key, out TState? state, Serde<TKey>? keySerde = null, Serde<TState>? stateSerde = null)
    {
        string changelog = InternalTopics.Changelog(_flow.Id);
        byte[] bytes = Bytes(changelog, RecordPart.Key, keySerde ?? Serde.For<TKey>(), key) ?? throw new ArgumentNullException(nameof(key));
        foreach (StatefulNode node in Nodes(step, Murmur2.Partition(bytes, _options.Shards)))
        {
            if (node.Peek(bytes) is { } saved)
            {
                Envelope envelope = Envelope.Read(saved, step);
                state = envelope.StateIsNull ? default : (stateSerde ?? Serde.For<TState>()).Deserialize(envelope.Payload, new(changelog, RecordPart.State));
                return true;
            }
        }

        state = default;
        return false;
    }

    /// <summary>The pending notifications of a step by key.</summary>
    /// <typeparam name="TKey">The type of the keys.</typeparam>
    /// <param name="step">The step's id.</param>
    /// <param name="keySerde">The serde of the step's keys; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="ArgumentException">The flow has no stateful step of that id.</exception>
    /// <exception cref="InvalidOperationException">The driver is not running.</exception>
    public IReadOnlyDictionary<TKey, DateTimeOffset> Timers<TKey>(string step, Serde<TKey>? keySerde = null)
        where TKey : notnull
    {
        SerdeContext context = new(InternalTopics.Changelog(_flow.Id), RecordPart.Key);
        return Nodes(step, shard: null)
            .SelectMany(node => node.PeekTimers())
            .ToDictionary(timer => (keySerde ?? Serde.For<TKey>()).Deserialize(timer.Key, context), timer => new DateTimeOffset(timer.Value, TimeSpan.Zero));
    }

    /// <summary>Stops and removes the temporary folder.</summary>
    public void Dispose()
    {
        foreach (Instance instance in _instances)
        {
            instance.Abandon();
        }

        _instances = [];
        _broker.Dispose();
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    private Instance[] Running => _instances.Length > 0
        ? _instances
        : throw new InvalidOperationException("The driver is not running. Call Restart first.");

    private static byte[]? Bytes<T>(string topic, RecordPart part, Serde<T> serde, T value)
    {
        if (value is null)
        {
            return null;
        }

        ArrayBufferWriter<byte> buffer = new();
        serde.Serialize(value, buffer, new(topic, part));
        return buffer.WrittenSpan.ToArray();
    }

    private static void Until(Func<bool> rest)
    {
        for (int round = 0; !rest(); round++)
        {
            if (round == RoundsMax)
            {
                throw new InvalidOperationException($"The flow does not come to rest in {RoundsMax} turns. Does a logic always ask for a time in the past?");
            }
        }
    }

    private void Start()
    {
        foreach (Step step in _flow.Steps.Where(step => step.Topic is not null))
        {
            if (_broker.DescribeTopic(step.Topic!) is null)
            {
                _broker.CreateTopic(step.Topic!, _options.Shards);
            }
        }

        _instances = [.. Enumerable.Range(0, _options.Instances).Select(Open)];
        Until(() =>
        {
            StepShards();
            return _instances.Sum(instance => instance.Workers.Sum(worker => worker.Shards.Count(shard => shard.Claimed))) == _options.Shards
                && Array.TrueForAll(_instances, instance => instance.Ledger.Current.IsLoaded);
        });
    }

    private Instance Open(int index) => Instance.Open(
        _flow,
        _broker,
        new StreamOptions
        {
            InstanceId = $"driver-{index}",
            StateDir = Path.Combine(_folder, $"instance-{index}"),
            Workers = 1,
            Shards = _options.Shards,
            TransactionTimeout = Never,
            SessionTimeout = Never,
            EvictAlways = _options.EvictAlways,
        },
        logging: null,
        _clock,
        commitsByHand: true);

    private void StepShards()
    {
        foreach (Instance instance in Running)
        {
            instance.StepMembership();
            instance.Restorers[0].Step();
            foreach (ShardWorker worker in instance.Workers)
            {
                worker.StepShards();
            }
        }
    }

    private bool TurnAll()
    {
        StepShards();
        bool moved = false;
        foreach (Instance instance in Running)
        {
            foreach (ShardWorker worker in instance.Workers)
            {
                moved |= worker.StepTurn();
            }
        }

        return moved;
    }

    private bool CommitAll()
    {
        bool any = false;
        foreach (Instance instance in Running)
        {
            foreach (ShardWorker worker in instance.Workers)
            {
                any |= worker.StepCommit();
            }
        }

        return any;
    }

    private List<StatefulNode> Nodes(string step, int? shard)
    {
        List<StatefulNode> nodes =
        [
            .. from instance in Running
               from worker in instance.Workers
               from running in worker.Shards
               where shard is null || running.Id == shard
               from node in running.StatefulNodes
               where node.Step.Id == step
               select node,
        ];
        return nodes.Count > 0 ? nodes : throw new ArgumentException($"Flow '{_flow.Id}' has no stateful step '{step}'.", nameof(step));
    }

    private List<Record<TKey, TValue>> Read<TKey, TValue>(KeyedTopic<TKey, TValue> topic, bool readCommitted)
    {
        ArgumentNullException.ThrowIfNull(topic);
        return Read(topic.Name, topic.Key, topic.Value, readCommitted);
    }

    private List<T> Read<T>(ValueTopic<T> topic, bool readCommitted)
    {
        ArgumentNullException.ThrowIfNull(topic);
        return Read(topic.Name, Serde.Bytes, topic.Value, readCommitted).ConvertAll(record => record.Value);
    }

    private List<Record<TKey, TValue>> Read<TKey, TValue>(string topic, Serde<TKey> key, Serde<TValue> value, bool readCommitted) =>
    [
        .. _broker.ReadAll(topic, readCommitted).Select(record => new Record<TKey, TValue>(
            record.Key is null ? default! : key.Deserialize(record.Key, new(topic, RecordPart.Key)),
            record.Value is null ? default! : value.Deserialize(record.Value, new(topic, RecordPart.Value)),
            record.Timestamp,
            record.Headers)),
    ];
}

/// <summary>How a <see cref="FlowDriver"/> runs its flow.</summary>
public sealed record FlowDriverOptions
{
    /// <summary>The number of shards and of partitions of each topic; default 1.</summary>
    public int Shards { get; init; } = 1;

    /// <summary>The number of instances that share the shards; default 1.</summary>
    public int Instances { get; init; } = 1;

    /// <summary>The clock's start; default 2024-01-01T00:00:00Z.</summary>
    public DateTimeOffset Start { get; init; } = new(2024, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Whether every logic is saved and dropped from memory after each turn, which shows what a snapshot forgets; default false.</summary>
    public bool EvictAlways { get; init; }
}
