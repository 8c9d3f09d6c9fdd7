using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace KStreamSharp;

/// <summary>
/// A snapshot store in a folder, which may be a mounted volume that several machines share: an object is a file under its name.
/// The folder must exist; the store never makes it, so that a volume which is not mounted is noticed.
/// </summary>
/// <remarks>
/// An object is written to a file beside it, forced to disk, and renamed; so it is there whole or not at all, also after a
/// power failure. What a process leaves that ends while it writes, a file with <c>~</c> in its name, is no object; it is
/// removed when its folder is listed after a day. Files and folders with other names than objects can have are left alone.
/// Calls may block on the disk.
/// </remarks>
public sealed partial class FolderSnapshotStore : ISnapshotStore
{
    /// <summary>Between an object's name and the number of an attempt to write it; no object's name has it.</summary>
    private const char Aside = '~';

    private const int AttemptsMax = 10;
    private const int BufferBytes = 1 << 17;

    /// <summary>Longer than any write pauses, and than clocks and time zones of machines that share a volume differ.</summary>
    private static readonly TimeSpan LeftoverAge = TimeSpan.FromDays(1);

    private static readonly EnumerationOptions Everything = new() { AttributesToSkip = 0, IgnoreInaccessible = false };

    private readonly string _folder;

    /// <summary>A store in a folder.</summary>
    /// <param name="folder">The folder, which exists when the store is used. A relative one is relative to the current folder of now.</param>
    /// <exception cref="ArgumentException">The folder is empty.</exception>
    public FolderSnapshotStore(string folder)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);
        _folder = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
    }

    /// <inheritdoc/>
    public async Task PutAsync(string name, Stream content, CancellationToken stop)
    {
        SnapshotName.Check(name);
        ArgumentNullException.ThrowIfNull(content);
        try
        {
            RequireFolder();
            long start = content.Position;
            for (int attempt = 1; !await TryPut(PathOf(name), content, isLast: attempt == AttemptsMax, stop); attempt++)
            {
                content.Position = start;
            }
        }
        catch (Exception error) when (IsOfTheDisk(error))
        {
            throw Failure($"'{name}' cannot be written", error);
        }
    }

    /// <inheritdoc/>
    public Task<Stream?> OpenAsync(string name, CancellationToken stop)
    {
        SnapshotName.Check(name);
        return Attempt<Stream?>($"'{name}' cannot be read", stop, () =>
        {
            RequireFolder();
            try
            {
                return new FileStream(
                    PathOf(name), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, BufferBytes, FileOptions.Asynchronous | FileOptions.SequentialScan);
            }
            catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
            {
                return null;
            }
        });
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<SnapshotObject>> ListAsync(string prefix, CancellationToken stop)
    {
        SnapshotName.CheckPrefix(prefix);
        return Attempt<IReadOnlyList<SnapshotObject>>($"the objects '{prefix}*' cannot be listed", stop, () =>
        {
            RequireFolder();
            List<SnapshotObject> found = [];
            Collect(prefix[..(prefix.LastIndexOf('/') + 1)], prefix, found, stop);
            found.Sort((one, other) => string.CompareOrdinal(one.Name, other.Name));
            return found;
        });
    }

    /// <inheritdoc/>
    public Task DeleteAsync(string name, CancellationToken stop)
    {
        SnapshotName.Check(name);
        return Attempt($"'{name}' cannot be deleted", stop, () =>
        {
            RequireFolder();
            try
            {
                File.Delete(PathOf(name));
            }
            catch (DirectoryNotFoundException)
            {
                return false;
            }

            RemoveEmptyFolders(PathOf(name));
            return true;
        });
    }

    /// <summary>False when the folder was removed, or the file taken for a leftover, under the writer's hands: another attempt makes both again.</summary>
    private async Task<bool> TryPut(string path, Stream content, bool isLast, CancellationToken stop)
    {
        string aside = $"{path}{Aside}{Guid.NewGuid():N}";
        try
        {
            MakeFolder(Path.GetDirectoryName(path)!);
            await using (FileStream file = new(aside, FileMode.CreateNew, FileAccess.Write, FileShare.Read | FileShare.Delete, bufferSize: 0, FileOptions.Asynchronous))
            {
                await content.CopyToAsync(file, BufferBytes, stop);
                file.Flush(flushToDisk: true);
            }

            File.Move(aside, path, overwrite: true);
        }
        catch (Exception error)
        {
            RemoveLeftover(aside);
            RemoveEmptyFolders(path);
            if (error is FileNotFoundException or DirectoryNotFoundException && !isLast)
            {
                return false;
            }

            throw;
        }

        FlushFolders(path);
        return true;
    }

    /// <exception cref="DirectoryNotFoundException">It was removed while it was made: the runtime says then that it exists already.</exception>
    private static void MakeFolder(string folder)
    {
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (IOException error) when (error is not DirectoryNotFoundException && !File.Exists(folder))
        {
            throw new DirectoryNotFoundException(error.Message, error);
        }
    }

    /// <summary>Adds the objects of a folder and of those below it.</summary>
    private void Collect(string within, string prefix, List<SnapshotObject> found, CancellationToken stop)
    {
        foreach (FileSystemInfo entry in EntriesOf(PathOf(within), stop))
        {
            string name = within + entry.Name;
            if (!name.StartsWith(prefix, StringComparison.Ordinal) || !SnapshotName.IsValid(name))
            {
                continue;
            }

            if (entry is DirectoryInfo)
            {
                Collect(name + "/", prefix, found, stop);
                continue;
            }

            entry.Refresh();
            if (entry.Exists)
            {
                found.Add(new SnapshotObject(name, ((FileInfo)entry).Length));
            }
        }
    }

    /// <summary>
    /// What is in a folder; nothing in one that was never there, or was removed with its last object. Some file systems (tmpfs)
    /// pass over a file that is replaced while they read the folder: so it is read again until that brings nothing new.
    /// </summary>
    private static ICollection<FileSystemInfo> EntriesOf(string folder, CancellationToken stop)
    {
        Dictionary<string, FileSystemInfo> entries = new(StringComparer.Ordinal);
        bool isNew;
        do
        {
            stop.ThrowIfCancellationRequested();
            isNew = false;
            try
            {
                foreach (FileSystemInfo entry in new DirectoryInfo(folder).EnumerateFileSystemInfos("*", Everything))
                {
                    if (entry is FileInfo aside && entry.Name.Contains(Aside))
                    {
                        ClearLeftover(aside);
                    }
                    else
                    {
                        isNew |= entries.TryAdd(entry.Name, entry);
                    }
                }
            }
            catch (DirectoryNotFoundException)
            {
            }
        }
        while (isNew);
        return entries.Values;
    }

    /// <summary>A writer that is alive has just written to its file, and would only write it again.</summary>
    private static void ClearLeftover(FileInfo aside)
    {
        // A file's time is the machine's, whatever clock the engine goes by.
        if (aside.LastWriteTimeUtc < TimeProvider.System.GetUtcNow().UtcDateTime - LeftoverAge)
        {
            RemoveLeftover(aside.FullName);
        }
    }

    private static void RemoveLeftover(string aside)
    {
        try
        {
            File.Delete(aside);
        }
        catch (Exception error) when (IsOfTheDisk(error))
        {
            // It is in nobody's way; another list will try again.
        }
    }

    /// <summary>The system refuses to remove a folder that has something in it; a writer that misses one makes it again.</summary>
    private void RemoveEmptyFolders(string path)
    {
        try
        {
            for (string folder = Path.GetDirectoryName(path)!; folder.Length > _folder.Length; folder = Path.GetDirectoryName(folder)!)
            {
                Directory.Delete(folder);
            }
        }
        catch (Exception error) when (IsOfTheDisk(error))
        {
            // Not empty, or removed by another.
        }
    }

    /// <summary>Forces to disk that the file is in its folder, its folder in the next, and so on.</summary>
    private void FlushFolders(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            // There the journal of the file system does it, and folders cannot be flushed.
            return;
        }

        string folder = path;
        do
        {
            folder = Path.GetDirectoryName(folder)!;
            using SafeFileHandle handle = OpenFolder(folder, flags: 0);
            string error = Marshal.GetLastPInvokeErrorMessage();
            if (!handle.IsInvalid)
            {
                RandomAccess.FlushToDisk(handle);
            }
            else if (Directory.Exists(folder))
            {
                throw new IOException($"{folder}: {error}");
            }
        }
        while (folder.Length > _folder.Length);
    }

    /// <summary>FileStream refuses folders.</summary>
    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle OpenFolder(string path, int flags);

    private void RequireFolder()
    {
        if (!Directory.Exists(_folder))
        {
            throw new DirectoryNotFoundException("there is no such folder. Create it, or mount its volume");
        }
    }

    private string PathOf(string name) => Path.Join(_folder, name);

    private Task<T> Attempt<T>(string failure, CancellationToken stop, Func<T> call)
    {
        if (stop.IsCancellationRequested)
        {
            return Task.FromCanceled<T>(stop);
        }

        try
        {
            return Task.FromResult(call());
        }
        catch (OperationCanceledException)
        {
            return Task.FromCanceled<T>(stop);
        }
        catch (Exception error) when (IsOfTheDisk(error))
        {
            return Task.FromException<T>(Failure(failure, error));
        }
    }

    private static bool IsOfTheDisk(Exception error) => error is IOException or UnauthorizedAccessException;

    private IOException Failure(string what, Exception error) => new($"Snapshot store in the folder {_folder}: {what}: {error.Message.TrimEnd('.')}.", error);
}
