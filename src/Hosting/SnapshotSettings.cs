namespace KStreamSharp.Hosting;

/// <summary>Snapshots as the settings of a host name them; null for the default of <see cref="SnapshotOptions"/>.</summary>
internal sealed record SnapshotSettings
{
    /// <summary>A folder, or a URI of a kind that the host knows; null for no snapshots.</summary>
    public string? Store { get; init; }

    public bool Required { get; init; }

    public TimeSpan? Interval { get; init; }

    public long? ChangelogBytesMax { get; init; }

    public int? Kept { get; init; }

    public TimeSpan? EndTimeout { get; init; }

    public long? BytesPerSecondMax { get; init; }

    /// <summary>The options of the engine; null when no store is named.</summary>
    /// <param name="stores">The stores that the host knows, by the scheme of their URIs.</param>
    /// <exception cref="UsageException">The store or a value cannot be used.</exception>
    public SnapshotOptions? Open(IReadOnlyDictionary<string, Func<Uri, ISnapshotStore>> stores)
    {
        if (Store is null)
        {
            return null;
        }

        SnapshotOptions options = new() { Store = OpenStore(Store, stores), BytesPerSecondMax = BytesPerSecondMax, Required = Required };
        return options with
        {
            Interval = Interval ?? options.Interval,
            ChangelogBytesMax = ChangelogBytesMax ?? options.ChangelogBytesMax,
            Kept = Kept ?? options.Kept,
            EndTimeout = EndTimeout ?? options.EndTimeout,
        };
    }

    private static ISnapshotStore OpenStore(string text, IReadOnlyDictionary<string, Func<Uri, ISnapshotStore>> stores)
    {
        int colon = text.IndexOf("://", StringComparison.Ordinal);
        if (colon < 0)
        {
            return new FolderSnapshotStore(text);
        }

        if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? uri) || !stores.TryGetValue(uri.Scheme, out Func<Uri, ISnapshotStore>? open))
        {
            // Not the text itself: it may have a password in it.
            throw new UsageException(
                $"This host knows no snapshot store '{text[..colon]}://'. There are: a folder{string.Concat(stores.Keys.Order(StringComparer.Ordinal).Select(scheme => $", {scheme}://"))}.");
        }

        try
        {
            return open(uri);
        }
        catch (ArgumentException error)
        {
            throw new UsageException($"The snapshot store '{text[..colon]}://' cannot be used: {error.Message}", error);
        }
    }
}
