using System.Globalization;
using System.Text;

namespace KStreamSharp;

/// <summary>
/// A published snapshot, as the shard's list in <c>&lt;app&gt;-shards</c> names it: enough to decide whether to use it, and the
/// hash of its manifest, which has the rest.
/// </summary>
internal sealed record SnapshotEntry
{
    /// <summary>The owner epoch that took it; an epoch has one writer, so two snapshots never share an object that one of them writes.</summary>
    public required long OwnerEpoch { get; init; }

    /// <summary>Where the changelog goes on after what it holds.</summary>
    public required long Position { get; init; }

    public required Guid ChangelogId { get; init; }

    /// <summary>The time of its last commit marker, in milliseconds since 1970.</summary>
    public required long BrokerTime { get; init; }

    /// <summary>When it was taken, by its instance's clock, in milliseconds since 1970.</summary>
    public required long TakenAt { get; init; }

    /// <summary>The bytes of all its files.</summary>
    public required long Bytes { get; init; }

    /// <summary>The bytes that a changelog offset of the shard had on average, to estimate what a replay moves; 0 when unknown.</summary>
    public required long BytesPerOffset { get; init; }

    /// <summary>The offset of the newest request (<see cref="SnapshotList.RequestKey"/>) that it answers; −1 for none.</summary>
    public required long Request { get; init; }

    /// <summary>The SHA-256 of the manifest.</summary>
    public required byte[] ManifestHash { get; init; }

    /// <summary>What people call it within its shard: owner epoch and position.</summary>
    public string Id => string.Create(CultureInfo.InvariantCulture, $"{OwnerEpoch}-{Position}");

    public bool Equals(SnapshotEntry? other) => other is not null && Id == other.Id && ChangelogId == other.ChangelogId;

    public override int GetHashCode() => HashCode.Combine(OwnerEpoch, Position, ChangelogId);

    public void Write(BinaryWriter writer)
    {
        writer.Write7BitEncodedInt64(OwnerEpoch);
        writer.Write7BitEncodedInt64(Position);
        writer.Write(ChangelogId.ToByteArray());
        writer.Write(BrokerTime);
        writer.Write(TakenAt);
        writer.Write7BitEncodedInt64(Bytes);
        writer.Write7BitEncodedInt64(BytesPerOffset);
        writer.Write(Request);
        writer.Write(ManifestHash);
    }

    public static SnapshotEntry Read(BinaryReader reader) => new()
    {
        OwnerEpoch = reader.Read7BitEncodedInt64(),
        Position = reader.Read7BitEncodedInt64(),
        ChangelogId = new Guid(reader.ReadBytes(16)),
        BrokerTime = reader.ReadInt64(),
        TakenAt = reader.ReadInt64(),
        Bytes = reader.Read7BitEncodedInt64(),
        BytesPerOffset = reader.Read7BitEncodedInt64(),
        Request = reader.ReadInt64(),
        ManifestHash = reader.ReadBytes(32),
    };
}

/// <summary>
/// What the shard's partition of <c>&lt;app&gt;-shards</c> says of snapshots. Key <c>snapshots</c>: the list, newest first,
/// written by the owner inside a commit, so that it is fenced like one. Keys <c>snapshot-take</c> and <c>snapshot-drop</c>:
/// what a person asks of the owner. Each value begins with the version (1).
/// </summary>
internal static class SnapshotList
{
    private const byte Version = 1;

    public static ReadOnlySpan<byte> ListKey => "snapshots"u8;

    public static ReadOnlySpan<byte> RequestKey => "snapshot-take"u8;

    public static ReadOnlySpan<byte> DropKey => "snapshot-drop"u8;

    public static byte[] Write(IReadOnlyList<SnapshotEntry> entries)
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream, Encoding.UTF8);
        writer.Write(Version);
        writer.Write7BitEncodedInt(entries.Count);
        foreach (SnapshotEntry entry in entries)
        {
            entry.Write(writer);
        }

        writer.Flush();
        return stream.ToArray();
    }

    /// <exception cref="StreamException">Another version wrote it.</exception>
    public static IReadOnlyList<SnapshotEntry> Read(ReadOnlySpan<byte> data)
    {
        using BinaryReader reader = Open(data);
        SnapshotEntry[] entries = new SnapshotEntry[reader.Read7BitEncodedInt()];
        for (int i = 0; i < entries.Length; i++)
        {
            entries[i] = SnapshotEntry.Read(reader);
        }

        return entries;
    }

    public static byte[] WriteDrop(IReadOnlyCollection<string> ids)
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream, Encoding.UTF8);
        writer.Write(Version);
        writer.Write7BitEncodedInt(ids.Count);
        foreach (string id in ids)
        {
            writer.Write(id);
        }

        writer.Flush();
        return stream.ToArray();
    }

    /// <exception cref="StreamException">Another version wrote it.</exception>
    public static IReadOnlySet<string> ReadDrop(ReadOnlySpan<byte> data)
    {
        using BinaryReader reader = Open(data);
        HashSet<string> ids = [];
        for (int left = reader.Read7BitEncodedInt(); left > 0; left--)
        {
            ids.Add(reader.ReadString());
        }

        return ids;
    }

    private static BinaryReader Open(ReadOnlySpan<byte> data)
    {
        if (data.IsEmpty || data[0] != Version)
        {
            throw new StreamException(
                ExitCode.State, $"A record of snapshots has format {(data.IsEmpty ? 0 : data[0])}; this version reads format {Version}. Run the version that wrote it, or a newer one.");
        }

        return new BinaryReader(new MemoryStream(data.ToArray(), 1, data.Length - 1), Encoding.UTF8);
    }
}
