namespace KStreamSharp;

/// <summary>An open transaction, or one whose markers are on their way.</summary>
internal sealed class OpenTransaction(long id, long startedAt, TimeSpan timeout)
{
    public long Id { get; } = id;

    public long StartedAt { get; } = startedAt;

    public TimeSpan Timeout { get; } = timeout;

    /// <summary>Committed or aborted; null while it is open.</summary>
    public bool? Outcome { get; set; }

    public HashSet<PartitionLog> Logs { get; } = [];

    public List<(string Group, TopicPartition Partition, long Offset)> Positions { get; } = [];
}

/// <summary>
/// The transactions of an embedded broker. A commit is decided first, positions included, then a marker reaches each
/// partition, perhaps later. Used under the broker's lock.
/// </summary>
internal sealed class TransactionCoordinator(EmbeddedBroker broker, TimeProvider time)
{
    private readonly Dictionary<string, Identity> _identities = [];
    private readonly HashSet<TopicPartition> _held = [];
    private readonly List<(TopicPartition Partition, long Transaction, bool Commit)> _late = [];

    public long LastId { get; set; }

    /// <summary>The transactions that are decided though a partition has not seen it.</summary>
    public IEnumerable<(long Transaction, bool Commit)> Late => _late.Select(late => (late.Transaction, late.Commit)).Distinct();

    /// <summary>A new writer of an id: fences the older ones, aborts what they left open. Answers its epoch.</summary>
    public int Initialize(string id)
    {
        Expire();
        if (!_identities.TryGetValue(id, out Identity? identity))
        {
            _identities[id] = identity = new Identity();
        }

        identity.Epoch++;
        if (identity.Open is { } left)
        {
            End(identity, left, commit: false);
        }

        return identity.Epoch;
    }

    public OpenTransaction Begin(string id, int epoch, TimeSpan timeout)
    {
        Identity identity = Checked(id, epoch);
        identity.Open = new OpenTransaction(++LastId, time.GetTimestamp(), timeout);
        return identity.Open;
    }

    /// <exception cref="BrokerException">The writer is fenced, by a newer one or because its transaction timed out.</exception>
    public void Check(string id, int epoch) => Checked(id, epoch);

    /// <summary>Ends a transaction; asked again after an answer was lost, it does nothing.</summary>
    /// <exception cref="BrokerException">The writer is fenced, or the transaction has ended the other way.</exception>
    public void End(string id, int epoch, OpenTransaction transaction, bool commit)
    {
        Identity identity = Checked(id, epoch);
        if (transaction.Outcome is null)
        {
            End(identity, transaction, commit);
        }
        else if (transaction.Outcome != commit)
        {
            throw new BrokerException(Consequence.NewWriter, $"The transaction of transactional id '{id}' has ended already, the other way.");
        }
    }

    public bool IsPending(string group, TopicPartition partition) =>
        _identities.Values.Any(identity => identity.Open is { } open && open.Positions.Exists(position => position.Group == group && position.Partition == partition));

    /// <summary>Aborts transactions that are open for longer than their time-out, and fences their writers.</summary>
    public void Expire()
    {
        foreach (Identity identity in _identities.Values)
        {
            if (identity.Open is { } open && time.GetElapsedTime(open.StartedAt) >= open.Timeout)
            {
                identity.Epoch++;
                End(identity, open, commit: false);
            }
        }
    }

    public void Hold(TopicPartition partition) => _held.Add(partition);

    public void Release(PartitionLog log)
    {
        _held.Remove(log.Partition);
        foreach ((TopicPartition partition, long transaction, bool commit) in _late.Where(late => late.Partition == log.Partition).ToArray())
        {
            broker.AppendMarker(log, transaction, commit);
            _late.Remove((partition, transaction, commit));
        }
    }

    /// <summary>Ends a transaction on every partition that has not seen its end.</summary>
    public void WriteMarkers(long transaction, bool commit, IEnumerable<PartitionLog> logs)
    {
        foreach (PartitionLog log in logs.Where(log => log.Open.Contains(transaction)).OrderBy(log => log.Partition.Topic, StringComparer.Ordinal).ThenBy(log => log.Partition.Partition))
        {
            if (_held.Contains(log.Partition))
            {
                _late.Add((log.Partition, transaction, commit));
            }
            else
            {
                broker.AppendMarker(log, transaction, commit);
            }
        }
    }

    private void End(Identity identity, OpenTransaction transaction, bool commit)
    {
        identity.Open = null;
        transaction.Outcome = commit;
        broker.Decide(transaction.Id, commit, transaction.Positions);
        WriteMarkers(transaction.Id, commit, transaction.Logs);
        broker.Acknowledge();
    }

    private Identity Checked(string id, int epoch)
    {
        Expire();
        return _identities.TryGetValue(id, out Identity? identity) && identity.Epoch == epoch
            ? identity
            : throw new BrokerException(
                Consequence.NewWriter, $"The writer of transactional id '{id}' is fenced: a newer one was initialized, or its transaction timed out.")
            {
                IsFenced = true,
            };
    }

    private sealed class Identity
    {
        public int Epoch { get; set; }

        public OpenTransaction? Open { get; set; }
    }
}
