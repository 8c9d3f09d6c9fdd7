namespace KStreamSharp;

/// <summary>A transactional writer of an embedded broker.</summary>
internal sealed class EmbeddedWriter(EmbeddedBroker broker, string id, TimeSpan timeout) : TransactionalWriter
{
    private readonly Dictionary<TopicPartition, long> _last = [];
    private readonly Dictionary<TopicPartition, PartitionLog> _logs = [];
    private Dictionary<TopicPartition, long> _committed = [];
    private OpenTransaction? _open;
    private int _epoch;

    public override void Initialize()
    {
        broker.WriterFaults?.Invoke(id, nameof(Initialize), false);
        lock (broker.Gate)
        {
            _open = null;
            _epoch = broker.Transactions.Initialize(id);
        }
    }

    public override void Begin()
    {
        if (_open is not null)
        {
            throw new InvalidOperationException("A transaction is open already.");
        }

        lock (broker.Gate)
        {
            _last.Clear();
            _open = broker.Transactions.Begin(id, _epoch, timeout);
        }
    }

    public override void Append(TopicPartition partition, in OutgoingRecord record)
    {
        OpenTransaction open = Open;
        broker.WriterFaults?.Invoke(id, nameof(Append), false);
        lock (broker.Gate)
        {
            broker.Transactions.Check(id, _epoch);
            if (!_logs.TryGetValue(partition, out PartitionLog? log) || (log.IsDeleted && broker.WritersGoByName))
            {
                _logs[partition] = log = broker.Log(partition);
            }

            open.Logs.Add(log);
            _last[partition] = broker.Append(log, record, open.Id);
        }
    }

    public override void SendOffsets(string group, IReadOnlyList<KeyValuePair<TopicPartition, long>> positions, GroupToken token)
    {
        OpenTransaction open = Open;
        broker.WriterFaults?.Invoke(id, nameof(SendOffsets), false);
        lock (broker.Gate)
        {
            broker.Transactions.Check(id, _epoch);
            broker.Groups.Check(group, token);
            foreach ((TopicPartition partition, long offset) in positions)
            {
                open.Positions.Add((group, partition, offset));
            }
        }

        broker.WriterFaults?.Invoke(id, nameof(SendOffsets), true);
    }

    public override void Commit()
    {
        OpenTransaction open = Open;
        broker.WriterFaults?.Invoke(id, nameof(Commit), false);
        lock (broker.Gate)
        {
            broker.Transactions.End(id, _epoch, open, commit: true);
        }

        broker.WriterFaults?.Invoke(id, nameof(Commit), true);
        _open = null;
        _committed = new(_last);
    }

    public override void Abort()
    {
        OpenTransaction open = Open;
        broker.WriterFaults?.Invoke(id, nameof(Abort), false);
        lock (broker.Gate)
        {
            broker.Transactions.End(id, _epoch, open, commit: false);
        }

        broker.WriterFaults?.Invoke(id, nameof(Abort), true);
        _open = null;
    }

    public override long LastOffset(TopicPartition partition) => _committed[partition];

    public override void Dispose() => _open = null;

    private OpenTransaction Open => _open ?? throw new InvalidOperationException("No transaction is open.");
}

/// <summary>A writer without transactions.</summary>
internal sealed class EmbeddedOutputWriter(EmbeddedBroker broker) : OutputWriter
{
    public override void Append(TopicPartition partition, in OutgoingRecord record)
    {
        lock (broker.Gate)
        {
            broker.Append(broker.Log(partition), record, transaction: 0);
        }
    }

    public override void Flush()
    {
        lock (broker.Gate)
        {
            broker.Acknowledge();
        }
    }

    public override void Dispose()
    {
    }
}
