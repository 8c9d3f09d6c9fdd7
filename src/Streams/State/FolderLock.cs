using System.Globalization;

namespace KStreamSharp;

/// <summary>Holds a folder for one process: a locked file, and beside it a file that says who holds it.</summary>
internal sealed class FolderLock : IDisposable
{
    private readonly FileStream _held;

    private FolderLock(FileStream held) => _held = held;

    /// <summary>Takes a folder that exists.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="refusal">Makes the message of a folder that a process holds, whose number is given.</param>
    /// <exception cref="StreamException">Another process, or this one, holds the folder.</exception>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public static FolderLock Take(string folder, Func<string, string> refusal)
    {
        string owner = Path.Combine(folder, "owner");
        FileStream held;
        try
        {
            held = new(Path.Combine(folder, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException error) when (IsHeld(error))
        {
            string process = File.Exists(owner) ? File.ReadAllText(owner).Trim() : "unknown";
            throw new StreamException(ExitCode.State, refusal(process), error);
        }

        try
        {
            File.WriteAllText(owner, Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n");
            return new FolderLock(held);
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    public void Dispose() => _held.Dispose();

    /// <summary>A sharing violation: of Windows, or EWOULDBLOCK of Linux (11) or macOS (35). A read-only disk is another matter.</summary>
    private static bool IsHeld(IOException error) => error.HResult is 11 or 35 or unchecked((int)0x80070020) or unchecked((int)0x80070021);
}
