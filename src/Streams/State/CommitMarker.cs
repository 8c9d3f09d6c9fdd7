using System.Collections.Frozen;
using System.Text;

namespace KStreamSharp;

/// <summary>
/// What a commit says of its shard, as the shard's last record in the transaction: who wrote it, how far every source has
/// been read, the watermark, and how far a finite run has come. Format: version (2), then the fields in order, by
/// <see cref="BinaryWriter"/>. Version 1 had no ids of topics.
/// </summary>
internal sealed record CommitMarker
{
    private const byte Version = 2;

    /// <summary>Grows by one at each takeover of the shard; never the group's generation.</summary>
    public required long OwnerEpoch { get; init; }

    public required string TransactionalId { get; init; }

    /// <summary>The next offset to read of every source of the shard.</summary>
    public required IReadOnlyDictionary<TopicPartition, long> Positions { get; init; }

    /// <summary>The ids of the topics that the positions are of. A topic without one has an unknown id: version 1 wrote the position.</summary>
    public IReadOnlyDictionary<string, Guid> TopicIds { get; init; } = FrozenDictionary<string, Guid>.Empty;

    /// <summary>The largest record timestamp seen, in milliseconds since 1970; −1 before the first record.</summary>
    public required long Watermark { get; init; }

    public required RunProgress Run { get; init; }

    public byte[] Write()
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream, Encoding.UTF8);
        writer.Write(Version);
        writer.Write(OwnerEpoch);
        writer.Write(TransactionalId);
        writer.Write(Watermark);
        writer.Write7BitEncodedInt(Positions.Count);
        Span<byte> id = stackalloc byte[16];
        foreach ((TopicPartition source, long position) in Positions.OrderBy(entry => entry.Key.Topic, StringComparer.Ordinal))
        {
            writer.Write(source.Topic);
            writer.Write7BitEncodedInt(source.Partition);
            TopicIds.GetValueOrDefault(source.Topic).TryWriteBytes(id);
            writer.Write(id);
            writer.Write7BitEncodedInt64(position);
        }

        Run.Write(writer);
        writer.Flush();
        return stream.ToArray();
    }

    /// <exception cref="StreamException">Another version wrote it.</exception>
    public static CommitMarker Read(ReadOnlySpan<byte> data)
    {
        if (data.IsEmpty || data[0] is not (1 or Version))
        {
            throw new StreamException(
                ExitCode.State,
                $"A commit marker has format {(data.IsEmpty ? 0 : data[0])}; this version reads formats 1 to {Version}. Run the version that wrote it, or a newer one.");
        }

        using BinaryReader reader = new(new MemoryStream(data.ToArray(), 1, data.Length - 1), Encoding.UTF8);
        long epoch = reader.ReadInt64();
        string transactionalId = reader.ReadString();
        long watermark = reader.ReadInt64();
        Dictionary<TopicPartition, long> positions = [];
        Dictionary<string, Guid> ids = [];
        for (int left = reader.Read7BitEncodedInt(); left > 0; left--)
        {
            TopicPartition source = new(reader.ReadString(), reader.Read7BitEncodedInt());
            if (data[0] > 1 && new Guid(reader.ReadBytes(16)) is var id && id != Guid.Empty)
            {
                ids[source.Topic] = id;
            }

            positions[source] = reader.Read7BitEncodedInt64();
        }

        return new()
        {
            OwnerEpoch = epoch,
            TransactionalId = transactionalId,
            Watermark = watermark,
            Positions = positions,
            TopicIds = ids,
            Run = RunProgress.Read(reader),
        };
    }
}

/// <summary>How far a shard has come in a finite run. Run 0 is the time before the first one.</summary>
internal sealed record RunProgress
{
    /// <summary>The number of the run; 0 before the first.</summary>
    public long Run { get; init; }

    /// <summary>Per repartition step, the upstream shards whose end has been seen.</summary>
    public IReadOnlyDictionary<string, IReadOnlySet<int>> EndsSeen { get; init; } = new Dictionary<string, IReadOnlySet<int>>();

    /// <summary>The steps whose work at the end of the input is complete.</summary>
    public IReadOnlySet<string> EndedSteps { get; init; } = new HashSet<string>();

    /// <summary>The step that is in the midst of its work at the end of the input, or null.</summary>
    public string? CursorStep { get; init; }

    /// <summary>The last key that step has handled, or null for none.</summary>
    public byte[]? CursorKey { get; init; }

    /// <summary>The shard has done its part of the run.</summary>
    public bool Done { get; init; }

    public void Write(BinaryWriter writer)
    {
        writer.Write7BitEncodedInt64(Run);
        writer.Write7BitEncodedInt(EndsSeen.Count);
        foreach ((string step, IReadOnlySet<int> shards) in EndsSeen.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            writer.Write(step);
            writer.Write7BitEncodedInt(shards.Count);
            foreach (int shard in shards.Order())
            {
                writer.Write7BitEncodedInt(shard);
            }
        }

        writer.Write7BitEncodedInt(EndedSteps.Count);
        foreach (string step in EndedSteps.Order(StringComparer.Ordinal))
        {
            writer.Write(step);
        }

        writer.Write(CursorStep ?? "");
        writer.Write7BitEncodedInt(CursorKey is null ? 0 : CursorKey.Length + 1);
        writer.Write(CursorKey ?? []);
        writer.Write(Done);
    }

    public static RunProgress Read(BinaryReader reader)
    {
        long run = reader.Read7BitEncodedInt64();
        Dictionary<string, IReadOnlySet<int>> ends = [];
        for (int left = reader.Read7BitEncodedInt(); left > 0; left--)
        {
            string step = reader.ReadString();
            HashSet<int> shards = [];
            for (int more = reader.Read7BitEncodedInt(); more > 0; more--)
            {
                shards.Add(reader.Read7BitEncodedInt());
            }

            ends[step] = shards;
        }

        HashSet<string> ended = [];
        for (int left = reader.Read7BitEncodedInt(); left > 0; left--)
        {
            ended.Add(reader.ReadString());
        }

        string cursorStep = reader.ReadString();
        int keyLength = reader.Read7BitEncodedInt();
        return new()
        {
            Run = run,
            EndsSeen = ends,
            EndedSteps = ended,
            CursorStep = cursorStep.Length == 0 ? null : cursorStep,
            CursorKey = keyLength == 0 ? null : reader.ReadBytes(keyLength - 1),
            Done = reader.ReadBoolean(),
        };
    }
}
