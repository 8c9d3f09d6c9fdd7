namespace KStreamSharp.Flows;

/// <summary>A stream that can only be read on.</summary>
internal abstract class ReadOnlyStream : Stream
{
    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public abstract override int Read(Span<byte> buffer);

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}

/// <summary>The bytes of a file or a pipe in pieces, of which the last can be looked at again.</summary>
internal sealed class InputBytes(Stream file) : ReadOnlyStream
{
    private readonly byte[] _piece = new byte[1 << 16];
    private long _before;
    private int _start;
    private int _at;
    private int _end;

    /// <summary>The number of bytes handed out.</summary>
    public override long Position
    {
        get => _before + _at;
        set => throw new NotSupportedException();
    }

    /// <summary>Whether more was asked for than there is.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>Whether the next bytes are these, which stay the next.</summary>
    public bool IsNext(ReadOnlySpan<byte> bytes)
    {
        Fill(bytes.Length);
        return _piece.AsSpan(_at, _end - _at).StartsWith(bytes);
    }

    public override int Read(Span<byte> buffer)
    {
        Fill(1);
        int count = Math.Min(buffer.Length, _end - _at);
        HasEnded |= count == 0 && buffer.Length > 0;
        _start = _at;
        _piece.AsSpan(_at, count).CopyTo(buffer);
        _at += count;
        return count;
    }

    public override int ReadByte()
    {
        Fill(1);
        HasEnded |= _at == _end;
        return _at == _end ? -1 : _piece[_at++];
    }

    /// <summary>Looks for bytes in what was read last and just behind it, and goes on behind them.</summary>
    public bool GoBehind(ReadOnlySpan<byte> bytes)
    {
        int want = bytes.Length;
        Fill(want);
        HasEnded |= _end - _at < want;
        int found = _piece.AsSpan(_start, Math.Min(_end, _at + want) - _start).IndexOf(bytes);
        if (found < 0)
        {
            return false;
        }

        _at = _start + found + want;
        HasEnded = false;
        return true;
    }

    protected override void Dispose(bool disposing)
    {
        file.Dispose();
        base.Dispose(disposing);
    }

    /// <summary>Has at least so many bytes ready, unless the file ends. What was handed out last stays there.</summary>
    private void Fill(int count)
    {
        if (_end - _at >= count)
        {
            return;
        }

        int kept = _end - _at < 1 && count == 1 ? _at : _start;
        _piece.AsSpan(kept, _end - kept).CopyTo(_piece);
        _before += kept;
        _at -= kept;
        _end -= kept;
        _start = 0;
        while (_end - _at < count && _end < _piece.Length)
        {
            int read = file.Read(_piece, _end, _piece.Length - _end);
            if (read == 0)
            {
                return;
            }

            _end += read;
        }
    }
}
