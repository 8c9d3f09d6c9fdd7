namespace KStreamSharp;

/// <summary>
/// A broker inside the process, with the meaning of Kafka's: for a first start, tests and simulations. In memory, or kept
/// in a folder by one process at a time; shared by any number of engine instances in the process.
/// </summary>
public sealed class EmbeddedBroker : Broker, IDisposable
{
    private const long JournalSlack = 64L << 20;

    private readonly object _gate = new();
    private readonly EmbeddedBrokerOptions _options;
    private readonly TimeProvider _time;
    private readonly Dictionary<string, EmbeddedTopic> _topics = [];
    private readonly Dictionary<(string Group, TopicPartition Partition), long> _offsets = [];
    private readonly TransactionCoordinator _transactions;
    private readonly GroupCoordinator _groups;
    private readonly Journal? _journal;
    private readonly List<(string Group, TopicPartition Partition, long Offset)> _lateOffsets = [];
    private bool _holdsOffsets;
    private bool _closed;

    private EmbeddedBroker(EmbeddedBrokerOptions? options, TimeProvider? time, string? folder)
    {
        _options = options ?? new EmbeddedBrokerOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.RetentionBytes, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.MaxRecordBytes, 1, nameof(options));
        _time = time ?? TimeProvider.System;
        Folder = folder;
        _groups = new GroupCoordinator(_time);
        _transactions = new TransactionCoordinator(this, _time);
        if (folder is not null)
        {
            // What a transaction without an end wrote is aborted now; a bound may have become smaller since.
            JournalFormat.Replayer replayer = new(_topics, _offsets);
            _journal = Journal.Open(folder, replayer.Replay);
            try
            {
                foreach ((long transaction, bool commit) in replayer.Undecided())
                {
                    _transactions.WriteMarkers(transaction, commit, _topics.Values.SelectMany(topic => topic.Logs));
                }

                _transactions.LastId = replayer.LastTransaction;
                lock (_gate)
                {
                    Acknowledge();
                }
            }
            catch
            {
                _journal.Dispose();
                throw;
            }
        }
    }

    /// <summary>Where it keeps what it has; null for nowhere.</summary>
    internal string? Folder { get; }

    /// <summary>A broker that keeps nothing beyond its life.</summary>
    /// <param name="options">Its bounds; null for the defaults.</param>
    /// <param name="time">The clock; null for the system's.</param>
    /// <exception cref="ArgumentOutOfRangeException">A bound is less than 1.</exception>
    public static EmbeddedBroker InMemory(EmbeddedBrokerOptions? options = null, TimeProvider? time = null) => new(options, time, folder: null);

    /// <summary>
    /// A broker that keeps its topics and positions in a folder. What was acknowledged survives the end of the process, also
    /// by kill -9; transactions that were open then are aborted at the next opening. It is not synced to the disk: a loss of
    /// power may cost the newest of it.
    /// </summary>
    /// <param name="folder">The folder; made if it does not exist.</param>
    /// <param name="options">Its bounds; null for the defaults.</param>
    /// <param name="time">The clock; null for the system's.</param>
    /// <exception cref="StreamException">Another process uses the folder, it cannot be written, or its journal is damaged or newer.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A bound is less than 1.</exception>
    public static EmbeddedBroker Open(string folder, EmbeddedBrokerOptions? options = null, TimeProvider? time = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        return new(options, time, folder);
    }

    /// <summary>Creates a topic for records of yours: bounded by size, oldest dropped first. One that exists is left as it is.</summary>
    /// <param name="name">The topic's name.</param>
    /// <param name="partitions">The number of partitions, at least 1.</param>
    /// <exception cref="ArgumentException">The name is not one that Kafka takes.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There would be no partition.</exception>
    public void CreateTopic(string name, int partitions)
    {
        TopicName.Checked(name);
        ArgumentOutOfRangeException.ThrowIfLessThan(partitions, 1);
        CreateTopic(new TopicSpec(name, partitions, TopicCleanup.Delete));
    }

    /// <summary>The number of partitions of a topic, or null when there is no such topic.</summary>
    /// <param name="name">The topic's name.</param>
    public int? PartitionCount(string name) => DescribeTopic(name)?.Partitions;

    /// <summary>The number of records that a topic has ever been given, by its offsets; 0 when there is no such topic.</summary>
    /// <param name="name">The topic's name.</param>
    public long EndOffsets(string name)
    {
        lock (_gate)
        {
            return _topics.TryGetValue(name, out EmbeddedTopic? topic) ? topic.Logs.Sum(log => log.End) : 0;
        }
    }

    /// <summary>Appends a record, committed at once.</summary>
    /// <param name="topic">The topic, which must exist.</param>
    /// <param name="key">The key, or null for none.</param>
    /// <param name="value">The value, or null for none.</param>
    /// <param name="timestamp">The timestamp, or null for the broker's time.</param>
    /// <param name="headers">The headers, or null for none.</param>
    /// <param name="partition">The partition, or null: chosen by the key as Java's producer does it, without a key in turn.</param>
    /// <returns>The record's offset.</returns>
    /// <exception cref="ArgumentException">The topic or partition does not exist, or the record is too large.</exception>
    public long Produce(string topic, byte[]? key, byte[]? value, DateTimeOffset? timestamp = null, Headers? headers = null, int? partition = null) =>
        Produce(topic, [new NewRecord(key, value, timestamp, headers, partition)]);

    /// <summary>Appends records, committed at once.</summary>
    /// <param name="topic">The topic, which must exist.</param>
    /// <param name="records">The records, in order.</param>
    /// <returns>The last record's offset; −1 when there was none.</returns>
    /// <exception cref="ArgumentException">The topic or a partition does not exist, or a record is too large.</exception>
    public long Produce(string topic, IEnumerable<NewRecord> records)
    {
        ArgumentNullException.ThrowIfNull(records);
        long last = -1;
        lock (_gate)
        {
            if (!_topics.TryGetValue(topic, out EmbeddedTopic? known))
            {
                throw new ArgumentException($"Topic '{topic}' does not exist.", nameof(topic));
            }

            foreach (NewRecord record in records)
            {
                int partition = record.Partition ?? (record.Key is null ? known.NextKeyless() : Murmur2.Partition(record.Key, known.Logs.Length));
                if (partition < 0 || partition >= known.Logs.Length)
                {
                    throw new ArgumentException($"Topic '{topic}' has no partition {partition}; it has {known.Logs.Length}.", nameof(records));
                }

                long timestamp = (record.Timestamp ?? _time.GetUtcNow()).ToUnixTimeMilliseconds();
                OutgoingRecord outgoing = new(timestamp, record.Key, record.Key is not null, record.Value, record.Value is not null, record.Headers ?? Headers.Empty);
                try
                {
                    last = Append(known.Logs[partition], outgoing, transaction: 0);
                }
                catch (BrokerException error)
                {
                    throw new ArgumentException(error.Message, nameof(records), error);
                }
            }

            Acknowledge();
        }

        return last;
    }

    /// <summary>Everything that a topic keeps, partition by partition, in order.</summary>
    /// <param name="topic">The topic; one that does not exist has no records.</param>
    /// <param name="readCommitted">Whether to leave out what is not committed and what was aborted; true by default.</param>
    /// <param name="from">Where to begin in each partition, by its number; null for the start. Moved to where the next call goes on.</param>
    public IReadOnlyList<EmbeddedRecord> ReadAll(string topic, bool readCommitted = true, long[]? from = null)
    {
        lock (_gate)
        {
            if (!_topics.TryGetValue(topic, out EmbeddedTopic? known))
            {
                return [];
            }

            Tend();
            List<EmbeddedRecord> records = [];
            List<LogEntry> entries = [];
            foreach (PartitionLog log in known.Logs)
            {
                entries.Clear();
                int partition = log.Partition.Partition;
                long next = log.Collect(Math.Max(log.Start, from?[partition] ?? 0), readCommitted, int.MaxValue, entries);
                if (from is not null)
                {
                    from[partition] = next;
                }

                records.AddRange(entries.Select(entry => new EmbeddedRecord(
                    partition,
                    entry.Offset,
                    DateTimeOffset.FromUnixTimeMilliseconds(entry.Timestamp),
                    entry.KeyLength < 0 ? null : entry.Key.ToArray(),
                    entry.ValueLength < 0 ? null : entry.Value.ToArray(),
                    HeaderFormat.Read(entry.EncodedHeaders))));
            }

            return records;
        }
    }

    /// <summary>Closes the broker and its folder. Instances must have ended before.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (!_closed)
            {
                _closed = true;
                _journal?.Dispose();
            }
        }
    }

    internal object Gate => _gate;

    /// <summary>For tests: called with a writer's id and call before it is carried out (false) and after (true); what it throws is the call's answer.</summary>
    internal Action<string, string, bool>? WriterFaults { get; set; }

    /// <summary>For tests: readers that are made from now on fetch ahead and pause, as Kafka's do; null (the default): they do not.</summary>
    internal EmbeddedPrefetch? Prefetch { get; set; }

    /// <summary>For tests: whether writers go on with a topic that was made anew, as Kafka's do, which know it by its name.</summary>
    internal bool WritersGoByName { get; set; }

    internal GroupCoordinator Groups => _groups;

    internal TransactionCoordinator Transactions => _transactions;

    internal override TopicDescription? DescribeTopic(string topic)
    {
        lock (_gate)
        {
            return _topics.TryGetValue(topic, out EmbeddedTopic? known) ? known.Description : null;
        }
    }

    internal override TopicDescription CreateTopic(TopicSpec topic)
    {
        lock (_gate)
        {
            if (_topics.TryGetValue(topic.Name, out EmbeddedTopic? known))
            {
                return known.Description;
            }

            EmbeddedTopic made = new(new TopicDescription(topic.Name, Guid.NewGuid(), topic.Partitions, topic.Cleanup));
            _topics.Add(topic.Name, made);
            if (_journal is not null)
            {
                JournalFormat.WriteTopic(_journal.Frame, made.Description);
                _journal.Append();
                _journal.Flush();
            }

            return made.Description;
        }
    }

    internal override void DeleteTopic(string topic)
    {
        lock (_gate)
        {
            if (!_topics.Remove(topic, out EmbeddedTopic? removed))
            {
                return;
            }

            foreach (PartitionLog log in removed.Logs)
            {
                log.IsDeleted = true;
            }

            if (_journal is not null)
            {
                JournalFormat.WriteDeleteTopic(_journal.Frame, topic);
                _journal.Append();
                _journal.Flush();
            }
        }
    }

    internal override int CountMembers(string group)
    {
        lock (_gate)
        {
            Tend();
            return _groups.CountMembers(group);
        }
    }

    internal override void DeleteGroup(string group)
    {
        lock (_gate)
        {
            Tend();
            _groups.Delete(group);
            foreach ((string Group, TopicPartition Partition) key in _offsets.Keys.Where(key => key.Group == group).ToArray())
            {
                _offsets.Remove(key);
            }

            if (_journal is not null)
            {
                JournalFormat.WriteDeleteGroup(_journal.Frame, group);
                _journal.Append();
                _journal.Flush();
            }
        }
    }

    internal override void DeleteRecords(TopicPartition partition, long beforeOffset)
    {
        lock (_gate)
        {
            PartitionLog log = Log(partition);
            if (beforeOffset > log.End)
            {
                throw new BrokerException(Consequence.Stop, $"Records of {partition} cannot be deleted: offset {beforeOffset} lies after its end, {log.End}.");
            }

            log.DeleteTo(beforeOffset);
            if (_journal is not null)
            {
                JournalFormat.WriteDelete(_journal.Frame, partition, beforeOffset);
                _journal.Append();
                _journal.Flush();
            }
        }
    }

    internal override long StartOffset(TopicPartition partition)
    {
        lock (_gate)
        {
            return Log(partition).Start;
        }
    }

    internal override long EndOffset(TopicPartition partition, bool committedOnly)
    {
        lock (_gate)
        {
            Tend();
            PartitionLog log = Log(partition);
            return committedOnly ? log.LastStable : log.End;
        }
    }

    internal override bool TryGetCommittedOffsets(string group, IReadOnlyList<TopicPartition> partitions, out long?[] offsets)
    {
        lock (_gate)
        {
            Tend();
            offsets = [.. partitions.Select(partition => _offsets.TryGetValue((group, partition), out long offset) ? offset : (long?)null)];
            return !partitions.Any(partition => _transactions.IsPending(group, partition) || _lateOffsets.Exists(late => late.Group == group && late.Partition == partition));
        }
    }

    internal override GroupMember JoinGroup(GroupOptions options)
    {
        lock (_gate)
        {
            return new EmbeddedGroupMember(this, _groups, _groups.Named(options.Group, PartitionsOf(options.Topic)), options);
        }
    }

    internal override Reader CreateReader(bool readCommitted, bool hurries = false) =>
        Prefetch is { } prefetch ? new PrefetchingReader(this, readCommitted, prefetch) : new EmbeddedReader(this, readCommitted);

    internal override TransactionalWriter CreateWriter(string transactionalId, TimeSpan transactionTimeout) =>
        new EmbeddedWriter(this, transactionalId, transactionTimeout);

    internal override OutputWriter CreateOutputWriter(TimeSpan? dropsAfter = null) => new EmbeddedOutputWriter(this);

    /// <summary>For tests: transaction ends reach a partition only when they are released, apart from the committed positions.</summary>
    internal void HoldMarkers(TopicPartition partition)
    {
        lock (_gate)
        {
            _transactions.Hold(partition);
        }
    }

    /// <summary>For tests: the transaction ends that were held reach the partition.</summary>
    internal void ReleaseMarkers(TopicPartition partition)
    {
        lock (_gate)
        {
            _transactions.Release(Log(partition));
            Acknowledge();
        }
    }

    /// <summary>For tests: the positions of transactions that are committed from now on become visible when they are released; until then they are pending.</summary>
    internal void HoldOffsets()
    {
        lock (_gate)
        {
            _holdsOffsets = true;
        }
    }

    /// <summary>For tests: the positions that were held become visible.</summary>
    internal void ReleaseOffsets()
    {
        lock (_gate)
        {
            _holdsOffsets = false;
            foreach ((string group, TopicPartition partition, long offset) in _lateOffsets)
            {
                _offsets[(group, partition)] = offset;
            }

            _lateOffsets.Clear();
        }
    }

    /// <summary>For tests: the positions of a group in a topic expire; false when there are none.</summary>
    internal bool ForgetOffsets(string group, string topic)
    {
        lock (_gate)
        {
            (string Group, TopicPartition Partition)[] known = [.. _offsets.Keys.Where(key => key.Group == group && key.Partition.Topic == topic)];
            Array.ForEach(known, key => _offsets.Remove(key));
            return known.Length > 0;
        }
    }

    /// <summary>Sets a group's position, as an administrator's tool does.</summary>
    internal void SetCommittedOffset(string group, TopicPartition partition, long offset)
    {
        lock (_gate)
        {
            CommitOffset(group, partition, offset);
            Acknowledge();
        }
    }

    /// <summary>Compacts every compacted topic now; it happens by itself when they have grown.</summary>
    internal void Compact()
    {
        lock (_gate)
        {
            foreach (PartitionLog log in _topics.Values.SelectMany(topic => topic.Logs))
            {
                log.Compact(Now, _options.DeleteRetention);
            }
        }
    }

    internal long Now => _time.GetUtcNow().ToUnixTimeMilliseconds();

    internal int PartitionsOf(string topic) => Topic(topic).Logs.Length;

    internal PartitionLog Log(TopicPartition partition)
    {
        EmbeddedTopic topic = Topic(partition.Topic);
        return partition.Partition >= 0 && partition.Partition < topic.Logs.Length
            ? topic.Logs[partition.Partition]
            : throw new BrokerException(Consequence.Stop, $"Topic '{partition.Topic}' has no partition {partition.Partition}; it has {topic.Logs.Length}.");
    }

    internal long Append(PartitionLog log, in OutgoingRecord record, long transaction)
    {
        if (log.IsDeleted)
        {
            throw new BrokerException(Consequence.Stop, $"Topic '{log.Partition.Topic}' has been deleted.");
        }

        if (log.Cleanup == TopicCleanup.Compact && !record.HasKey)
        {
            throw new BrokerException(Consequence.Stop, $"A record for {log.Partition} has no key, and the topic is compacted by keys.");
        }

        byte[] headers = HeaderFormat.Write(record.Headers);
        int size = record.Key.Length + record.Value.Length + headers.Length;
        if (size > _options.MaxRecordBytes)
        {
            throw new BrokerException(
                Consequence.Stop, $"A record of {size} bytes is too large for {log.Partition}: the broker takes {_options.MaxRecordBytes} (MaxRecordBytes). Make it smaller, or raise the limit.");
        }

        LogEntry entry = new()
        {
            Offset = log.End,
            Timestamp = record.Timestamp,
            AppendedAt = Now,
            Transaction = transaction,
            KeyLength = record.HasKey ? record.Key.Length : -1,
            ValueLength = record.HasValue ? record.Value.Length : -1,
            Kind = EntryKind.Data,
        };
        log.Append(entry, record.Key, record.Value, headers);
        if (_journal is not null)
        {
            JournalFormat.WriteEntry(_journal.Frame, log.Partition, entry, record.Key, record.Value, headers);
            _journal.Append();
        }

        return entry.Offset;
    }

    internal void AppendMarker(PartitionLog log, long transaction, bool commit)
    {
        if (log.IsDeleted)
        {
            return;
        }

        LogEntry entry = new()
        {
            Offset = log.End,
            Timestamp = Now,
            AppendedAt = Now,
            Transaction = transaction,
            KeyLength = -1,
            ValueLength = -1,
            Kind = commit ? EntryKind.Commit : EntryKind.Abort,
        };
        log.Append(entry, default, default, default);
        if (_journal is not null)
        {
            JournalFormat.WriteEntry(_journal.Frame, log.Partition, entry, default, default, default);
            _journal.Append();
        }

        if (log.WantsCompaction)
        {
            log.Compact(Now, _options.DeleteRetention);
        }
    }

    /// <summary>The outcome of a transaction: with the positions it carries, one frame, so that they stand or fall together.</summary>
    internal void Decide(long transaction, bool commit, IReadOnlyList<(string Group, TopicPartition Partition, long Offset)> positions)
    {
        if (_journal is not null)
        {
            JournalFormat.WriteDecision(_journal.Frame, transaction, commit, commit ? positions : []);
            _journal.Append();
        }

        if (commit)
        {
            foreach ((string group, TopicPartition partition, long offset) in positions)
            {
                if (_holdsOffsets || _lateOffsets.Exists(late => late.Group == group && late.Partition == partition))
                {
                    _lateOffsets.Add((group, partition, offset));
                }
                else
                {
                    _offsets[(group, partition)] = offset;
                }
            }
        }
    }

    /// <summary>What was done is on its way to disk, and whoever waits for records looks again.</summary>
    internal void Acknowledge()
    {
        foreach (EmbeddedTopic topic in _topics.Values)
        {
            foreach (PartitionLog log in topic.Logs)
            {
                log.Retain(_options.RetentionBytes);
            }
        }

        if (_journal is not null)
        {
            _journal.Flush();
            if (_journal.Length > JournalSlack + (2 * _journal.LengthRewritten)
                && _journal.Length > JournalSlack + (2 * _topics.Values.Sum(topic => topic.Logs.Sum(log => log.Bytes))))
            {
                _journal.Rewrite(append => JournalFormat.WriteAll(_journal.Frame, append, _topics.Values, _offsets, _transactions));
            }
        }

        Monitor.PulseAll(_gate);
    }

    /// <summary>What the passing of time has done: transactions and sessions that timed out.</summary>
    internal void Tend()
    {
        _transactions.Expire();
        _groups.Expire();
    }

    private void CommitOffset(string group, TopicPartition partition, long offset)
    {
        _offsets[(group, partition)] = offset;
        if (_journal is not null)
        {
            JournalFormat.WriteOffset(_journal.Frame, group, partition, offset);
            _journal.Append();
        }
    }

    private EmbeddedTopic Topic(string name) => _topics.TryGetValue(name, out EmbeddedTopic? topic)
        ? topic
        : throw new BrokerException(Consequence.Stop, $"Topic '{name}' does not exist.");
}

/// <summary>A topic of an embedded broker.</summary>
internal sealed class EmbeddedTopic(TopicDescription description)
{
    private int _next = -1;

    public TopicDescription Description { get; } = description;

    public PartitionLog[] Logs { get; } =
        [.. Enumerable.Range(0, description.Partitions).Select(partition => new PartitionLog(new(description.Name, partition), description.Cleanup))];

    public int NextKeyless() => _next = (_next + 1) % Logs.Length;
}
