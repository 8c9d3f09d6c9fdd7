namespace KStreamSharp;

/// <summary>How an instance of an application runs. Everything has a default; <see cref="Check"/> says what is wrong.</summary>
public sealed record StreamOptions
{
    /// <summary>The application: names the consumer group, the internal topics and the state folder. Null for the flow's id.</summary>
    public string? AppId { get; init; }

    /// <summary>
    /// The instance: names its group membership and its transactions, so that a restart under the same id goes on at once.
    /// Unique among the live instances. Null for an id that is made once and kept in the state folder.
    /// </summary>
    public string? InstanceId { get; init; }

    /// <summary>The folder of the local state; each application has a folder of its own in it. Default: <c>state</c> under the current folder.</summary>
    public string StateDir { get; init; } = "state";

    /// <summary>The number of threads that process records. Null for the number of cores; never more than shards.</summary>
    public int? Workers { get; init; }

    /// <summary>
    /// The number of shards, fixed when the application is first started. Null for the largest partition count among the
    /// inputs; an application that exists keeps its own.
    /// </summary>
    public int? Shards { get; init; }

    /// <summary>How long a transaction may gather before it is committed; default 100 ms. Outputs become visible at commits.</summary>
    public TimeSpan CommitInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>What holds for outputs after a failure; states and positions are exact in any case.</summary>
    public Guarantee Guarantee { get; init; } = Guarantee.ExactlyOnce;

    /// <summary>Whether to process what the inputs have now, call <c>OnEof</c>, and end; default false: run until stopped.</summary>
    public bool UntilEnd { get; init; }

    /// <summary>The estimated bytes of live state that an instance keeps in memory above RocksDB; default 64 MiB.</summary>
    public long CacheBytesMax { get; init; } = 64L << 20;

    /// <summary>The bytes of RocksDB's block cache, shared by all shards of the process; default 64 MiB.</summary>
    public long BlockCacheBytesMax { get; init; } = 64L << 20;

    /// <summary>The bytes of RocksDB's write buffers, shared by all shards of the process; default 64 MiB.</summary>
    public long WriteBufferBytesMax { get; init; } = 64L << 20;

    /// <summary>The records of one source that one turn takes at most; default 1,000.</summary>
    public int RecordsPerTurnMax { get; init; } = 1_000;

    /// <summary>When the broker ends a transaction that its instance has left open; default 10 s.</summary>
    public TimeSpan TransactionTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>When the group gives up an instance that it does not hear from; default 15 s.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a shard that is to move may take to commit and let go; default 5 s.</summary>
    public TimeSpan RevocationBudget { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long one turn may stay in the code of a step before the process gives up; default 5 minutes.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Whether metrics that are counted for each step are told for each shard, too: the default. False: summed over the shards of
    /// the instance, so that an application of many shards and steps has few series.
    /// </summary>
    public bool MetricsByShard { get; init; } = true;

    /// <summary>Copies of the state in a store outside of the instance; null (the default) for none.</summary>
    public SnapshotOptions? Snapshots { get; init; }

    /// <summary>A test mode: every logic is saved and dropped from memory after each turn, which shows what a snapshot forgets.</summary>
    public bool EvictAlways { get; init; }

    /// <summary>The bytes of a changelog offset where none have been measured, to compare a replay with a download.</summary>
    internal long BytesPerOffsetGuess { get; init; } = 100;

    /// <summary>Whether RocksDB keeps a log in the folder of each shard.</summary>
    internal bool StoresLog { get; init; } = true;

    /// <summary>For tests: called with a shard's folder before something is written to it; what it throws is the answer.</summary>
    internal Action<string>? StoreFaults { get; init; }

    /// <summary>How much a worker does before it looks up.</summary>
    internal TurnSlices Slices { get; init; } = new();

    /// <summary>Checks the options.</summary>
    /// <exception cref="StreamException">An option cannot be used; the message names it and says why.</exception>
    public void Check()
    {
        Refuse(AppId is { } app && !IsName(app), nameof(AppId), $"'{AppId}' is no name: up to 100 letters, digits, '.', '_' and '-', and not '.' or '..'");
        Refuse(Snapshots is not null && AppId?.Contains("..", StringComparison.Ordinal) == true, nameof(AppId), $"'{AppId}' has '..', which no snapshot may have in its name");
        Refuse(InstanceId is { } instance && !IsName(instance), nameof(InstanceId), $"'{InstanceId}' is no name: up to 100 letters, digits, '.', '_' and '-', and not '.' or '..'");
        Refuse(string.IsNullOrWhiteSpace(StateDir), nameof(StateDir), "it is empty");
        Refuse(Workers is < 1 or > 1024, nameof(Workers), $"{Workers} is not between 1 and 1024");
        Refuse(Shards is < 1 or > 10_000, nameof(Shards), $"{Shards} is not between 1 and 10000");
        Refuse(CommitInterval <= TimeSpan.Zero || CommitInterval > TransactionTimeout / 3, nameof(CommitInterval), $"{CommitInterval} is not more than 0 and at most a third of {nameof(TransactionTimeout)} ({TransactionTimeout})");
        Refuse(!Enum.IsDefined(Guarantee), nameof(Guarantee), $"there is no guarantee {(int)Guarantee}");
        Refuse(CacheBytesMax < 1 << 20, nameof(CacheBytesMax), $"{CacheBytesMax} is less than 1 MiB");
        Refuse(BlockCacheBytesMax < 1 << 20, nameof(BlockCacheBytesMax), $"{BlockCacheBytesMax} is less than 1 MiB");
        Refuse(WriteBufferBytesMax < 1 << 20, nameof(WriteBufferBytesMax), $"{WriteBufferBytesMax} is less than 1 MiB");
        Refuse(RecordsPerTurnMax < 1, nameof(RecordsPerTurnMax), $"{RecordsPerTurnMax} is less than 1");
        Refuse(TransactionTimeout < TimeSpan.FromSeconds(1), nameof(TransactionTimeout), $"{TransactionTimeout} is less than 1 s");
        Refuse(SessionTimeout < TimeSpan.FromSeconds(1), nameof(SessionTimeout), $"{SessionTimeout} is less than 1 s");
        Refuse(RevocationBudget <= TimeSpan.Zero || RevocationBudget >= SessionTimeout, nameof(RevocationBudget), $"{RevocationBudget} is not more than 0 and less than {nameof(SessionTimeout)} ({SessionTimeout})");
        Refuse(StallTimeout < TimeSpan.FromSeconds(1), nameof(StallTimeout), $"{StallTimeout} is less than 1 s");
        Snapshots?.Check(Refuse);
    }

    /// <summary>A name becomes a folder, and a part of the names of topics, a group and transactional ids: the longest of them have room for it.</summary>
    private static bool IsName(string name) => name.Length is > 0 and <= 100 && name is not ("." or "..") && name.All(IsNameLetter);

    private static bool IsNameLetter(char c) => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-';

    private static void Refuse(bool wrong, string option, string why)
    {
        if (wrong)
        {
            throw new StreamException(ExitCode.Usage, $"Option {option} cannot be used: {why}.");
        }
    }
}

/// <summary>What holds for outputs after a failure.</summary>
public enum Guarantee
{
    /// <summary>Outputs, states and positions move together in transactions: readers of committed records see each effect once.</summary>
    ExactlyOnce,

    /// <summary>Outputs are visible at once and may repeat after a failure; states and positions do not.</summary>
    AtLeastOnce,
}
