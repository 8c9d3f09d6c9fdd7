namespace KStreamSharp;

/// <summary>How readers of an embedded broker fetch ahead, for tests; see <see cref="EmbeddedBroker.Prefetch"/>.</summary>
internal sealed record EmbeddedPrefetch
{
    /// <summary>The records of a partition that wait in the reader before the partition is paused.</summary>
    public int RecordsMax { get; init; } = 20;

    /// <summary>The records that one fetch of a partition brings at most.</summary>
    public int FetchMax { get; init; } = 10;

    /// <summary>A fault, for tests that must see it: a pause outlives its assignment, as it does in Kafka's client.</summary>
    public bool ForgetsPauses { get; init; }
}

/// <summary>
/// A reader of an embedded broker that reads ahead as Kafka's client does: one read brings records of every partition, a
/// partition whose buffer is full is paused, and a fetch is answered with what there was when it was sent, one read later.
/// An end is told of by an empty fetch only.
/// </summary>
internal sealed class PrefetchingReader(EmbeddedBroker broker, bool readCommitted, EmbeddedPrefetch prefetch) : Reader
{
    private readonly Dictionary<TopicPartition, Assignment> _assigned = [];

    /// <summary>What the client has paused; as there, it knows nothing of assignments.</summary>
    private readonly HashSet<TopicPartition> _paused = [];
    private bool _leftRecords;
    private bool _woken;

    public override void Assign(TopicPartition partition, long offset)
    {
        Unassign(partition);
        lock (broker.Gate)
        {
            _assigned.Add(partition, new Assignment(broker.Log(partition), offset));
        }
    }

    public override void Unassign(TopicPartition partition)
    {
        if (_assigned.Remove(partition) && !prefetch.ForgetsPauses)
        {
            _paused.Remove(partition);
        }
    }

    public override RecordBatch? Read(TopicPartition partition, int max)
    {
        Assignment wanted = _assigned[partition];
        lock (broker.Gate)
        {
            broker.Tend();
            if (wanted.Waiting.Count < max)
            {
                Receive();
            }

            Fetch();
            if (wanted.Waiting.Count == 0 && wanted.IsOutOfRange)
            {
                throw new OffsetOutOfRangeException(partition, wanted.Position, wanted.Log.Start, wanted.Log.End);
            }
        }

        RecordBatch? batch = wanted.Take(max);
        _leftRecords |= wanted.Waiting.Count > 0;
        if (wanted.IsPaused && wanted.Waiting.Count < prefetch.RecordsMax)
        {
            wanted.IsPaused = false;
            _paused.Remove(partition);
        }

        return batch;
    }

    public override long Position(TopicPartition partition) => _assigned[partition].Position;

    public override bool AtEnd(TopicPartition partition) => _assigned[partition].AtEnd;

    public override void Wait(TimeSpan atMost)
    {
        lock (broker.Gate)
        {
            if (!_leftRecords && !_woken && !_assigned.Any(each => !_paused.Contains(each.Key) && each.Value.SeenEnd < EndOf(each.Value.Log)))
            {
                Monitor.Wait(broker.Gate, atMost);
            }

            _leftRecords = false;
            _woken = false;
        }
    }

    public override void Wake()
    {
        lock (broker.Gate)
        {
            _woken = true;
            Monitor.PulseAll(broker.Gate);
        }
    }

    public override void Dispose() => _assigned.Clear();

    /// <summary>For tests: whether a partition is assigned and its buffer full.</summary>
    internal bool IsPaused(TopicPartition partition) => _assigned.TryGetValue(partition, out Assignment? assigned) && assigned.IsPaused;

    private long EndOf(PartitionLog log) => readCommitted ? log.LastStable : log.End;

    /// <summary>What the fetches under way bring goes into the buffers; one that is full then is paused.</summary>
    private void Receive()
    {
        foreach ((TopicPartition partition, Assignment assignment) in _assigned)
        {
            // The client drops what comes for a partition that was paused meanwhile, and fetches it again.
            if (!_paused.Contains(partition))
            {
                assignment.Receive();
                if (assignment.Waiting.Count >= prefetch.RecordsMax)
                {
                    assignment.IsPaused = true;
                    _paused.Add(partition);
                }
            }

            assignment.Answer = null;
        }
    }

    private void Fetch()
    {
        foreach ((TopicPartition partition, Assignment assignment) in _assigned)
        {
            if (assignment.Answer is null && !assignment.IsOutOfRange && !_paused.Contains(partition))
            {
                PartitionLog log = assignment.Log;
                if (assignment.Next < log.Start || assignment.Next > log.End)
                {
                    assignment.Answer = new(null, assignment.Next);
                }
                else
                {
                    List<LogEntry> entries = [];
                    long next = log.Collect(assignment.Next, readCommitted, prefetch.FetchMax, entries);
                    assignment.Answer = new(entries, next);
                }
            }
        }
    }

    /// <summary>What a fetch brings; no records at all when it was out of range.</summary>
    private sealed record FetchAnswer(List<LogEntry>? Entries, long Next);

    private sealed class Assignment(PartitionLog log, long position)
    {
        public PartitionLog Log { get; } = log;

        /// <summary>The next offset to answer.</summary>
        public long Position { get; private set; } = position;

        /// <summary>The next offset to fetch.</summary>
        public long Next { get; private set; } = position;

        public Queue<LogEntry> Waiting { get; } = [];

        public FetchAnswer? Answer { get; set; }

        /// <summary>Where an empty fetch found the end, if no records came since; else −1.</summary>
        public long SeenEnd { get; private set; } = -1;

        public bool AtEnd { get; private set; }

        public bool IsOutOfRange { get; private set; }

        public bool IsPaused { get; set; }

        private EmbeddedBatch Batch { get; } = new();

        public void Receive()
        {
            if (Answer is not { } answer)
            {
                return;
            }

            IsOutOfRange = answer.Entries is null;
            Next = answer.Next;
            foreach (LogEntry entry in answer.Entries ?? [])
            {
                Waiting.Enqueue(entry);
            }

            SeenEnd = answer.Entries is { Count: 0 } ? answer.Next : -1;
        }

        public RecordBatch? Take(int max)
        {
            Batch.Entries.Clear();
            while (Batch.Count < max && Waiting.TryDequeue(out LogEntry entry))
            {
                Batch.Entries.Add(entry);
                Position = entry.Offset + 1;
            }

            AtEnd = Waiting.Count == 0 && SeenEnd >= 0;
            if (AtEnd)
            {
                Position = Math.Max(Position, SeenEnd);
            }

            return Batch.Count > 0 ? Batch : null;
        }
    }
}
