namespace KStreamSharp;

/// <summary>The open transaction of a worker: begun by the first record that is appended, and rebuilt when its writer is fenced.</summary>
internal sealed class Transaction(EngineParts parts, int slot) : IDisposable
{
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(10);

    /// <summary>How long a call is tried again in silence.</summary>
    private static readonly TimeSpan SayAfter = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan SayAgainAfter = TimeSpan.FromSeconds(30);

    private TransactionalWriter? _writer;
    private OutputWriter? _outputs;
    private bool _open;
    private bool _ready;

    /// <summary>
    /// Stable per worker, so that a restarted instance settles what its predecessor left open. No name has a slash, so that
    /// no two instances of any applications share an id.
    /// </summary>
    public string Id { get; } = $"{parts.App}/{parts.InstanceId}/{slot}";

    /// <summary>Whether <see cref="Ready"/> has been done; any thread may ask.</summary>
    public bool IsReady => Volatile.Read(ref _ready);

    /// <summary>The writer is made; earlier ones of its id are fenced, and what they left open is settled.</summary>
    public void Ready()
    {
        if (_writer is null)
        {
            TransactionalWriter writer = parts.Broker.CreateWriter(Id, parts.Options.TransactionTimeout);
            try
            {
                Retry(writer.Initialize);
            }
            catch
            {
                writer.Dispose();
                throw;
            }

            _writer = writer;
        }

        if (parts.Options.Guarantee == Guarantee.AtLeastOnce)
        {
            // No broker fences these. Whoever takes the shards of an instance that stood still does so when the session is over,
            // counted from its last heartbeat, a quarter of the session ago at most: what waited for longer than the rest of it is dropped.
            _outputs ??= parts.Broker.CreateOutputWriter(parts.Options.SessionTimeout * 0.75);
        }

        Volatile.Write(ref _ready, true);
    }

    public void Append(TopicPartition partition, in OutgoingRecord record)
    {
        Begin();
        _writer!.Append(partition, record);
    }

    /// <summary>With the at-least-once guarantee outputs go their own way, before the transaction.</summary>
    public void AppendOutput(TopicPartition partition, in OutgoingRecord record)
    {
        if (_outputs is null)
        {
            Append(partition, record);
            return;
        }

        _outputs.Append(partition, record);
    }

    /// <summary>Returns when the outputs that went their own way have been delivered.</summary>
    public void FlushOutputs() => _outputs?.Flush();

    public void SendOffsets(IReadOnlyList<KeyValuePair<TopicPartition, long>> positions, GroupToken token)
    {
        Begin();
        _writer!.SendOffsets(parts.App, positions, token);
    }

    /// <summary>Commits; a time-out is retried, which resumes.</summary>
    public void Commit()
    {
        Retry(_writer!.Commit);
        _open = false;
    }

    /// <summary>The offset of the last record that the last commit wrote to a partition.</summary>
    public long LastOffset(TopicPartition partition) => _writer!.LastOffset(partition);

    /// <summary>Aborts what is open. A writer that cannot abort is replaced.</summary>
    public void Abort()
    {
        if (!_open)
        {
            return;
        }

        _open = false;
        try
        {
            Retry(_writer!.Abort);
        }
        catch (BrokerException error) when (error.Consequence != Consequence.Stop)
        {
            Replace();
        }
    }

    /// <summary>A new writer under the same id: its initialization settles the last transaction, one way or the other.</summary>
    public void Replace()
    {
        _open = false;
        _writer?.Dispose();
        _writer = null;
        Ready();
    }

    public void Dispose()
    {
        _writer?.Dispose();
        _outputs?.Dispose();
    }

    private void Retry(Action call)
    {
        long began = parts.Time.GetTimestamp();
        TimeSpan sayAt = SayAfter;
        while (true)
        {
            try
            {
                call();
                return;
            }
            catch (BrokerException error) when (error.Consequence == Consequence.Retry)
            {
                Interlocked.Increment(ref parts.Counters.TransactionFailures[(int)Consequence.Retry]);

                if (parts.Time.GetElapsedTime(began) is var waited && waited >= sayAt)
                {
                    sayAt = waited + SayAgainAfter;
                    Log.TransactionWaits(parts.Logger, Id, waited.TotalSeconds, error.Message);
                }

                // The call took its own time-out; calling again resumes it. At the end of the instance the next owner settles it.
                long ending = Volatile.Read(ref parts.EndingSince);
                if (ending != 0 && parts.Time.GetElapsedTime(ending) >= EndPatience)
                {
                    throw new BrokerException(Consequence.Stop, $"The broker did not answer while the instance was ending; the next owner settles the last transaction. {error.Message}", error);
                }
            }
        }
    }

    private void Begin()
    {
        if (!_open)
        {
            parts.Reached?.Invoke("begin");
            _writer!.Begin();
            _open = true;
        }
    }
}
