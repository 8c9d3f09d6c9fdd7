using System.Globalization;

namespace KStreamSharp;

/// <summary>
/// The local state of an application as it lies on disk, for a person to look at: nothing in the folder is changed, and no
/// broker is asked. A process may be at work in it.
/// </summary>
internal sealed class StoredState
{
    private StoredState(string path, string? process, IReadOnlyList<int> shards)
    {
        Path = path;
        Process = process;
        Shards = shards;
    }

    public string Path { get; }

    /// <summary>The process that is at work in the folder; null when there is none.</summary>
    public string? Process { get; }

    /// <summary>The shards that have a folder here, ascending.</summary>
    public IReadOnlyList<int> Shards { get; }

    /// <exception cref="StreamException">There is no such folder, or it has another format.</exception>
    public static StoredState Open(string stateDir, string app)
    {
        string path = System.IO.Path.GetFullPath(System.IO.Path.Combine(stateDir, app));
        try
        {
            return OpenPath(path, stateDir);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new StreamException(ExitCode.State, $"The state folder {path} cannot be read: {error.Message.TrimEnd('.')}.", error);
        }
    }

    /// <summary>Opens a shard's folder.</summary>
    /// <exception cref="StreamException">It cannot be read.</exception>
    public StoredShard OpenShard(int shard) => StoredShard.Open(StateFolder.ShardPath(Path, shard));

    private static StoredState OpenPath(string path, string stateDir)
    {
        if (!Directory.Exists(path))
        {
            string[] others = Directory.Exists(stateDir) ? [.. Directory.EnumerateDirectories(stateDir).Where(StateFolder.IsOne).Select(other => System.IO.Path.GetFileName(other)!).Order(StringComparer.Ordinal)] : [];
            string there = others.Length == 0 ? "has no state of any application" : $"has the state of: {string.Join(", ", others)}";
            throw new StreamException(
                ExitCode.State, $"There is no state folder {path}. {System.IO.Path.GetFullPath(stateDir)} {there}. Name the folder by --state-dir and the application by --app-id.");
        }

        StateFolder.CheckFormat(path);
        return new StoredState(path, FolderLock.Holder(path), ShardsIn(path));
    }

    private static int[] ShardsIn(string path) =>
    [
        .. Directory.EnumerateDirectories(path, StateFolder.ShardPrefix + "*")
            .Select(folder => int.TryParse(System.IO.Path.GetFileName(folder)[StateFolder.ShardPrefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out int shard) ? shard : -1)
            .Where(shard => shard >= 0)
            .Order(),
    ];
}
