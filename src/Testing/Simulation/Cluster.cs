using Microsoft.Extensions.Logging;

namespace KStreamSharp.Testing;

/// <summary>
/// Several instances of one application over one embedded broker, all turned by hand in one thread on one clock. A hook can
/// stop an instance at any numbered step, as kill -9 would, or turn the others meanwhile: the instance, or one part of it,
/// is then asleep in the midst of the step.
/// </summary>
internal sealed class Cluster : IDisposable
{
    private static readonly DateTimeOffset Start = new(2024, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-cluster-").FullName;
    private readonly Dictionary<string, (int[] Damaged, Dictionary<int, long> ExactFrom)> _copies = [];
    private readonly bool _ownsBroker;
    private Cluster? _other;
    private int _folders;

    public Cluster(Dataflow flow, int shards, Guarantee guarantee = Guarantee.ExactlyOnce, Func<string, int, int>? partitions = null)
        : this(flow, shards, guarantee, partitions, new DriverClock(Start), broker: null)
    {
    }

    /// <summary>Instances of a second application, on the broker and clock of a first: whenever all of that turn, these do, too.</summary>
    public Cluster(Dataflow flow, Cluster first)
        : this(flow, first.Shards, first.Guarantee, partitions: null, first.Clock, first.Broker) => first._other = this;

    private Cluster(
        Dataflow flow, int shards, Guarantee guarantee, Func<string, int, int>? partitions, DriverClock clock, EmbeddedBroker? broker)
    {
        flow.Seal();
        Flow = flow;
        Shards = shards;
        Guarantee = guarantee;
        Clock = clock;
        _ownsBroker = broker is null;
        Broker = broker ?? EmbeddedBroker.InMemory(new EmbeddedBrokerOptions { RetentionBytes = long.MaxValue }, Clock);
        foreach (Step step in flow.Steps.Where(step => step.Topic is not null))
        {
            Broker.CreateTopic(step.Topic!, partitions?.Invoke(step.Topic!, shards) ?? shards);
        }
    }

    /// <summary>What instances that are opened from now on run.</summary>
    public Dataflow Flow { get; set; }

    /// <summary>Where instances that are opened from now on log; null for nowhere.</summary>
    public ILoggerFactory? Logging { get; set; }

    /// <summary>Changes the options of instances that are opened from now on.</summary>
    public Func<StreamOptions, StreamOptions> Adjust { get; set; } = options => options;

    public int Shards { get; }

    public Guarantee Guarantee { get; }

    public DriverClock Clock { get; }

    public EmbeddedBroker Broker { get; }

    /// <summary>The clock of instances that are opened from now on; null for <see cref="Clock"/> itself.</summary>
    public TimeProvider? EngineClock { get; set; }

    /// <summary>What stands between an instance and the broker, given broker and application; a wrong engine puts something in.</summary>
    public Func<Broker, string, Broker> Between { get; init; } = (broker, _) => broker;

    /// <summary>What commits and takeovers are made of; a test that looks for a wrong engine puts one in.</summary>
    public EngineSteps Steps { get; init; } = EngineSteps.Default;

    /// <summary>Few, so that a test of few records has many turns.</summary>
    public int RecordsPerTurnMax { get; init; } = 7;

    public List<Member> Members { get; } = [];

    /// <summary>Whether instances are to end when the inputs that there are now have been processed.</summary>
    public bool UntilEnd { get; private set; }

    /// <summary>Decides whether an instance stops where it is; called at every numbered step.</summary>
    public Func<Member, string, bool> StopsAt { get; set; } = (_, _) => false;

    /// <summary>Told what the group does to an instance.</summary>
    public Action<Member, string> Seen { get; set; } = (_, _) => { };

    /// <summary>Called before a call of an instance's admin or of a reader of its, with the call and the partition or topic: what it throws is the call's answer.</summary>
    public Action<Member, string, TopicPartition> CallFaults { get; set; } = (_, _, _) => { };

    /// <summary>Told where an instance begins to read a partition.</summary>
    public Action<Member, TopicPartition, long> BeginsToRead { get; set; } = (_, _, _) => { };

    /// <summary>Told what an instance logs; null for nobody.</summary>
    public Action<Member, string>? Says { get; set; }

    /// <summary>Told when an instance has opened the folder of a shard to restore it.</summary>
    public Action<Member, int> Planned { get; set; } = (_, _) => { };

    /// <summary>Told when an instance has restored a shard, up to an end of the changelog.</summary>
    public Action<Member, int, long> Restored { get; set; } = (_, _, _) => { };

    /// <summary>Told why an instance has aborted a transaction.</summary>
    public Action<Member, string> Aborted { get; set; } = (_, _) => { };

    /// <summary>Whether the folder of any shard of any member has been damaged.</summary>
    public bool HasDamagedFolders { get; private set; }

    /// <summary>Told of a local state that an instance wipes, and why.</summary>
    public Action<Member, int, string> Wiped { get; set; } = (_, _, _) => { };

    /// <summary>Whether an instance may end by an error.</summary>
    public Func<Member, StreamException, bool> MayEndBy { get; set; } = (_, _) => false;

    /// <summary>Told when an instance has ended by an error; if it was in the midst of another step, it goes no further there.</summary>
    public Action<Member, StreamException> HasEndedBy { get; set; } = (_, _) => { };

    public Member Add(string name)
    {
        Member member = new(this, name, NewFolder());
        Members.Add(member);
        member.Open();
        return member;
    }

    public string NewFolder() => Path.Combine(_folder, (++_folders).ToString(System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>One turn of every live instance, after which the clock has moved on.</summary>
    public void Round(int milliseconds = 40)
    {
        foreach (Member member in (Member[])[.. Members, .. _other?.Members ?? []])
        {
            member.Turn();
        }

        Clock.Advance(TimeSpan.FromMilliseconds(milliseconds));
    }

    public void Until(Func<bool> condition, string what, int rounds = 3_000)
    {
        for (int round = 0; !condition(); round++)
        {
            if (round == rounds)
            {
                throw new TimeoutException($"After {rounds} rounds still not: {what}. {string.Join("; ", Members)}");
            }

            Round();
        }
    }

    /// <summary>Instances that are opened from now on do not end by themselves.</summary>
    public void GoOn() => UntilEnd = false;

    /// <summary>Asks every instance, also those that start later, to end with the inputs.</summary>
    public void End()
    {
        UntilEnd = true;
        Members.ForEach(member => member.End());
    }

    public IEnumerable<(TKey Key, TValue Value)> Outputs<TKey, TValue>(KeyedTopic<TKey, TValue> topic) =>
        Broker.ReadAll(topic.Name).Select(record => (
            topic.Key.Deserialize(record.Key, new(topic.Name, RecordPart.Key)), topic.Value.Deserialize(record.Value, new(topic.Name, RecordPart.Value))));

    public void Dispose()
    {
        foreach (Member member in Members)
        {
            member.Instance?.Abandon();
        }

        _other?.Dispose();
        if (_ownsBroker)
        {
            Broker.Dispose();
        }

        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>One instance, up or down.</summary>
    internal sealed class Member(Cluster cluster, string name, string folder)
    {
        private readonly HashSet<int> _busy = [];
        private readonly Queue<Action> _news = [];
        private string _folder = folder;
        private int _depth;
        private long _endlessAt = -1;

        public string Name => name;

        public Instance? Instance
        {
            get;
            private set
            {
                NoteEndless();
                field = value;
            }
        }

        /// <summary>Whether it is to end with the inputs.</summary>
        public bool IsFinite => Instance is { Run.IsWanted: true };

        /// <summary>When it was opened, by the clock.</summary>
        public long OpenedAt { get; private set; }

        public bool IsUp => Instance is not null;

        /// <summary>It was stopped while it was asleep in the midst of a step: it goes no further.</summary>
        public bool IsDying { get; private set; }

        /// <summary>One of its parts is in the midst of a step.</summary>
        public bool IsBusy => _depth > 0;

        /// <summary>The whole process stands still.</summary>
        public bool IsAsleep { get; set; }

        /// <summary>Membership makes no turns; the rest goes on.</summary>
        public bool IsDeaf { get; set; }

        /// <summary>The group has taken something away, and the instance has not heard of it.</summary>
        public bool HasNews => _news.Count > 0;

        public bool IsDone => Instance?.IsDone ?? false;

        public int Running => Instance?.Workers.Sum(worker => worker.Shards.Count(shard => shard.Claimed)) ?? 0;

        /// <summary>Starts it, with an end or without, as the cluster says.</summary>
        public void Open() => Open(cluster.UntilEnd);

        /// <summary>Starts it.</summary>
        /// <param name="untilEnd">Whether it is to end with the inputs.</param>
        public void Open(bool untilEnd)
        {
            _news.Clear();
            OpenedAt = cluster.Clock.GetTimestamp();
            try
            {
                OpenInstance(untilEnd);
            }
            catch (StreamException error) when (cluster.MayEndBy(this, error))
            {
                cluster.HasEndedBy(this, error);
            }
        }

        /// <summary>Tells it to end with the inputs.</summary>
        public void End()
        {
            NoteEndless();
            Instance?.Run.Want();
        }

        /// <summary>Whether it has been up without an end at any time since then.</summary>
        public bool WasEndlessSince(long timestamp)
        {
            NoteEndless();
            return _endlessAt >= timestamp;
        }

        private void NoteEndless()
        {
            if (Instance is { Run.IsWanted: false })
            {
                _endlessAt = cluster.Clock.GetTimestamp();
            }
        }

        private void OpenInstance(bool untilEnd) =>
            Instance = Instance.Open(
                cluster.Flow,
                new MemberBroker(
                    cluster.Between(cluster.Broker, cluster.Flow.Id),
                    Tell,
                    what => cluster.Seen(this, what),
                    (partition, offset) => cluster.BeginsToRead(this, partition, offset),
                    (call, partition) => cluster.CallFaults(this, call, partition)),
                cluster.Adjust(new StreamOptions
                {
                    InstanceId = name,
                    StateDir = _folder,
                    Workers = 2,
                    Shards = cluster.Shards,
                    Guarantee = cluster.Guarantee,
                    UntilEnd = untilEnd,
                    SessionTimeout = TimeSpan.FromSeconds(2),
                    RevocationBudget = TimeSpan.FromSeconds(1),
                    TransactionTimeout = TimeSpan.FromSeconds(1),
                    RecordsPerTurnMax = cluster.RecordsPerTurnMax,
                }),
                cluster.Logging
                    ?? new MemberLog(
                        cluster.Says is { } says ? line => says(this, line.Replace(cluster._folder, "", StringComparison.Ordinal)) : null,
                        shard => cluster.Planned(this, shard),
                        (shard, end) => cluster.Restored(this, shard, end),
                        (shard, reason) => cluster.Wiped(this, shard, reason),
                        reason => cluster.Aborted(this, reason)),
                cluster.EngineClock ?? cluster.Clock,
                step =>
                {
                    if (cluster.StopsAt(this, step))
                    {
                        throw new InstanceStoppedException(step);
                    }
                },
                steps: cluster.Steps);

        /// <summary>A turn of each part; stopping at a step is a crash.</summary>
        public void Turn()
        {
            for (int part = 0; part < PartCount; part++)
            {
                TurnPart(part);
            }
        }

        /// <summary>Membership, the restorer, the workers, and the snapshotter where there is one.</summary>
        public int PartCount => 2 + (Instance is null ? 0 : Instance.Workers.Count + (Instance.Snapshotter is null ? 0 : 1));

        /// <summary>A turn of one part, unless that part is asleep in the midst of an earlier one.</summary>
        public void TurnPart(int part)
        {
            if (IsAsleep || (IsDeaf && part == 0) || !_busy.Add(part))
            {
                return;
            }

            try
            {
                Do(instance => Turn(instance, part));
            }
            finally
            {
                _busy.Remove(part);
                if (part > 1)
                {
                    (cluster.EngineClock as BlindClock)?.Show();
                }
            }
        }

        /// <summary>Does something with the instance; stopping at a step is a crash.</summary>
        public void Do(Action<Instance> action)
        {
            if (Instance is not { } instance || IsDying)
            {
                return;
            }

            StreamException? end = null;
            _depth++;
            try
            {
                action(instance);
            }
            catch (InstanceStoppedException)
            {
                IsDying = true;
            }
            catch (StreamException error) when (cluster.MayEndBy(this, error))
            {
                end = error;
            }
            catch (BrokerException error) when (cluster.MayEndBy(this, new StreamException(ExitCode.Broker, error.Message, error)))
            {
                // As the engine's threads end by it.
                end = new StreamException(ExitCode.Broker, error.Message, error);
            }
            finally
            {
                _depth--;
            }

            if (end is not null && _depth == 0 && !IsDying)
            {
                Fail(instance);
            }
            else if (IsDying || end is not null)
            {
                Crash();
            }

            if (end is not null)
            {
                cluster.HasEndedBy(this, end);
            }
        }

        /// <summary>As kill -9; what is in the midst of a step never gets further.</summary>
        public void Crash()
        {
            IsDying = _depth > 0;
            if (!IsDying)
            {
                Instance?.Abandon();
                Instance = null;
            }
        }

        /// <summary>Commits and leaves in order, unless something is in the midst of a step.</summary>
        public void Stop()
        {
            if (IsBusy || IsAsleep)
            {
                return;
            }

            IsAsleep = true;
            Do(instance =>
            {
                instance.Close();
                Instance = null;
            });
            IsAsleep = false;
        }

        /// <summary>The folder of one of its shards.</summary>
        public string ShardFolder(int shard) => Path.Combine(_folder, cluster.Flow.Id, $"shard-{shard}");

        /// <summary>The shards whose folder has wrong bytes somewhere.</summary>
        public HashSet<int> Damaged { get; } = [];

        /// <summary>From which position on the folder of a shard holds what the changelog says: the end of its last restore.</summary>
        public Dictionary<int, long> ExactFrom { get; } = [];

        public void LoseFolder()
        {
            _folder = cluster.NewFolder();
            Damaged.Clear();
            ExactFrom.Clear();
        }

        /// <summary>A copy of the folder of an instance that is down, to be put back later.</summary>
        public string CopyFolder()
        {
            string copy = cluster.NewFolder();
            Copy(_folder, copy);
            cluster._copies[copy] = ([.. Damaged], new(ExactFrom));
            return copy;
        }

        public void PutBack(string copy)
        {
            LoseFolder();
            Copy(copy, _folder);
            Damaged.UnionWith(cluster._copies[copy].Damaged);
            foreach ((int shard, long from) in cluster._copies[copy].ExactFrom)
            {
                ExactFrom[shard] = from;
            }
        }

        /// <summary>Only one shard of a copy; the rest stays.</summary>
        public void PutBack(string copy, int shard)
        {
            string target = ShardFolder(shard);
            if (Directory.Exists(target))
            {
                Directory.Delete(target, recursive: true);
            }

            Copy(Path.Combine(copy, cluster.Flow.Id, $"shard-{shard}"), target);
            Damaged.Remove(shard);
            ExactFrom[shard] = cluster._copies[copy].ExactFrom.GetValueOrDefault(shard);
        }

        /// <summary>Flips bytes in a file of RocksDB, if it has flushed one for the shard.</summary>
        public bool Corrupt(int shard, int place, int length)
        {
            string[] files = Directory.Exists(ShardFolder(shard)) ? Directory.GetFiles(ShardFolder(shard), "*.sst") : [];
            if (files.Length == 0)
            {
                return false;
            }

            string file = files.Order(StringComparer.Ordinal).ElementAt(place % files.Length);
            byte[] bytes = File.ReadAllBytes(file);

            // Near the beginning, in the first block, or near the end, in the footer: between them lies what RocksDB draws anew
            // in every run, so that a seed would hit now one block, now another.
            for (int i = place % 2 == 0 ? place * 31 % 48 : Math.Max(0, bytes.Length - 1 - (place * 31 % 12)); i < bytes.Length && length > 0; i++, length--)
            {
                bytes[i] ^= 0xff;
            }

            File.WriteAllBytes(file, bytes);
            Damaged.Add(shard);
            cluster.HasDamagedFolders = true;
            return true;
        }

        /// <summary>Now, or when the process no longer stands still.</summary>
        private void Tell(Action news)
        {
            if (IsAsleep || IsDeaf)
            {
                _news.Enqueue(news);
            }
            else
            {
                news();
            }
        }

        /// <summary>The end by an error, as the engine's threads make it: what is open is aborted, the membership waits for its time-out.</summary>
        private void Fail(Instance instance)
        {
            foreach (ShardWorker worker in instance.Workers)
            {
                worker.Quit();
            }

            instance.Dispose();
            Instance = null;
        }

        private void Turn(Instance instance, int part)
        {
            switch (part)
            {
                case 0:
                    while (_news.TryDequeue(out Action? news))
                    {
                        news();
                    }

                    instance.StepMembership();
                    break;
                case 1:
                    instance.TopicWatch.Step();
                    instance.Restorers[0].Step();
                    break;
                default:
                    if (part - 2 < instance.Workers.Count)
                    {
                        instance.Workers[part - 2].Step();
                    }
                    else
                    {
                        instance.Snapshotter!.Step();
                    }

                    break;
            }
        }

        private static void Copy(string from, string to)
        {
            foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
            {
                string target = Path.Combine(to, Path.GetRelativePath(from, file));
                Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                File.Copy(file, target);
            }
        }

        public override string ToString() =>
            $"{name}: {(Instance is null ? "down" : $"{Running} shards run, done {IsDone}, table {string.Join(",", Instance.Parts.Table.Status)}, ledger {Instance.Ledger.Current}")}";
    }
}
