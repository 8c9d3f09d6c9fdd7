namespace KStreamSharp.Testing;

/// <summary>
/// Runs a flow in the caller's thread, on the real engine: shard workers, commits and RocksDB (in a temporary folder) over
/// an embedded broker in memory, with a clock that moves only when told. For tests of your flows.
/// </summary>
public sealed class FlowDriver : IDisposable
{
    /// <summary>Starts an instance of the flow; the topics of its inputs and outputs are made.</summary>
    /// <param name="flow">The flow.</param>
    /// <param name="options">Shards, instances, the clock's start; null for the defaults.</param>
    /// <exception cref="FlowException">The flow is not complete.</exception>
    public FlowDriver(Dataflow flow, FlowDriverOptions? options = null) => throw new NotImplementedException();

    /// <summary>The time on the driver's clock.</summary>
    public DateTimeOffset Now => throw new NotImplementedException();

    /// <summary>Appends a record to an input topic; the next turn reads it.</summary>
    public void Push<TKey, TValue>(KeyedTopic<TKey, TValue> topic, TKey key, TValue value, DateTimeOffset? timestamp = null, Headers? headers = null) => throw new NotImplementedException();

    /// <summary>Appends a value to an input topic; the next turn reads it.</summary>
    public void Push<T>(ValueTopic<T> topic, T value, DateTimeOffset? timestamp = null, Headers? headers = null) => throw new NotImplementedException();

    /// <summary>Appends a record to an input topic; the next turn reads it.</summary>
    public void Push<TKey, TValue>(RecordTopic<TKey, TValue> topic, Record<TKey, TValue> record) => throw new NotImplementedException();

    /// <summary>Appends bytes to an input topic: for records that cannot be decoded.</summary>
    public void PushBytes(string topic, byte[]? key, byte[]? value, DateTimeOffset? timestamp = null, Headers? headers = null) => throw new NotImplementedException();

    /// <summary>One turn of every worker, without a commit: reads what was pushed (up to 1,000 records a topic), handles batches, fires due timers.</summary>
    public void Turn() => throw new NotImplementedException();

    /// <summary>Turns and commits until nothing is left to do, across repartition topics too.</summary>
    public void Run() => throw new NotImplementedException();

    /// <summary>Moves the clock, then <see cref="Run"/>: due timers fire and what they emit is committed.</summary>
    public void Advance(TimeSpan by) => throw new NotImplementedException();

    /// <summary>Moves the clock and nothing else.</summary>
    public void AdvanceQuietly(TimeSpan by) => throw new NotImplementedException();

    /// <summary>Commits what the turns since the last commit did.</summary>
    public void Commit() => throw new NotImplementedException();

    /// <summary>Ends the inputs: processes all, calls <c>OnEof</c>, commits. After it the driver is stopped; <see cref="Restart"/> begins the next run.</summary>
    public void End() => throw new NotImplementedException();

    /// <summary>Stops every instance as kill -9 would: no commit, no leave; what RocksDB has not flushed is gone.</summary>
    public void Crash() => throw new NotImplementedException();

    /// <summary>Stops every instance in order: commit, leave.</summary>
    public void Stop() => throw new NotImplementedException();

    /// <summary>Starts again after <see cref="Crash"/>, <see cref="Stop"/> or <see cref="End"/>: states and positions are those of the last commit.</summary>
    /// <param name="flow">Another version of the flow, with the same flow id; null for the same.</param>
    public void Restart(Dataflow? flow = null) => throw new NotImplementedException();

    /// <summary>All committed records of a topic since the driver was made, partition by partition.</summary>
    public IReadOnlyList<Record<TKey, TValue>> Outputs<TKey, TValue>(KeyedTopic<TKey, TValue> topic) => throw new NotImplementedException();

    /// <summary>All committed values of a topic since the driver was made, partition by partition.</summary>
    public IReadOnlyList<T> Outputs<T>(ValueTopic<T> topic) => throw new NotImplementedException();

    /// <summary>All committed records of a topic since the driver was made, partition by partition.</summary>
    public IReadOnlyList<Record<TKey, TValue>> Outputs<TKey, TValue>(RecordTopic<TKey, TValue> topic) => throw new NotImplementedException();

    /// <summary>Everything that was ever appended to a topic: also what is not committed yet, and what was aborted.</summary>
    public IReadOnlyList<Record<TKey, TValue>> Emitted<TKey, TValue>(KeyedTopic<TKey, TValue> topic) => throw new NotImplementedException();

    /// <summary>Everything that was ever appended to a topic: also what is not committed yet, and what was aborted.</summary>
    public IReadOnlyList<T> Emitted<T>(ValueTopic<T> topic) => throw new NotImplementedException();

    /// <summary>The saved state of a key, as the next commit would save it; false when the key has none.</summary>
    public bool TryGetState<TKey, TState>(string step, TKey key, out TState? state, Serde<TKey>? keySerde = null, Serde<TState>? stateSerde = null) => throw new NotImplementedException();

    /// <summary>The pending notifications of a step by key.</summary>
    public IReadOnlyDictionary<TKey, DateTimeOffset> Timers<TKey>(string step, Serde<TKey>? keySerde = null)
        where TKey : notnull => throw new NotImplementedException();

    /// <summary>Stops and removes the temporary folder.</summary>
    public void Dispose() => throw new NotImplementedException();
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
