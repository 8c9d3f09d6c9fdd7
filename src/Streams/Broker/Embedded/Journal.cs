using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace KStreamSharp;

/// <summary>
/// The file of an embedded broker that is kept in a folder: frames, each of its length, its CRC-32C and its payload, appended
/// in the order of what happened and replayed when the broker is opened. A torn frame at the end is cut off.
/// </summary>
/// <remarks>
/// What was flushed to the operating system survives the end of the process; every acknowledgement is flushed. Records
/// of open transactions may be lost with the process: they are aborted at the next opening anyway.
/// </remarks>
internal sealed class Journal : IDisposable
{
    private readonly string _path;
    private readonly FileStream _lock;
    private readonly MemoryStream _frame = new();
    private FileStream _file;

    private Journal(string path, FileStream @lock, FileStream file)
    {
        _path = path;
        _lock = @lock;
        _file = file;
        Frame = new BinaryWriter(_frame, Encoding.UTF8);
    }

    public BinaryWriter Frame { get; }

    public long Length => _file.Position;

    /// <exception cref="StreamException">The folder is in use or cannot be written.</exception>
    public static Journal Open(string folder, Action<BinaryReader> replay)
    {
        string path = Path.Combine(Path.GetFullPath(folder), "journal");
        try
        {
            Directory.CreateDirectory(folder);
            FileStream held = Hold(folder);
            try
            {
                File.Delete(path + ".new");
                FileStream file = new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, 1 << 16);
                long good = Replay(file, replay);
                file.SetLength(good);
                file.Position = good;
                return new Journal(path, held, file);
            }
            catch
            {
                held.Dispose();
                throw;
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new StreamException(ExitCode.State, $"The broker's folder {folder} cannot be used: {error.Message}", error);
        }
    }

    /// <summary>Appends the frame that was written to <see cref="Frame"/>.</summary>
    public void Append()
    {
        try
        {
            AppendTo(_file);
        }
        catch (IOException error)
        {
            throw new StreamException(ExitCode.State, $"The broker's journal {_path} cannot be written: {error.Message} Make room or mend the disk, then start again.", error);
        }
    }

    /// <summary>Hands everything to the operating system.</summary>
    public void Flush()
    {
        try
        {
            _file.Flush();
        }
        catch (IOException error)
        {
            throw new StreamException(ExitCode.State, $"The broker's journal {_path} cannot be written: {error.Message} Make room or mend the disk, then start again.", error);
        }
    }

    /// <summary>Replaces the journal by a new one, written aside first.</summary>
    /// <param name="write">Writes a frame to <see cref="Frame"/>, calls the action, and so on.</param>
    public void Rewrite(Action<Action> write)
    {
        FileStream aside = new(_path + ".new", FileMode.Create, FileAccess.ReadWrite, FileShare.Read, 1 << 16);
        write(() => AppendTo(aside));
        aside.Flush(flushToDisk: true);
        File.Move(_path + ".new", _path, overwrite: true);
        _file.Dispose();
        _file = aside;
    }

    public void Dispose()
    {
        _file.Dispose();
        _lock.Dispose();
    }

    private static FileStream Hold(string folder)
    {
        string owner = Path.Combine(folder, "owner");
        try
        {
            FileStream held = new(Path.Combine(folder, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            File.WriteAllText(owner, $"{Environment.ProcessId}\n");
            return held;
        }
        catch (IOException error)
        {
            string process = File.Exists(owner) ? File.ReadAllText(owner).Trim() : "unknown";
            throw new StreamException(
                ExitCode.State, $"The broker's folder {Path.GetFullPath(folder)} is in use by process {process}. End that process, or give this one another folder.", error);
        }
    }

    private static long Replay(FileStream file, Action<BinaryReader> replay)
    {
        byte[] head = new byte[8];
        long good = 0;
        while (file.ReadAtLeast(head, 8, throwOnEndOfStream: false) == 8)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(head);
            if (length <= 0 || length > file.Length - file.Position)
            {
                break;
            }

            byte[] payload = new byte[length];
            file.ReadExactly(payload);
            if (Checksum(payload) != BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(4)))
            {
                break;
            }

            replay(new BinaryReader(new MemoryStream(payload), Encoding.UTF8));
            good = file.Position;
        }

        return good;
    }

    private static uint Checksum(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        for (; data.Length >= 8; data = data[8..])
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(data));
        }

        foreach (byte rest in data)
        {
            crc = BitOperations.Crc32C(crc, rest);
        }

        return ~crc;
    }

    private void AppendTo(FileStream file)
    {
        Frame.Flush();
        ReadOnlySpan<byte> payload = _frame.GetBuffer().AsSpan(0, (int)_frame.Length);
        Span<byte> head = stackalloc byte[8];
        BinaryPrimitives.WriteInt32LittleEndian(head, payload.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(head[4..], Checksum(payload));
        file.Write(head);
        file.Write(payload);
        _frame.SetLength(0);
    }
}
