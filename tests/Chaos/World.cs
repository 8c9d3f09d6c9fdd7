using System.Diagnostics;
using System.Globalization;
using System.Text;
using Confluent.Kafka;

namespace KStreamSharp.Tests.Chaos;

/// <summary>A time in which an instance cannot be expected to reach the broker: of one, or of all when <paramref name="only"/> is null.</summary>
/// <param name="from">Its begin.</param>
/// <param name="only">Who has it.</param>
/// <param name="words">What an instance says that ends because of it; null where nothing is asked for.</param>
internal sealed class Trouble(DateTime from, HostInstance? only, string? words)
{
    public string? Words { get; } = words;

    public DateTime From { get; } = from;

    public HostInstance? Only { get; } = only;

    public DateTime? To { get; set; }
}

/// <summary>An instance was asked for its orderly end.</summary>
internal sealed record OrderlyEnd(HostInstance Instance, int Life, DateTime Asked, TimeSpan Took, int? ExitCode, bool InTrouble, int[] Shards);

/// <summary>An instance ended, and nobody had asked it to.</summary>
internal sealed record UnexpectedEnd(HostInstance Instance, DateTime At, int ExitCode, string LastWords, string? Excuse);

/// <summary>Everything that is running, and what has been seen of it.</summary>
internal sealed class World(string address, string folder, IReadOnlyList<Application> applications, CancellationToken stop)
{
    /// <summary>How long after a broker or a connection is back an instance may still end because of it.</summary>
    private static readonly TimeSpan Aftermath = TimeSpan.FromSeconds(60);

    private const int Terminated = 143;

    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly Lock _gate = new();
    private Load? _load;
    private readonly List<Trouble> _troubles = [];
    private readonly List<OrderlyEnd> _orderlyEnds = [];
    private readonly List<UnexpectedEnd> _unexpectedEnds = [];

    public string Address { get; } = address;

    /// <summary>Of this run: state folders, logs, copies.</summary>
    public string Folder { get; } = folder;

    public IReadOnlyList<Application> Applications { get; } = applications;

    public IReadOnlyList<HostInstance> Instances { get; } = [.. applications.SelectMany(app => app.Instances)];

    public CancellationToken Stop { get; } = stop;

    public required IAdminClient Admin { get; init; }

    public required Watch Watch { get; init; }

    /// <summary>How many records a backlog has.</summary>
    public required long Backlog { get; init; }

    /// <summary>Who writes the input, from its making on.</summary>
    public Load Load
    {
        get => _load ?? throw new InvalidOperationException("There is no load yet.");
        set => _load = value;
    }

    /// <summary>Held by a fault that changes what the load writes.</summary>
    public SemaphoreSlim LoadLock { get; } = new(1);

    /// <summary>Null when the brokers are not this program's own.</summary>
    public OwnCluster? Cluster { get; init; }

    /// <summary>Null without the binary.</summary>
    public Toxiproxy? Toxiproxy { get; init; }

    public Dictionary<HostInstance, Relay> Relays { get; } = [];

    public Dictionary<HostInstance, List<string>> Proxies { get; } = [];

    /// <summary>When the broker gives up a member under the consumer protocol.</summary>
    public TimeSpan ConsumerSession { get; set; } = TimeSpan.FromSeconds(45);

    /// <summary>What comes when all else is over.</summary>
    public RemadeTopic RemadeTopic => field ??= new(this);

    public SemaphoreSlim BrokerLock { get; } = new(1);

    public IReadOnlyList<OrderlyEnd> OrderlyEnds => Copy(_orderlyEnds);

    public IReadOnlyList<UnexpectedEnd> UnexpectedEnds => Copy(_unexpectedEnds);

    public void Say(string text) => Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{_clock.Elapsed.TotalSeconds,7:0.0} s  {text}"));

    public TimeSpan Session(HostInstance instance) => instance.App.Protocol == "consumer" ? ConsumerSession : instance.Tuning.SessionTimeout;

    /// <summary>The keys of the load that belong into a partition of the input.</summary>
    public IReadOnlyList<string> KeysOf(int partition) => [.. Load.AllKeys.Where(key => Murmur2.Partition(Encoding.UTF8.GetBytes(key), Applications[0].Partitions) == partition)];

    public Trouble Begin(HostInstance? only, string? words = null)
    {
        Trouble trouble = new(DateTime.UtcNow, only, words);
        lock (_gate)
        {
            _troubles.Add(trouble);
        }

        return trouble;
    }

    /// <summary>Whether a time touches one in which the instance, or a moment before, could not reach the broker.</summary>
    public bool InTrouble(HostInstance instance, DateTime from, DateTime to) => Troubles(instance, from, to).Count > 0;

    private List<Trouble> Troubles(HostInstance instance, DateTime from, DateTime to)
    {
        lock (_gate)
        {
            return _troubles.FindAll(trouble => (trouble.Only is null || trouble.Only == instance) && trouble.From <= to && (trouble.To is null || trouble.To + Aftermath >= from));
        }
    }

    /// <summary>SIGTERM, as a supervisor does it: the end is waited for, and noted.</summary>
    public async Task<OrderlyEnd> TerminateAsync(HostInstance instance)
    {
        int[] shards = Watch.ShardsOf(instance);
        Life life = instance.Current!;
        DateTime asked = DateTime.UtcNow;
        int? code = await instance.TerminateAsync(TimeSpan.FromSeconds(45));
        DateTime ended = DateTime.UtcNow;
        if (code == Terminated && !instance.Lines.Any(line => line.Life == life.Number))
        {
            // It had not come to the point where it listens to signals, nor begun anything.
            code = 0;
        }

        OrderlyEnd end = new(instance, life.Number, asked, ended - asked, code, InTrouble(instance, asked, ended), shards);
        lock (_gate)
        {
            _orderlyEnds.Add(end);
        }

        return end;
    }

    /// <summary>What a supervisor does all the time: starts again what has ended by itself, and measures.</summary>
    public async Task TendAsync(CancellationToken until)
    {
        while (!until.IsCancellationRequested)
        {
            foreach (HostInstance instance in Instances)
            {
                instance.Measure();
                if (instance.Current is { Ended: { } ended, IsMeantToEnd: false } life && DateTime.UtcNow - ended > TimeSpan.FromSeconds(1) && await instance.ProcessLock.WaitAsync(0, CancellationToken.None))
                {
                    try
                    {
                        Revive(instance);
                    }
                    finally
                    {
                        instance.ProcessLock.Release();
                    }
                }
            }

            await Task.Delay(250, CancellationToken.None);
        }
    }

    /// <summary>True when all brokers are there within the limit.</summary>
    public async Task<bool> AnswersAsync(TimeSpan limit)
    {
        long began = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(began) < limit)
        {
            try
            {
                if (Admin.GetMetadata(TimeSpan.FromSeconds(2)).Brokers.Count >= (Cluster?.Brokers.Count ?? 1))
                {
                    return true;
                }
            }
            catch (KafkaException)
            {
                // Not yet.
            }

            await Task.Delay(200, Stop);
        }

        return false;
    }

    /// <summary>True when every partition has all its replicas in step, within the limit.</summary>
    public async Task<bool> InStepAsync(TimeSpan limit)
    {
        long began = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(began) < limit)
        {
            try
            {
                Metadata metadata = Admin.GetMetadata(TimeSpan.FromSeconds(5));
                if (metadata.Topics.TrueForAll(topic => topic.Partitions.TrueForAll(partition => partition.Leader >= 0 && partition.InSyncReplicas.Length == partition.Replicas.Length)))
                {
                    return true;
                }
            }
            catch (KafkaException)
            {
                // The broker that was asked is the one that is away.
            }

            await Task.Delay(500, Stop);
        }

        return false;
    }

    /// <summary>Starts an instance again that has ended by itself, and notes that it did; one that runs is left alone.</summary>
    public void Revive(HostInstance instance)
    {
        Life life = instance.Current!;
        if (life.Ended is null || life.IsMeantToEnd)
        {
            return;
        }

        string? excuse = null;
        List<Trouble> troubles = Troubles(instance, life.Started, life.Ended!.Value);
        if (life.ExitCode == (int)ExitCode.Broker && troubles.Exists(trouble => trouble.Words is { } words && life.LastWords.Contains(words, StringComparison.Ordinal)))
        {
            excuse = "a right had been withdrawn, and it said so";
        }
        else if (life.ExitCode == (int)ExitCode.Broker && troubles.Exists(trouble => trouble.Words is null))
        {
            excuse = "the broker could not be reached";
        }
        else if (life.ExitCode == (int)ExitCode.Broker && instance.Tuning.HasOwnId && life.LastWords.Contains("uses instance id", StringComparison.Ordinal))
        {
            // A static member whose join was answered too late is fenced by itself; the client ends for it.
            excuse = "taken for a second member of its id after a late answer";
        }

        lock (_gate)
        {
            _unexpectedEnds.Add(new(instance, life.Ended!.Value, life.ExitCode!.Value, life.LastWords, excuse));
        }

        Say($"{instance} has ended with {life.ExitCode} ({excuse ?? "NOT EXPECTED"}): {life.LastWords}");
        instance.Start();
    }

    /// <summary>True when an instance has committed something from now on, within the limit.</summary>
    public async Task<bool> WorksAsync(HostInstance instance, TimeSpan limit)
    {
        DateTime since = DateTime.UtcNow;
        while (DateTime.UtcNow - since < limit)
        {
            Revive(instance);
            if (Watch.HasCommitted(instance, since))
            {
                return true;
            }

            await Task.Delay(200, Stop);
        }

        return false;
    }

    private List<T> Copy<T>(List<T> list)
    {
        lock (_gate)
        {
            return [.. list];
        }
    }
}
