namespace KStreamSharp.Testing;

/// <content>A topic is deleted and made anew under way.</content>
internal sealed partial class SimulationRun
{
    private const int RecordsAfterward = 10;
    private const int RunningRounds = 200;
    private const int RefusalRounds = 200;
    private const int RefusalRoundMilliseconds = 800;

    /// <summary>What is gone is gone: the right answer is that all refuse, and refuse again after a restart.</summary>
    private void MakeTopicAnew(in SimulationEvent e)
    {
        string app = _simulation.Flow.Id;
        string[] kinds = [.. _sources.Order(StringComparer.Ordinal), InternalTopics.Changelog(app)];
        string topic = kinds[e.B % kinds.Length];
        TopicDescription old = _cluster.Broker.DescribeTopic(topic)!;
        bool isChangelog = topic == InternalTopics.Changelog(app);
        if (!HasBeenUsed(topic, old.Partitions, isChangelog))
        {
            // Nobody knows anything of it yet.
            return;
        }

        EndFaults();
        if (isChangelog && !TryRunAll())
        {
            return;
        }

        Count(e.Kind, isChangelog ? "the changelog" : old.Cleanup == TopicCleanup.Keep ? "a repartition topic" : "an input");
        _madeAnew = _over = true;
        bool isFilled = !isChangelog && e.C % 2 == 0;
        Count($"{SimulationEventKind.TopicMadeAnew}: {(isFilled ? "records up to the old positions" : "empty")}");
        MakeAnew(topic, old, isFilled);
        _cluster.MayEndBy = (_, error) => error.Message.Contains(topic, StringComparison.Ordinal) || IsInjected(error) || IsRefusal(error);
        _cluster.HasEndedBy = (member, error) =>
        {
            Count($"Ended: {error.Code}, a topic was made anew");
            _trace?.Invoke($"     {member.Name} ends: {error.Message}");
        };
        _cluster.Wiped = (member, shard, reason) =>
        {
            // With its changelog in place a folder may give way to a nearer source, as ever.
            if (isChangelog && !member.Damaged.Contains(shard))
            {
                throw new SimulationBreach($"shard {shard}: {member.Name} wipes its folder after '{topic}' was made anew: {reason}");
            }

            _audit.Wiped(member, shard, reason);
        };
        if (isChangelog)
        {
            // Who goes on writes to the new one.
            Enumerable.Range(e.C, RecordsAfterward).ToList().ForEach(i => _simulation.Push(new Random(i), _topics));
        }

        UntilAllRefuse(topic, "goes on");
        _cluster.GoOn();
        foreach (Cluster.Member member in _cluster.Members)
        {
            member.Stop();
            member.Open();
        }

        UntilAllRefuse(topic, "starts again");
    }

    /// <summary>All run, unless something keeps them from it; false when the run is over.</summary>
    private bool TryRunAll()
    {
        Reopen();
        for (int round = 0; round < RunningRounds && _cluster.Members.Sum(member => member.Running) < _cluster.Shards && !_over; round++)
        {
            _cluster.Round();
        }

        return !_over;
    }

    /// <summary>Deletes a topic and makes it anew.</summary>
    /// <param name="topic">The topic.</param>
    /// <param name="old">What it was.</param>
    /// <param name="isFilled">Others bring its records again, and more: then there is something at the old positions.</param>
    private void MakeAnew(string topic, TopicDescription old, bool isFilled)
    {
        TopicPartition[] partitions = [.. Enumerable.Range(0, old.Partitions).Select(partition => new TopicPartition(topic, partition))];
        long[] ends = [.. partitions.Select(partition => _cluster.Broker.EndOffset(partition, committedOnly: false))];
        ILookup<int, EmbeddedRecord> records = _cluster.Broker.ReadAll(topic)
            .Where(record => record.Key is not null).ToLookup(record => record.Partition);
        _cluster.Broker.DeleteTopic(topic);
        _cluster.Broker.CreateTopic(new TopicSpec(topic, old.Partitions, old.Cleanup));
        foreach (TopicPartition partition in partitions.Where(partition => isFilled && records.Contains(partition.Partition)))
        {
            EmbeddedRecord[] all = [.. records[partition.Partition]];
            for (long i = 0; i <= ends[partition.Partition]; i++)
            {
                EmbeddedRecord record = all[i % all.Length];
                _cluster.Broker.Produce(topic, record.Key, record.Value, record.Timestamp, record.Headers, partition.Partition);
            }
        }
    }

    private bool HasBeenUsed(string topic, int partitions, bool isChangelog)
    {
        TopicPartition[] all = [.. Enumerable.Range(0, partitions).Select(partition => new TopicPartition(topic, partition))];
        _cluster.Broker.TryGetCommittedOffsets(_simulation.Flow.Id, all, out long?[] offsets);
        return isChangelog
            ? all.Any(partition => _cluster.Broker.EndOffset(partition, committedOnly: true) > 0)
            : offsets.Any(offset => offset > 0);
    }

    private void UntilAllRefuse(string topic, string what)
    {
        for (int round = 0; round < RefusalRounds && _cluster.Members.Exists(IsAtWork); round++)
        {
            _cluster.Round(RefusalRoundMilliseconds);
        }

        if (_cluster.Members.Find(IsAtWork) is { } member)
        {
            throw new SimulationBreach($"'{topic}' was made anew, but {member.Name} {what} as if nothing had happened");
        }

        static bool IsAtWork(Cluster.Member member) => member is { IsUp: true, IsDone: false };
    }
}
