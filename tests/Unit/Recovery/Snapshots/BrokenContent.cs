namespace KStreamSharp.Tests;

/// <summary>Zeroes, until a reading from the beginning comes to a place where something happens.</summary>
internal sealed class BrokenContent(long length, long at, Action act, int reading = 1) : Stream
{
    private const int PieceMax = 1 << 16;
    private int _readings;

    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => false;

    public override long Length => length;

    public override long Position { get; set; }

    public override int Read(Span<byte> buffer)
    {
        _readings += Position == 0 ? 1 : 0;
        if (Position >= at && _readings >= reading)
        {
            act();
        }

        int count = (int)Math.Min(Math.Min(buffer.Length, PieceMax), length - Position);
        buffer[..count].Clear();
        Position += count;
        return count;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken stop) => ReadAsync(buffer.AsMemory(offset, count), stop).AsTask();

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken stop = default)
    {
        try
        {
            return ValueTask.FromResult(Read(buffer.Span));
        }
        catch (Exception error)
        {
            return ValueTask.FromException<int>(error);
        }
    }

    public override long Seek(long offset, SeekOrigin origin) => Position = offset + origin switch
    {
        SeekOrigin.Begin => 0,
        SeekOrigin.Current => Position,
        _ => length,
    };

    public override void Flush()
    {
    }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
