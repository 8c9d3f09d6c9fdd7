using RocksDbSharp;

namespace KStreamSharp;

/// <summary>A shard's folder lacks a file or has wrong bytes in one: it is restored from the next best source.</summary>
internal sealed class ShardDamagedException(string folder, string reason, Exception? inner = null)
    : StreamException(ExitCode.State, $"The state folder {folder} is damaged: {reason}. Mend the disk, or remove this folder: the changelog has the state.", inner)
{
    public string Folder => folder;

    /// <summary>What RocksDB said.</summary>
    public string Reason => reason;
}

/// <summary>How damage is told from other failures, and remembered in the folder itself.</summary>
internal static class ShardDamage
{
    private const string MarkName = "damaged";

    /// <summary>By the beginning of what RocksDB says, since paths follow: wrong bytes, or a file that is gone; not a full disk, a lock, or a folder that may not be written.</summary>
    public static bool IsDamage(RocksDbException error) =>
        error.Message.StartsWith("Corruption:", StringComparison.Ordinal) || error.Message.StartsWith("IO error: No such file or directory", StringComparison.Ordinal);

    public static string? ReadMark(string folder)
    {
        string path = Path.Combine(folder, MarkName);
        return File.Exists(path) ? File.ReadAllText(path).Trim() : null;
    }

    public static void Mark(string folder, string reason)
    {
        try
        {
            File.WriteAllText(Path.Combine(folder, MarkName), reason + "\n");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The damage is found again then.
        }
    }
}
