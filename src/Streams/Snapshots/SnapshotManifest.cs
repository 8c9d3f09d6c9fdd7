using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;

namespace KStreamSharp;

/// <summary>
/// What a snapshot consists of: JSON, kept beside the files it names. Its own hash is in the shard's published list, the
/// hashes of the files are in it, so nothing of a snapshot is believed unseen.
/// </summary>
internal sealed record SnapshotManifest
{
    public const int FormatNow = 1;

    public required int Format { get; init; }

    public required string App { get; init; }

    public required string Flow { get; init; }

    public required int Shard { get; init; }

    public required long OwnerEpoch { get; init; }

    /// <summary>The steps that have state in it.</summary>
    public required IReadOnlyList<string> Steps { get; init; }

    public required Guid ChangelogId { get; init; }

    public required long Position { get; init; }

    public required long BrokerTime { get; init; }

    public required IReadOnlyList<SnapshotSource> Sources { get; init; }

    public required IReadOnlyList<SnapshotFile> Files { get; init; }

    public byte[] Write() => JsonSerializer.SerializeToUtf8Bytes(this, JsonSerializerOptions.Web);

    /// <summary>Reads the manifest of an entry.</summary>
    /// <exception cref="SnapshotDamagedException">It is missing, not the one that was published, or of another format.</exception>
    /// <exception cref="IOException">The store fails.</exception>
    public static async Task<SnapshotManifest> LoadAsync(ISnapshotStore store, SnapshotPlace place, SnapshotEntry entry, CancellationToken stop)
    {
        string name = place.Manifest(entry);
        await using Stream content = await store.OpenAsync(name, stop).ConfigureAwait(false) ?? throw new SnapshotDamagedException($"{name} is missing");
        using MemoryStream copy = new();
        await content.CopyToAsync(copy, stop).ConfigureAwait(false);
        byte[] bytes = copy.ToArray();
        if (!SHA256.HashData(bytes).AsSpan().SequenceEqual(entry.ManifestHash))
        {
            throw new SnapshotDamagedException($"{name} is not what was published: its hash differs");
        }

        return Read(name, bytes);
    }

    /// <exception cref="SnapshotDamagedException">It has another format.</exception>
    private static SnapshotManifest Read(string name, byte[] bytes)
    {
        int format = 0;
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes);
            format = document.RootElement.GetProperty("format").GetInt32();
            if (format == FormatNow)
            {
                return document.RootElement.Deserialize<SnapshotManifest>(JsonSerializerOptions.Web)!;
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw new SnapshotDamagedException($"{name} is no manifest: {error.Message}");
        }

        throw new SnapshotDamagedException($"{name} has format {format}; this version reads format {FormatNow}");
    }
}

/// <summary>The next offset to read of a source.</summary>
internal sealed record SnapshotSource(string Topic, int Partition, long Position);

/// <summary>A file of the store's folder, and the object that has its bytes.</summary>
internal sealed record SnapshotFile(string Name, long Bytes, string Sha256, string Object);

/// <summary>
/// Where a shard's objects are: <c>app/changelog id/shard-N/owner epoch/…</c>. A changelog that was made anew begins a tree of its own.
/// </summary>
internal sealed record SnapshotPlace(string App, int Shard)
{
    /// <summary>The beginning of the names of every object of the shard under one changelog.</summary>
    public string Prefix(Guid changelogId) => string.Create(CultureInfo.InvariantCulture, $"{App}/{changelogId:N}/shard-{Shard}/");

    public string Manifest(SnapshotEntry entry) => string.Create(CultureInfo.InvariantCulture, $"{Prefix(entry.ChangelogId)}{entry.OwnerEpoch}/{entry.Position}.manifest");

    public string Content(Guid changelogId, long ownerEpoch, string sha256) => string.Create(CultureInfo.InvariantCulture, $"{Prefix(changelogId)}{ownerEpoch}/{sha256}");

    /// <summary>The owner epoch that wrote an object of this place; null when the name is not one of ours.</summary>
    public long? EpochOf(string name, Guid changelogId)
    {
        string prefix = Prefix(changelogId);
        int slash = name.Length > prefix.Length && name.StartsWith(prefix, StringComparison.Ordinal) ? name.IndexOf('/', prefix.Length) : -1;
        return slash > 0 && long.TryParse(name.AsSpan(prefix.Length, slash - prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long epoch) ? epoch : null;
    }
}

/// <summary>A snapshot cannot be used, and will not get better: another source is.</summary>
internal sealed class SnapshotDamagedException(string message) : Exception(message);
