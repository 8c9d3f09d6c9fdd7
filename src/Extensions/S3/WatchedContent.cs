using System.Runtime.ExceptionServices;

namespace KStreamSharp.Snapshots.S3;

/// <summary>Content to be sent, which tells of every byte that is taken from it. It does not close what it is made of.</summary>
/// <remarks>
/// The SDK takes the hash of the content by <see cref="Read(byte[], int, int)"/>, and then sends it by <see cref="ReadAsync(Memory{byte}, CancellationToken)"/>.
/// When the first throws, the SDK's hash of a later request is wrong (its hash object belongs to the thread and goes on with
/// what it has); so content that fails ends there, and the second throws.
/// </remarks>
internal sealed class WatchedContent(Stream content, Action moved, CancellationToken stop) : Stream
{
    private Exception? _failure;

    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => false;

    public override long Length => content.Length;

    public override long Position { get => content.Position; set => content.Position = value; }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        if (_failure is not null || stop.IsCancellationRequested)
        {
            return 0;
        }

        moved();
        try
        {
            return content.Read(buffer);
        }
        catch (Exception error)
        {
            _failure = error;
            return 0;
        }
    }

    public override async Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken stop) => await ReadAsync(buffer.AsMemory(offset, count), stop);

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken stop = default)
    {
        if (_failure is not null)
        {
            ExceptionDispatchInfo.Throw(_failure);
        }

        moved();
        return await content.ReadAsync(buffer, stop);
    }

    public override long Seek(long offset, SeekOrigin origin) => content.Seek(offset, origin);

    public override void Flush()
    {
    }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
