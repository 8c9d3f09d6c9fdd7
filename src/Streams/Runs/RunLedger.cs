using System.Text;

namespace KStreamSharp;

/// <summary>
/// The finite runs of an application, as its shards topic records them: the newest run with the end of every input
/// partition (written by the owner of shard 0), and per shard the newest run it has done. Every instance reads all of it.
/// </summary>
/// <remarks>
/// Instances that end and instances that do not cannot share an application: a run is never done that has a shard of an
/// endless one. So an instance that is to end asks once, in every partition, whether there are others (record <c>mode</c>);
/// an endless one answers for each of its shards in that shard's next commit, by another record of the same key. Answers
/// that are older than the question are of instances that may be gone.
/// </remarks>
internal sealed class RunLedger(InstanceContext parts, FiniteRun own) : IDisposable
{
    private const byte Version = 1;

    private static readonly byte[] RunKey = "run"u8.ToArray();
    private static readonly byte[] DoneKey = "done"u8.ToArray();
    private static readonly byte[] ModeKey = "mode"u8.ToArray();

    private readonly long[] _done = new long[parts.ShardCount];
    private readonly long[] _loadTo = new long[parts.ShardCount];
    private readonly long[] _askedAt = [.. Enumerable.Repeat(-1L, parts.ShardCount)];
    private long[]? _answersFrom;
    private Reader? _reader;
    private Task? _opening;
    private int _opened;
    private volatile bool _isClosed;
    private volatile State _state = new(0, new Dictionary<TopicPartition, long>(), AllDone: true, IsLoaded: false);

    /// <summary>What people ask of the owners of shards, in the same topic.</summary>
    public SnapshotRequests Requests { get; } = new(parts.ShardCount);

    /// <summary>The instance works to an end.</summary>
    public bool IsForFiniteRun => own.IsWanted;

    /// <summary>What is known now; another object when something has changed.</summary>
    public State Current => _state;

    /// <summary>The answer of an endless instance beside this one, which is to end; null while there is none.</summary>
    public EndlessInstance? Beside { get; private set; }

    /// <summary>The offset of the newest question for a shard that this instance, if it is endless, has to answer; −1 when there is none.</summary>
    public long AskedAt(int shard) => own.IsWanted ? -1 : Volatile.Read(ref _askedAt[shard]);

    /// <summary>One bounded turn; true when something was read.</summary>
    public bool Step()
    {
        if (!IsOpen())
        {
            return false;
        }

        bool read = false;
        bool loaded = true;
        long run = _state.Run;
        IReadOnlyDictionary<TopicPartition, long> ends = _state.Ends;
        foreach (TopicPartition partition in Partitions())
        {
            RecordBatch? batch = _reader!.Read(partition, 1000);
            loaded &= _reader.Position(partition) >= _loadTo[partition.Partition];
            for (int i = 0; i < (batch?.Count ?? 0); i++)
            {
                RecordView record = batch![i];
                read = true;
                if (record.Key.SequenceEqual(RunKey))
                {
                    (run, ends) = ReadRun(record.Value);
                }
                else if (record.Key.SequenceEqual(DoneKey))
                {
                    _done[partition.Partition] = ReadDone(record.Value);
                }
                else if (record.Key.SequenceEqual(ModeKey))
                {
                    SeeMode(partition.Partition, record);
                }
                else
                {
                    Requests.See(partition.Partition, record);
                }
            }
        }

        if (read || loaded != _state.IsLoaded)
        {
            _state = new State(run, ends, Array.TrueForAll(_done, done => done >= run), loaded);
        }

        return read;
    }

    public void Dispose()
    {
        _isClosed = true;
        if (_opening is not null)
        {
            Task.WhenAny(_opening).Wait();
        }

        _reader?.Dispose();
    }

    /// <summary>Announces a run, inside the transaction of the owner of shard 0, which may act on the answer at once.</summary>
    public static State AppendRun(InstanceContext parts, Append append, long run)
    {
        Dictionary<TopicPartition, long> ends = parts.Topics.InputPartitions(parts.Flow)
            .ToDictionary(partition => partition, partition => parts.Broker.EndOffset(partition, committedOnly: false));
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream, Encoding.UTF8);
        writer.Write(Version);
        writer.Write(run);
        writer.Write7BitEncodedInt(ends.Count);
        foreach ((TopicPartition partition, long end) in ends)
        {
            writer.Write(partition.Topic);
            writer.Write7BitEncodedInt(partition.Partition);
            writer.Write7BitEncodedInt64(end);
        }

        writer.Flush();
        append(new(InternalTopics.Shards(parts.App), 0), new(parts.NowMilliseconds, RunKey, true, stream.ToArray(), true, Headers.Empty));
        Log.RunBegins(parts.Logger, run, ends.Count);
        return new State(run, ends, AllDone: false, IsLoaded: true);
    }

    /// <summary>Says that a shard has done a run, inside the transaction that completes it.</summary>
    public static void AppendDone(FlowPlace place, long run, long now) => AppendDone(place.Append, place.App, place.Shard, run, now);

    /// <inheritdoc cref="AppendDone(FlowPlace, long, long)"/>
    public static void AppendDone(Append append, string app, int shard, long run, long now)
    {
        Span<byte> value = stackalloc byte[9];
        value[0] = Version;
        System.Buffers.Binary.BinaryPrimitives.WriteInt64LittleEndian(value[1..], run);
        append(new(InternalTopics.Shards(app), shard), new(now, DoneKey, true, value, true, Headers.Empty));
    }

    /// <summary>Says that an endless instance has a shard, inside a transaction of its owner.</summary>
    public static void AppendEndless(FlowPlace place, string instance, long now) =>
        place.Append(new(InternalTopics.Shards(place.App), place.Shard), new(now, ModeKey, true, Mode(isEndless: true, instance), true, Headers.Empty));

    /// <summary>Asks for endless instances; null when the broker does not take it now.</summary>
    /// <returns>From which offset of each partition a record is an answer.</returns>
    private long[]? TryAsk()
    {
        try
        {
            long[] from = [.. Partitions().Select(partition => parts.Broker.EndOffset(partition, committedOnly: false))];
            byte[] value = Mode(isEndless: false, parts.InstanceId);
            using OutputWriter writer = parts.Broker.CreateOutputWriter();
            foreach (TopicPartition partition in Partitions())
            {
                writer.Append(partition, new(parts.NowMilliseconds, ModeKey, true, value, true, Headers.Empty));
            }

            writer.Flush();
            return from;
        }
        catch (BrokerException error) when (error.Consequence != Consequence.Stop)
        {
            return null;
        }
    }

    private void SeeMode(int shard, in RecordView record)
    {
        CheckVersion(record.Value);
        bool isEndless = record.Value[1] != 0;
        string instance = Encoding.UTF8.GetString(record.Value[2..]);
        if (isEndless)
        {
            if (_answersFrom is { } from && record.Offset >= from[shard] && instance != parts.InstanceId)
            {
                Beside ??= new(shard, instance);
            }
        }
        else if (shard == 0 && !own.IsWanted && record.Offset >= _loadTo[shard])
        {
            Log.FiniteBesideEndless(parts.Logger, instance);
        }

        Volatile.Write(ref _askedAt[shard], isEndless ? -1 : record.Offset);
    }

    private static byte[] Mode(bool isEndless, string instance) => [Version, (byte)(isEndless ? 1 : 0), .. Encoding.UTF8.GetBytes(instance)];

    /// <summary>
    /// Where each partition begins and ends is asked beside the membership: two questions for each of hundreds of shards, or one
    /// that is not answered, would keep it from its group for longer than the session.
    /// </summary>
    private bool IsOpen()
    {
        if (_opening is null && HasAsked)
        {
            return true;
        }

        _opening ??= parts.Beside(() =>
        {
            AskOn();
            return Task.CompletedTask;
        });
        if (!_opening.IsCompleted)
        {
            return false;
        }

        Task ended = _opening;
        _opening = null;
        ended.GetAwaiter().GetResult();
        return HasAsked;
    }

    private bool HasAsked => _opened == parts.ShardCount && (_answersFrom is not null || !own.IsWanted);

    /// <summary>Goes on with the first partition that has not been asked for. The topic may just have been made, and its broker not answer yet: later, then.</summary>
    private void AskOn()
    {
        _reader ??= parts.Broker.CreateReader(readCommitted: true);
        try
        {
            foreach (TopicPartition partition in Partitions().Skip(_opened).TakeWhile(_ => !_isClosed))
            {
                long start = parts.Broker.StartOffset(partition);

                // Read uncommitted: a commit is answered before its marker is here, and what it says counts.
                _loadTo[partition.Partition] = parts.Broker.EndOffset(partition, committedOnly: false);
                _reader.Assign(partition, start);
                _opened++;
            }

            if (own.IsWanted && !_isClosed)
            {
                _answersFrom ??= TryAsk();
            }
        }
        catch (BrokerException error) when (error.Consequence == Consequence.Retry)
        {
        }
    }

    private static (long Run, IReadOnlyDictionary<TopicPartition, long> Ends) ReadRun(ReadOnlySpan<byte> value)
    {
        CheckVersion(value);
        using BinaryReader reader = new(new MemoryStream(value.ToArray(), 1, value.Length - 1), Encoding.UTF8);
        long run = reader.ReadInt64();
        Dictionary<TopicPartition, long> ends = [];
        for (int left = reader.Read7BitEncodedInt(); left > 0; left--)
        {
            TopicPartition partition = new(reader.ReadString(), reader.Read7BitEncodedInt());
            ends[partition] = reader.Read7BitEncodedInt64();
        }

        return (run, ends);
    }

    private static long ReadDone(ReadOnlySpan<byte> value)
    {
        CheckVersion(value);
        return System.Buffers.Binary.BinaryPrimitives.ReadInt64LittleEndian(value[1..]);
    }

    private static void CheckVersion(ReadOnlySpan<byte> value)
    {
        if (value.IsEmpty || value[0] != Version)
        {
            throw new StreamException(ExitCode.State, $"A run record has format {(value.IsEmpty ? 0 : value[0])}; this version reads format {Version}. Run the version that wrote it, or a newer one.");
        }
    }

    private IEnumerable<TopicPartition> Partitions() => Enumerable.Range(0, parts.ShardCount).Select(partition => new TopicPartition(InternalTopics.Shards(parts.App), partition));

    /// <summary>An instance that does not end, and a shard of it.</summary>
    public sealed record EndlessInstance(int Shard, string Instance);

    /// <param name="Run">The newest run; 0 when there was none.</param>
    /// <param name="Ends">Where it ends in every input partition.</param>
    /// <param name="AllDone">Whether every shard has done it.</param>
    /// <param name="IsLoaded">Whether the topic has been read to the end that it had at the start; before, a run may look unfinished that is done.</param>
    public sealed record State(long Run, IReadOnlyDictionary<TopicPartition, long> Ends, bool AllDone, bool IsLoaded)
    {
        public bool InProgress => Run > 0 && !AllDone;
    }
}
