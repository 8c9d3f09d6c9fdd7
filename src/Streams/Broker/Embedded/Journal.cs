using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace KStreamSharp;

/// <summary>
/// The file of an embedded broker that is kept in a folder: a head, then frames, each of its length, its CRC-32C and its payload,
/// appended in the order of what happened and replayed when the broker is opened. A torn frame at the end is cut off; damage
/// with good frames behind it is refused, since cutting there would lose what was acknowledged.
/// </summary>
/// <remarks>
/// Every acknowledgement is handed to the operating system, so it survives the end of the process, also by kill -9. It is
/// not synced to the disk: the loss of power may cost the last seconds, or leave a journal that is refused. Records of open
/// transactions may be lost with the process: they are aborted at the next opening anyway.
/// </remarks>
internal sealed class Journal : IDisposable
{
    private const string FileName = "journal";

    private const int Version = 1;
    private const int HeadLength = 12;
    private const int SearchLength = 64 << 20;

    private readonly string _path;
    private readonly FolderLock _lock;
    private readonly MemoryStream _frame = new();
    private FileStream _file;
    private StreamException? _failure;

    private Journal(string path, FolderLock @lock, FileStream file)
    {
        _path = path;
        _lock = @lock;
        _file = file;
        Frame = new BinaryWriter(_frame, Encoding.UTF8);
    }

    private static ReadOnlySpan<byte> Magic => "KSSBROKR"u8;

    public BinaryWriter Frame { get; }

    public long Length => _file.Position;

    /// <summary>The length after the last <see cref="Rewrite"/>; 0 before the first.</summary>
    public long LengthRewritten { get; private set; }

    /// <exception cref="StreamException">The folder is in use or cannot be written, or the journal is damaged, foreign or newer.</exception>
    public static Journal Open(string folder, Action<BinaryReader> replay)
    {
        string path = Path.Combine(Path.GetFullPath(folder), FileName);
        FolderLock? held = null;
        FileStream? file = null;
        try
        {
            Directory.CreateDirectory(folder);
            held = FolderLock.Take(
                folder, process => $"The broker's folder {Path.GetFullPath(folder)} is in use by process {process}. End that process, or give this one another folder (--state-dir).");
            File.Delete(path + ".new");
            file = new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, 1 << 16);
            long good = file.Length < HeadLength ? Begin(file) : Replay(file, path, replay);
            file.SetLength(good);
            file.Position = good;
            return new Journal(path, held, file);
        }
        catch (Exception error)
        {
            file?.Dispose();
            held?.Dispose();
            if (error is IOException or UnauthorizedAccessException)
            {
                throw new StreamException(
                    ExitCode.State, $"The broker's folder {Path.GetFullPath(folder)} cannot be used: {error.Message.TrimEnd('.')}. Mend that, or give another folder.", error);
            }

            throw;
        }
    }

    /// <summary>Whether a folder has a journal.</summary>
    public static bool IsIn(string folder) => File.Exists(Path.Combine(folder, FileName));

    /// <summary>Appends the frame that was written to <see cref="Frame"/>.</summary>
    public void Append() => Attempt(static journal => journal.AppendTo(journal._file));

    /// <summary>Hands everything to the operating system.</summary>
    public void Flush() => Attempt(static journal => journal._file.Flush());

    /// <summary>Replaces the journal by a new one, written aside first.</summary>
    /// <param name="write">Writes a frame to <see cref="Frame"/>, calls the action, and so on.</param>
    public void Rewrite(Action<Action> write) => Attempt(_ =>
    {
        using (FileStream aside = new(_path + ".new", FileMode.Create, FileAccess.ReadWrite, FileShare.Read, 1 << 16))
        {
            Begin(aside);
            write(() => AppendTo(aside));
            aside.Flush(flushToDisk: true);
        }

        _file.Dispose();
        File.Move(_path + ".new", _path, overwrite: true);
        _file = new(_path, FileMode.Open, FileAccess.ReadWrite, FileShare.Read, 1 << 16);
        LengthRewritten = _file.Seek(0, SeekOrigin.End);
    });

    public void Dispose()
    {
        try
        {
            _file.Dispose();
        }
        catch (IOException) when (_failure is not null)
        {
            // What is still in the buffer was never acknowledged; the failure has been told.
        }
        finally
        {
            _lock.Dispose();
        }
    }

    /// <summary>After a failure nothing more is written: what lies behind a torn frame would be lost at the next opening.</summary>
    private void Attempt(Action<Journal> write)
    {
        if (_failure is not null)
        {
            throw new StreamException(_failure.Code, _failure.Message, _failure);
        }

        try
        {
            write(this);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            _failure = new StreamException(
                ExitCode.State, $"The broker's journal {_path} cannot be written: {error.Message.TrimEnd('.')}. Make room or mend the disk, then start again.", error);
            throw _failure;
        }
    }

    /// <summary>The head of a new journal. A shorter file is one whose making was cut short.</summary>
    private static long Begin(FileStream file)
    {
        Span<byte> head = stackalloc byte[HeadLength];
        Magic.CopyTo(head);
        BinaryPrimitives.WriteInt32LittleEndian(head[Magic.Length..], Version);
        file.Position = 0;
        file.Write(head);
        return HeadLength;
    }

    /// <summary>Replays the frames; answers where the good ones end.</summary>
    private static long Replay(FileStream file, string path, Action<BinaryReader> replay)
    {
        byte[] head = new byte[HeadLength];
        file.ReadExactly(head);
        if (!head.AsSpan(0, Magic.Length).SequenceEqual(Magic))
        {
            throw new StreamException(ExitCode.State, $"{path} is not the journal of an embedded broker, or its first bytes are damaged. {Remedy}");
        }

        int version = BinaryPrimitives.ReadInt32LittleEndian(head.AsSpan(Magic.Length));
        if (version != Version)
        {
            throw new StreamException(
                ExitCode.State, $"The broker's journal {path} has format {version}, this version of the engine knows {Version}. Run the version that wrote it, or give this one another folder.");
        }

        long good = HeadLength;
        while (file.ReadAtLeast(head.AsSpan(0, 8), 8, throwOnEndOfStream: false) == 8)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(head);
            if (length <= 0 || length > file.Length - file.Position)
            {
                break;
            }

            byte[] payload = new byte[length];
            file.ReadExactly(payload);
            if (Checksum(good, payload) != BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(4)))
            {
                break;
            }

            replay(new BinaryReader(new MemoryStream(payload), Encoding.UTF8));
            good = file.Position;
        }

        if (good < file.Length && HasFrameBehind(file, good))
        {
            throw new StreamException(
                ExitCode.State, $"The broker's journal {path} is damaged at byte {good}, with good records behind it. {Remedy}");
        }

        return good;
    }

    private static string Remedy => "Bring back a copy of the folder, or give another folder to begin anew without its topics and positions.";

    /// <summary>Whether a frame begins anywhere behind a bad one: its checksum covers where it lies, so a copy inside of a record does not count.</summary>
    private static bool HasFrameBehind(FileStream file, long bad)
    {
        byte[] rest = new byte[Math.Min(file.Length - bad, SearchLength)];
        file.Position = bad;
        file.ReadExactly(rest);
        for (int i = 1; i + 8 < rest.Length; i++)
        {
            ReadOnlySpan<byte> frame = rest.AsSpan(i);
            int length = BinaryPrimitives.ReadInt32LittleEndian(frame);
            if (length > 0
                && length <= frame.Length - 8
                && JournalFormat.IsKind(frame[8])
                && Checksum(bad + i, frame.Slice(8, length)) == BinaryPrimitives.ReadUInt32LittleEndian(frame[4..]))
            {
                return true;
            }
        }

        return false;
    }

    private static uint Checksum(long position, ReadOnlySpan<byte> data)
    {
        uint crc = BitOperations.Crc32C(uint.MaxValue, (ulong)position);
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
        BinaryPrimitives.WriteUInt32LittleEndian(head[4..], Checksum(file.Position, payload));
        file.Write(head);
        file.Write(payload);
        _frame.SetLength(0);
    }
}
