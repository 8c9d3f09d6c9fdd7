namespace KStreamSharp;

/// <summary>A reader of an embedded broker.</summary>
internal sealed class EmbeddedReader(EmbeddedBroker broker, bool readCommitted) : Reader
{
    private readonly Dictionary<TopicPartition, Assignment> _assigned = [];
    private bool _woken;

    public override void Assign(TopicPartition partition, long offset)
    {
        lock (broker.Gate)
        {
            _assigned[partition] = new Assignment(broker.Log(partition), offset);
        }
    }

    public override void Unassign(TopicPartition partition) => _assigned.Remove(partition);

    public override RecordBatch? Read(TopicPartition partition, int max)
    {
        Assignment assignment = _assigned[partition];
        lock (broker.Gate)
        {
            broker.Tend();
            PartitionLog log = assignment.Log;
            if (assignment.Position < log.Start || assignment.Position > log.End)
            {
                throw new OffsetOutOfRangeException(partition, assignment.Position, log.Start, log.End);
            }

            assignment.Batch.Entries.Clear();
            assignment.Position = log.Collect(assignment.Position, readCommitted, max, assignment.Batch.Entries);
            assignment.AtEnd = assignment.Position >= (readCommitted ? log.LastStable : log.End);
        }

        return assignment.Batch.Entries.Count > 0 ? assignment.Batch : null;
    }

    public override long Position(TopicPartition partition) => _assigned[partition].Position;

    public override bool AtEnd(TopicPartition partition) => _assigned[partition].AtEnd;

    public override void Wait(TimeSpan atMost)
    {
        lock (broker.Gate)
        {
            if (!_woken && !_assigned.Values.Any(HasMore))
            {
                Monitor.Wait(broker.Gate, atMost);
            }

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

    private bool HasMore(Assignment assignment) => assignment.Position < (readCommitted ? assignment.Log.LastStable : assignment.Log.End);

    private sealed class Assignment(PartitionLog log, long position)
    {
        public PartitionLog Log { get; } = log;

        public long Position { get; set; } = position;

        public bool AtEnd { get; set; }

        public EmbeddedBatch Batch { get; } = new();
    }
}

/// <summary>Records of an embedded broker, where they lie in their log.</summary>
internal sealed class EmbeddedBatch : RecordBatch
{
    public List<LogEntry> Entries { get; } = [];

    public override int Count => Entries.Count;

    public override RecordView this[int index] => Entries[index].View;

    public override long TimestampAt(int index) => Entries[index].Timestamp;
}
