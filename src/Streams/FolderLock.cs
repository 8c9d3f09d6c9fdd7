using System.Globalization;

namespace KStreamSharp;

/// <summary>Holds a folder for one process: a locked file, and beside it a file that says who holds it.</summary>
internal sealed class FolderLock : IDisposable
{
    private const string LockName = "lock";
    private const string OwnerName = "owner";

    private readonly FileStream _held;

    private FolderLock(FileStream held) => _held = held;

    /// <summary>Takes a folder that exists.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="refusal">Makes the message of a folder that a process holds, whose number is given.</param>
    /// <exception cref="StreamException">Another process, or this one, holds the folder.</exception>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public static FolderLock Take(string folder, Func<string, string> refusal)
    {
        FileStream held;
        try
        {
            held = new(Path.Combine(folder, LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException error) when (IsHeld(error))
        {
            throw new StreamException(ExitCode.State, refusal(OwnerOf(folder)), error);
        }

        try
        {
            File.WriteAllText(Path.Combine(folder, OwnerName), Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n");
            return new FolderLock(held);
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    /// <summary>The number of the process that holds a folder now, which this does not change; null when none does.</summary>
    public static string? Holder(string folder)
    {
        try
        {
            // Shared, so it is refused while the folder is held; let go at once.
            new FileStream(Path.Combine(folder, LockName), FileMode.Open, FileAccess.Read, FileShare.Read).Dispose();
            return null;
        }
        catch (IOException error) when (IsHeld(error))
        {
            return OwnerOf(folder);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public void Dispose() => _held.Dispose();

    private static string OwnerOf(string folder)
    {
        string owner = Path.Combine(folder, OwnerName);
        return File.Exists(owner) ? File.ReadAllText(owner).Trim() : "unknown";
    }

    /// <summary>A sharing violation: of Windows, or EWOULDBLOCK of Linux (11) or macOS (35). A read-only disk is another matter.</summary>
    private static bool IsHeld(IOException error) => error.HResult is 11 or 35 or unchecked((int)0x80070020) or unchecked((int)0x80070021);
}
