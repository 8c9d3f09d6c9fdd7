using System.Text;

namespace KStreamSharp;

/// <summary>
/// The changes of one shard in one commit, going two ways at once: to the changelog inside the transaction (step 1), and
/// into a batch that is applied to RocksDB after it (step 5).
/// </summary>
/// <remarks>
/// Key of a changelog record: length of the step id (1 byte), step id, key bytes. The commit marker has length 0 and
/// nothing after it. An absent value forgets the key.
/// </remarks>
internal sealed class ShardChanges(FlowPlace place, ShardStore store) : IDisposable
{
    private static readonly byte[] MarkerKey = [0];

    private readonly TopicPartition _changelog = new(place.ChangelogTopic, place.Shard);
    private readonly ByteBuffer _key = new(64);
    private long _timestamp;

    public StoreBatch Batch { get; } = store.NewBatch();

    /// <summary>The number of states written or forgotten.</summary>
    public int Count { get; private set; }

    /// <summary>The bytes of their keys and values.</summary>
    public long Bytes { get; private set; }

    public void Begin(long timestamp)
    {
        Batch.Clear();
        Count = 0;
        Bytes = 0;
        _timestamp = timestamp;
    }

    public void Put(string step, ReadOnlySpan<byte> key, ReadOnlySpan<byte> envelope)
    {
        Batch.Put(step, key, envelope);
        Append(step, key, envelope, hasValue: true);
    }

    public void Delete(string step, ReadOnlySpan<byte> key)
    {
        Batch.Delete(step, key);
        Append(step, key, default, hasValue: false);
    }

    public void PutTimer(string step, long time, ReadOnlySpan<byte> key) => Batch.PutTimer(step, time, key);

    public void DeleteTimersTo(string step, ReadOnlySpan<byte> lastHint) => Batch.DeleteTimersTo(step, lastHint);

    /// <summary>Commit, step 2: the shard's last record in the transaction.</summary>
    public void PutMarker(ReadOnlySpan<byte> marker) =>
        PutMarker(place.Append, _changelog, marker, _timestamp);

    /// <inheritdoc cref="PutMarker(ReadOnlySpan{byte})"/>
    public static void PutMarker(Append append, TopicPartition changelog, ReadOnlySpan<byte> marker, long timestamp) =>
        append(changelog, new(timestamp, MarkerKey, true, marker, true, Headers.Empty));

    public void Dispose() => Batch.Dispose();

    /// <summary>Splits the key of a changelog record; the step is null for a commit marker.</summary>
    public static string? ReadKey(ReadOnlySpan<byte> record, out ReadOnlySpan<byte> key)
    {
        int length = record[0];
        key = record[(1 + length)..];
        return length == 0 ? null : StepNames.Get(record.Slice(1, length));
    }

    private void Append(string step, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool hasValue)
    {
        Count++;
        _key.Clear();
        Span<byte> head = _key.GetSpan(1 + Encoding.UTF8.GetMaxByteCount(step.Length) + key.Length);
        int length = Encoding.UTF8.GetBytes(step, head[1..]);
        head[0] = (byte)length;
        key.CopyTo(head[(1 + length)..]);
        _key.Advance(1 + length + key.Length);
        Bytes += _key.Written.Length + value.Length;
        try
        {
            place.Append(_changelog, new(_timestamp, _key.Written, true, value, hasValue, Headers.Empty));
        }
        catch (BrokerException error) when (error.Consequence == Consequence.Stop)
        {
            throw new StreamException(
                ExitCode.UserCode,
                $"The state of key '{Encoding.UTF8.GetString(key)}' in step '{step}' ({value.Length} bytes) cannot be written to {_changelog}: {error.Message}",
                error);
        }
    }

    /// <summary>Step ids by their bytes, so that a restore makes no string per record.</summary>
    private static class StepNames
    {
        private static readonly System.Collections.Concurrent.ConcurrentDictionary<byte[], string> Names = new(KeyComparer.Instance);

        public static string Get(ReadOnlySpan<byte> name)
        {
            System.Collections.Concurrent.ConcurrentDictionary<byte[], string>.AlternateLookup<ReadOnlySpan<byte>> bySpan = Names.GetAlternateLookup<ReadOnlySpan<byte>>();
            if (!bySpan.TryGetValue(name, out string? text))
            {
                text = Encoding.UTF8.GetString(name);
                bySpan.TryAdd(name, text);
            }

            return text;
        }
    }
}
