using System.Globalization;

namespace KStreamSharp;

/// <summary>The states of an application's shards as they are stored somewhere, for a person to look at; nothing of them is changed.</summary>
internal abstract class StoredState : IDisposable
{
    /// <summary>What it is, for people.</summary>
    public abstract string Name { get; }

    /// <summary>The process that is at work there, so that the newest may be missing; null when there is none.</summary>
    public virtual string? Process => null;

    /// <summary>The shards whose states are there, ascending.</summary>
    public abstract IReadOnlyList<int> Shards { get; }

    /// <summary>The name of the snapshot that has a shard's states; null when they are no snapshot's.</summary>
    public virtual string? SnapshotOf(int shard) => null;

    /// <summary>Opens a shard.</summary>
    /// <exception cref="StreamException">It cannot be read.</exception>
    public abstract StoredShard OpenShard(int shard);

    public virtual void Dispose()
    {
    }
}

/// <summary>The local state folder of an application as it lies on disk. No broker is asked.</summary>
internal sealed class StoredFolder : StoredState
{
    private readonly string _path;

    private StoredFolder(string path, string? process, IReadOnlyList<int> shards)
    {
        _path = path;
        Process = process;
        Shards = shards;
    }

    public override string Name => $"state folder {_path}";

    public override string? Process { get; }

    public override IReadOnlyList<int> Shards { get; }

    /// <exception cref="StreamException">There is no such folder, or it has another format.</exception>
    public static StoredFolder Open(string stateDir, string app)
    {
        string path = Path.GetFullPath(Path.Combine(stateDir, app));
        StateFolder.CheckNoBroker(path, app);
        try
        {
            return OpenPath(path, stateDir);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new StreamException(ExitCode.State, $"The state folder {path} cannot be read: {error.Message.TrimEnd('.')}.", error);
        }
    }

    public override StoredShard OpenShard(int shard) => StoredShard.Open(StateFolder.ShardPath(_path, shard));

    private static StoredFolder OpenPath(string path, string stateDir)
    {
        if (!Directory.Exists(path))
        {
            string[] others = Directory.Exists(stateDir) ? [.. Directory.EnumerateDirectories(stateDir).Where(StateFolder.IsOne).Select(other => Path.GetFileName(other)!).Order(StringComparer.Ordinal)] : [];
            string there = others.Length == 0 ? "has no state of any application" : $"has the state of: {string.Join(", ", others)}";
            throw new StreamException(
                ExitCode.State, $"There is no state folder {path}. {Path.GetFullPath(stateDir)} {there}. Name the folder by --state-dir and the application by --app-id.");
        }

        StateFolder.CheckFormat(path);
        return new StoredFolder(path, FolderLock.Holder(path), ShardsIn(path));
    }

    private static int[] ShardsIn(string path) =>
    [
        .. Directory.EnumerateDirectories(path, StateFolder.ShardPrefix + "*")
            .Select(folder => int.TryParse(Path.GetFileName(folder)[StateFolder.ShardPrefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out int shard) ? shard : -1)
            .Where(shard => shard >= 0)
            .Order(),
    ];
}
