namespace KStreamSharp;

/// <summary>The frames of a <see cref="Journal"/>: a kind, then the fields in order, by <see cref="BinaryWriter"/>. Kinds are never reused.</summary>
internal static class JournalFormat
{
    private const byte Topic = 1;
    private const byte Entry = 2;
    private const byte Decision = 3;
    private const byte Offset = 4;
    private const byte Delete = 5;
    private const byte DeletedTopic = 6;
    private const byte Bounds = 7;
    private const byte LastTransactionFrame = 8;
    private const byte DeletedGroup = 9;

    public static bool IsKind(byte kind) => kind is >= Topic and <= DeletedGroup;

    public static void WriteTopic(BinaryWriter frame, TopicDescription topic)
    {
        frame.Write(Topic);
        frame.Write(topic.Name);
        frame.Write(topic.Id.ToByteArray());
        frame.Write(topic.Partitions);
        frame.Write((byte)topic.Cleanup);
    }

    public static void WriteEntry(BinaryWriter frame, TopicPartition partition, in LogEntry entry, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ReadOnlySpan<byte> headers)
    {
        frame.Write(Entry);
        Write(frame, partition);
        frame.Write(entry.Offset);
        frame.Write(entry.Timestamp);
        frame.Write(entry.AppendedAt);
        frame.Write(entry.Transaction);
        frame.Write((byte)entry.Kind);
        frame.Write(entry.KeyLength);
        frame.Write(entry.ValueLength);
        frame.Write(headers.Length);
        frame.Write(key);
        frame.Write(value);
        frame.Write(headers);
    }

    public static void WriteDecision(BinaryWriter frame, long transaction, bool commit, IReadOnlyList<(string Group, TopicPartition Partition, long Offset)> positions)
    {
        frame.Write(Decision);
        frame.Write(transaction);
        frame.Write(commit);
        frame.Write(positions.Count);
        foreach ((string group, TopicPartition partition, long offset) in positions)
        {
            frame.Write(group);
            Write(frame, partition);
            frame.Write(offset);
        }
    }

    public static void WriteOffset(BinaryWriter frame, string group, TopicPartition partition, long offset)
    {
        frame.Write(Offset);
        frame.Write(group);
        Write(frame, partition);
        frame.Write(offset);
    }

    public static void WriteDelete(BinaryWriter frame, TopicPartition partition, long before)
    {
        frame.Write(Delete);
        Write(frame, partition);
        frame.Write(before);
    }

    public static void WriteDeleteTopic(BinaryWriter frame, string topic)
    {
        frame.Write(DeletedTopic);
        frame.Write(topic);
    }

    public static void WriteDeleteGroup(BinaryWriter frame, string group)
    {
        frame.Write(DeletedGroup);
        frame.Write(group);
    }

    /// <summary>Everything that is live, for a journal that begins anew.</summary>
    public static void WriteAll(
        BinaryWriter frame,
        Action append,
        IEnumerable<EmbeddedTopic> topics,
        IReadOnlyDictionary<(string Group, TopicPartition Partition), long> offsets,
        TransactionCoordinator transactions)
    {
        frame.Write(LastTransactionFrame);
        frame.Write(transactions.LastId);
        append();
        foreach ((long transaction, bool commit) in transactions.Late)
        {
            WriteDecision(frame, transaction, commit, []);
            append();
        }

        foreach (EmbeddedTopic topic in topics)
        {
            WriteTopic(frame, topic.Description);
            append();
            foreach (PartitionLog log in topic.Logs)
            {
                foreach (LogEntry entry in log.Entries)
                {
                    WriteEntry(frame, log.Partition, entry, entry.Key, entry.Value, entry.EncodedHeaders);
                    append();
                }

                frame.Write(Bounds);
                Write(frame, log.Partition);
                frame.Write(log.Start);
                frame.Write(log.End);
                append();
            }
        }

        foreach (((string group, TopicPartition partition), long offset) in offsets)
        {
            WriteOffset(frame, group, partition, offset);
            append();
        }
    }

    private static void Write(BinaryWriter frame, TopicPartition partition)
    {
        frame.Write(partition.Topic);
        frame.Write(partition.Partition);
    }

    private static TopicPartition ReadPartition(BinaryReader frame) => new(frame.ReadString(), frame.ReadInt32());

    /// <summary>Builds the state of a broker from its frames.</summary>
    public sealed class Replayer(Dictionary<string, EmbeddedTopic> topics, Dictionary<(string Group, TopicPartition Partition), long> offsets)
    {
        private readonly Dictionary<long, bool> _decided = [];

        /// <summary>The largest transaction number seen.</summary>
        public long LastTransaction { get; private set; }

        /// <summary>The transactions whose markers are missing on a partition, and their outcome: aborted, unless it was decided.</summary>
        public IEnumerable<(long Transaction, bool Commit)> Undecided() =>
            [.. topics.Values.SelectMany(topic => topic.Logs).SelectMany(log => log.Open).Distinct().Select(transaction => (transaction, _decided.GetValueOrDefault(transaction)))];

        public void Replay(BinaryReader frame)
        {
            switch (frame.ReadByte())
            {
                case Topic:
                    TopicDescription topic = new(frame.ReadString(), new Guid(frame.ReadBytes(16)), frame.ReadInt32(), (TopicCleanup)frame.ReadByte());
                    topics[topic.Name] = new EmbeddedTopic(topic);
                    break;
                case Entry:
                    ReplayEntry(frame);
                    break;
                case Decision:
                    long transaction = frame.ReadInt64();
                    _decided[transaction] = frame.ReadBoolean();
                    LastTransaction = Math.Max(LastTransaction, transaction);
                    for (int left = frame.ReadInt32(); left > 0; left--)
                    {
                        ReplayOffset(frame);
                    }

                    break;
                case Offset:
                    ReplayOffset(frame);
                    break;
                case Delete:
                    Log(ReadPartition(frame)).DeleteTo(frame.ReadInt64());
                    break;
                case DeletedTopic:
                    topics.Remove(frame.ReadString());
                    break;
                case DeletedGroup:
                    ReplayDeletedGroup(frame.ReadString());
                    break;
                case Bounds:
                    Log(ReadPartition(frame)).SetBounds(frame.ReadInt64(), frame.ReadInt64());
                    break;
                case LastTransactionFrame:
                    LastTransaction = Math.Max(LastTransaction, frame.ReadInt64());
                    break;
                default:
                    throw new InvalidDataException("A frame of the broker's journal is of no known kind.");
            }
        }

        private void ReplayEntry(BinaryReader frame)
        {
            PartitionLog log = Log(ReadPartition(frame));
            LogEntry entry = new()
            {
                Offset = frame.ReadInt64(),
                Timestamp = frame.ReadInt64(),
                AppendedAt = frame.ReadInt64(),
                Transaction = frame.ReadInt64(),
                Kind = (EntryKind)frame.ReadByte(),
                KeyLength = frame.ReadInt32(),
                ValueLength = frame.ReadInt32(),
            };
            int headers = frame.ReadInt32();
            log.Append(entry, frame.ReadBytes(Math.Max(0, entry.KeyLength)), frame.ReadBytes(Math.Max(0, entry.ValueLength)), frame.ReadBytes(headers));
            LastTransaction = Math.Max(LastTransaction, entry.Transaction);
        }

        private void ReplayOffset(BinaryReader frame)
        {
            string group = frame.ReadString();
            TopicPartition partition = ReadPartition(frame);
            offsets[(group, partition)] = frame.ReadInt64();
        }

        private void ReplayDeletedGroup(string group)
        {
            foreach ((string Group, TopicPartition Partition) key in offsets.Keys.Where(key => key.Group == group).ToArray())
            {
                offsets.Remove(key);
            }
        }

        private PartitionLog Log(TopicPartition partition) => topics[partition.Topic].Logs[partition.Partition];
    }
}
