using System.Buffers.Binary;
using System.IO.Compression;

namespace KStreamSharp.Flows;

/// <summary>
/// What is in a gzip file, member by member. Each member's checksum and length are compared: <see cref="GZipStream"/> takes a
/// file that is cut off between two blocks for a whole one.
/// </summary>
internal sealed class GzipMembers(InputBytes source) : ReadOnlyStream
{
    private readonly System.IO.Hashing.Crc32 _checksum = new();

    private DeflateStream? _member;
    private long _memberStart;
    private uint _length;

    /// <exception cref="InvalidDataException">The file is cut off or damaged; the message names the byte.</exception>
    public override int Read(Span<byte> buffer)
    {
        while (true)
        {
            if (_member is null && !BeginMember())
            {
                return 0;
            }

            int count = Inflate(buffer);
            if (count > 0)
            {
                _checksum.Append(buffer[..count]);
                _length += (uint)count;
                return count;
            }

            EndMember();
        }
    }

    protected override void Dispose(bool disposing)
    {
        _member?.Dispose();
        source.Dispose();
        base.Dispose(disposing);
    }

    private int Inflate(Span<byte> buffer)
    {
        try
        {
            return _member!.Read(buffer);
        }
        catch (InvalidDataException error)
        {
            throw source.HasEnded ? CutOff() : new InvalidDataException($"the gzip file is damaged near byte {source.Position}", error);
        }
    }

    /// <summary>Goes past the header of the next member; false when there is none. Zeros behind the last one are padding.</summary>
    private bool BeginMember()
    {
        _memberStart = source.Position;
        int first = source.ReadByte();
        for (; first == 0 && _memberStart > 0; first = source.ReadByte())
        {
        }

        if (first < 0)
        {
            return false;
        }

        if (first != 0x1f || Next() != 0x8b || Next() != 8)
        {
            throw new InvalidDataException($"the gzip file is damaged at byte {_memberStart}: no member begins there");
        }

        int flags = Next();
        Skip(6);
        if ((flags & 4) != 0)
        {
            Skip(Next() | (Next() << 8));
        }

        for (int text = 8; text <= 16; text *= 2)
        {
            while ((flags & text) != 0 && Next() != 0)
            {
            }
        }

        Skip((flags & 2) != 0 ? 2 : 0);
        _checksum.Reset();
        _length = 0;
        _member = new DeflateStream(source, CompressionMode.Decompress, leaveOpen: true);
        return true;
    }

    /// <summary>
    /// The inflater does not say where it ended, but it ended in the last piece that it asked for: there, or just behind, the
    /// checksum and the length must stand.
    /// </summary>
    private void EndMember()
    {
        if (source.HasEnded)
        {
            throw CutOff();
        }

        _member!.Dispose();
        _member = null;
        Span<byte> trailer = stackalloc byte[8];
        BinaryPrimitives.WriteUInt32LittleEndian(trailer, _checksum.GetCurrentHashAsUInt32());
        BinaryPrimitives.WriteUInt32LittleEndian(trailer[4..], _length);
        if (!source.GoBehind(trailer))
        {
            throw new InvalidDataException($"the gzip file is {(source.HasEnded ? "cut off or " : "")}damaged near byte {source.Position}: the checksum of what begins at byte {_memberStart} is missing or wrong");
        }
    }

    private InvalidDataException CutOff() => new($"the gzip file ends too early, at byte {source.Position}: it is cut off");

    private byte Next() => source.ReadByte() is >= 0 and int value ? (byte)value : throw CutOff();

    private void Skip(int count)
    {
        for (int i = 0; i < count; i++)
        {
            Next();
        }
    }
}
