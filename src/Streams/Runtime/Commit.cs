namespace KStreamSharp;

/// <summary>
/// The commit of a worker, in numbered steps:
/// <list type="number">
/// <item>Between two records (at least once: and after the outputs have been delivered): each touched logic is asked for its state, which goes to the changelog.</item>
/// <item>Per touched shard, as its last record: the commit marker.</item>
/// <item>Take the group's token and refuse one that is no member's; <em>then</em> check the ownership number of every touched
/// shard; then send the positions of every touched shard, also those that did not move. In this order: an old token is
/// refused by the broker, and a new one can only exist after the numbers were voided.</item>
/// <item>Commit the transaction. A time-out is retried, which resumes.</item>
/// <item>Apply to RocksDB: one batch per shard with states, timer hints and the changelog position.</item>
/// <item>The next transaction begins with its first record.</item>
/// </list>
/// </summary>
/// <remarks>
/// A crash before 4: nothing is visible, RocksDB is at the commit before. Between 4 and 5: the changelog's tail is replayed.
/// Steps 1 to 3 fail: abort, forget, go back. Step 4 in doubt: a new writer settles it, then every shard of the transaction
/// is taken over again. Step 5 fails: the shard is taken over again.
/// </remarks>
internal class Commit(EngineParts parts, Membership membership, Transaction transaction)
{
    private long _now;

    /// <summary>Before step 1, at least once only, and waiting for the broker: outputs first, so that no position moves past one that was not delivered.</summary>
    /// <exception cref="BrokerException">One was not delivered.</exception>
    public void Deliver() => transaction.FlushOutputs();

    /// <summary>Steps 1 and 2, which run code of the steps; the transaction stays open.</summary>
    /// <param name="touched">Every shard with work in the open transaction.</param>
    /// <exception cref="BrokerException">The commit failed; the consequence says what to do.</exception>
    public void Write(Shard[] touched)
    {
        _now = parts.NowMilliseconds;
        parts.Reached?.Invoke("commit.0");

        // 1 and 2
        foreach (Shard shard in touched)
        {
            shard.Write(_now);
            parts.Reached?.Invoke("commit.2");
        }
    }

    /// <summary>Steps 3 to 6, which wait for the broker and for RocksDB; throws with the transaction still open.</summary>
    /// <param name="touched">Every shard with work in the open transaction.</param>
    /// <param name="takeOverAgain">What to do with a shard whose committed changes cannot be applied.</param>
    /// <exception cref="BrokerException">The commit failed; the consequence says what to do.</exception>
    public virtual void Complete(Shard[] touched, Action<Shard> takeOverAgain)
    {
        SendPositions(touched);
        End();
        Apply(touched, shard => transaction.LastOffset(shard.Changelog) + 1, takeOverAgain);
        Count();
    }

    /// <summary>Step 3.</summary>
    protected void SendPositions(Shard[] touched)
    {
        GroupToken token = membership.Token;
        if (!token.IsMember)
        {
            throw new BrokerException(Consequence.LostMembership, "this instance is no member of its group now");
        }

        CheckOwnership(touched);
        if (Array.Exists(touched, shard => !shard.Claimed))
        {
            parts.Topics.CheckSame(parts.Broker, InternalTopics.Changelog(parts.App));
        }

        Send(Positions(touched), token);
        parts.Reached?.Invoke("commit.3");
    }

    protected virtual void CheckOwnership(Shard[] touched)
    {
        foreach (Shard shard in touched)
        {
            if (!parts.Ownership.IsValid(shard.Id, shard.Number))
            {
                throw new BrokerException(Consequence.LostMembership, $"shard {shard.Id} is no longer this instance's");
            }
        }
    }

    /// <summary>Of every source of every touched shard, moved or not.</summary>
    protected virtual IReadOnlyList<KeyValuePair<TopicPartition, long>> Positions(Shard[] touched) =>
        [.. touched.SelectMany(shard => shard.Sources, (_, source) => KeyValuePair.Create(source.Partition, source.Position))];

    protected virtual void Send(IReadOnlyList<KeyValuePair<TopicPartition, long>> positions, GroupToken token) =>
        transaction.SendOffsets(positions, token);

    /// <summary>Step 4.</summary>
    protected void End()
    {
        transaction.Commit();
        parts.Reached?.Invoke("commit.4");
    }

    /// <summary>Step 5.</summary>
    protected void Apply(Shard[] touched, Func<Shard, long> changelogPosition, Action<Shard> takeOverAgain)
    {
        foreach (Shard shard in touched)
        {
            bool claim = !shard.Claimed;
            try
            {
                shard.Apply(changelogPosition(shard), _now);
            }
            catch (StreamException error)
            {
                Log.ApplyFailed(parts.Logger, shard.Id, error.Message);
                takeOverAgain(shard);
            }

            parts.Reached?.Invoke(claim ? "takeover.5" : "commit.5");
        }
    }

    /// <summary>Step 6 needs nothing more than that.</summary>
    protected void Count()
    {
        Interlocked.Increment(ref parts.Counters.Commits);
        Volatile.Write(ref parts.Counters.LastCommitAt, parts.Time.GetTimestamp());
        parts.Reached?.Invoke("commit.6");
    }
}
