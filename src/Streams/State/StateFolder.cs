using System.Globalization;

namespace KStreamSharp;

/// <summary>
/// The local folder of an application: one sub-folder per shard, a lock that one process at a time holds, and the id of the
/// instance that lives here.
/// </summary>
internal sealed class StateFolder : IDisposable
{
    public const string ShardPrefix = "shard-";

    private const string Format = "1";

    private readonly FolderLock _lock;
    private readonly string _app;

    private StateFolder(string path, string app, FolderLock @lock, string instanceId)
    {
        Path = path;
        _app = app;
        _lock = @lock;
        InstanceId = instanceId;
    }

    public string Path { get; }

    /// <summary>The id of the instance that lives in this folder.</summary>
    public string InstanceId { get; }

    /// <exception cref="StreamException">The folder is in use, belongs to something else, or cannot be written.</exception>
    public static StateFolder Open(string stateDir, string app, string? instanceId)
    {
        string path = System.IO.Path.GetFullPath(System.IO.Path.Combine(stateDir, app));
        CheckNoBroker(path, app);
        FolderLock? held = null;
        try
        {
            Directory.CreateDirectory(path);
            held = FolderLock.Take(
                path, process => $"The state folder {path} is in use by process {process}. End that process, or give this one another folder by StateDir (--state-dir).");
            CheckFormat(path);
            WriteFormat(path);
            string kept = InstanceIn(path);
            string id = instanceId ?? (kept.Length > 0 ? kept : Guid.NewGuid().ToString("N")[..12]);
            if (id != kept)
            {
                WriteLine(IdFile(path), id);
            }

            foreach (string checkpoint in Directory.EnumerateDirectories(path, "shard-*.snapshot*"))
            {
                // A copy on its way to the snapshot store when the process ended.
                Remove(checkpoint);
            }

            return new StateFolder(path, app, held, id);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            held?.Dispose();
            throw new StreamException(ExitCode.State, $"The state folder {path} cannot be used: {error.Message.TrimEnd('.')}. Give another one by StateDir (--state-dir).", error);
        }
        catch
        {
            held?.Dispose();
            throw;
        }
    }

    public string ShardPath(int shard) => ShardPath(Path, shard);

    public static string ShardPath(string path, int shard) => System.IO.Path.Combine(path, ShardPrefix + shard.ToString(CultureInfo.InvariantCulture));

    /// <exception cref="StreamException">The application's folder would be that of an embedded broker.</exception>
    public static void CheckNoBroker(string path, string app)
    {
        if (Journal.IsIn(path))
        {
            throw new StreamException(
                ExitCode.State, $"The folder {path} has an embedded broker: it cannot be the state folder of application '{app}'. Give the application another id (AppId, --app-id), or another folder by StateDir (--state-dir).");
        }
    }

    /// <summary>Whether a folder is that of an application.</summary>
    public static bool IsOne(string path) => File.Exists(FormatFile(path));

    /// <summary>Where a checkpoint of a shard is while it is uploaded.</summary>
    public string CheckpointPath(int shard) => ShardPath(shard) + ".snapshot";

    /// <summary>Where a snapshot is downloaded to before it becomes the shard's folder.</summary>
    public string IncomingPath(int shard) => ShardPath(shard) + ".incoming";

    /// <summary>Deletes a folder with all that is in it, if it is there.</summary>
    public static void Remove(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>What a shard's store must say it is; the changelog's id changes when the topic is made anew.</summary>
    public static string Identity(string app, int shard, Guid changelogId) => $"{Format}|{app}|{shard}|{changelogId:N}";

    /// <summary>Whether a store was written for another application or shard, or by a newer version; in words, or null.</summary>
    public string? WhyForeign(string identity, int shard)
    {
        string[] parts = identity.Split('|');
        if (parts.Length < 4 || parts[0] != Format)
        {
            return $"it was written by another version of the engine (format {parts[0]}; this version reads {Format})";
        }

        return parts[1] == _app && parts[2] == shard.ToString(CultureInfo.InvariantCulture)
            ? null
            : $"it belongs to shard {parts[2]} of application '{parts[1]}'";
    }

    public void Dispose() => _lock.Dispose();

    /// <exception cref="StreamException">Another version wrote the folder.</exception>
    public static void CheckFormat(string path)
    {
        string format = ReadLine(FormatFile(path));
        if (format.Length > 0 && format != Format)
        {
            throw new StreamException(
                ExitCode.State, $"The state folder {path} has format {format}; this version reads format {Format}. Run the version that wrote it, or give this one another folder by StateDir (--state-dir).");
        }
    }

    private static void WriteFormat(string path)
    {
        if (ReadLine(FormatFile(path)).Length == 0)
        {
            WriteLine(FormatFile(path), Format);
        }
    }

    /// <summary>The id of the instance that lives in a folder; empty when none has.</summary>
    public static string InstanceIn(string path) => ReadLine(IdFile(path));

    private static string IdFile(string path) => System.IO.Path.Combine(path, "instance");

    /// <summary>What a file says; nothing where there is none, or a full disk kept it from being written.</summary>
    private static string ReadLine(string file) => File.Exists(file) ? File.ReadAllText(file).Trim() : "";

    /// <summary>Writes a file beside the one that it replaces: a full disk leaves the old one, or none.</summary>
    private static void WriteLine(string file, string text)
    {
        File.WriteAllText(file + ".new", text + "\n");
        File.Move(file + ".new", file, overwrite: true);
    }

    private static string FormatFile(string path) => System.IO.Path.Combine(path, "format");
}
