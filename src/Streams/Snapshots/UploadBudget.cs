namespace KStreamSharp;

/// <summary>Spreads uploads over time: a stream read through it gives at most so many bytes per second.</summary>
internal sealed class UploadBudget(TimeProvider time, long? bytesPerSecond)
{
    private long _freeAt = time.GetTimestamp();

    /// <summary>The content, read no faster than that; it is closed with the answer.</summary>
    public Stream Limit(Stream content, CancellationToken stop) => bytesPerSecond is null ? content : new Limited(this, content, stop);

    /// <summary>Waits until a number of bytes fit in.</summary>
    private async Task SpendAsync(int bytes, CancellationToken stop)
    {
        long now = time.GetTimestamp();
        TimeSpan wait = time.GetElapsedTime(now, Math.Max(now, _freeAt));
        _freeAt = Math.Max(now, _freeAt) + (long)(bytes / (double)bytesPerSecond!.Value * time.TimestampFrequency);
        if (wait > TimeSpan.Zero)
        {
            TaskCompletionSource waited = new(TaskCreationOptions.RunContinuationsAsynchronously);
            await using ITimer timer = time.CreateTimer(_ => waited.TrySetResult(), null, wait, Timeout.InfiniteTimeSpan);
            await waited.Task.WaitAsync(stop).ConfigureAwait(false);
        }
    }

    private sealed class Limited(UploadBudget budget, Stream content, CancellationToken stop) : Stream
    {
        private const int PieceMax = 64 << 10;

        public override bool CanRead => true;

        public override bool CanSeek => content.CanSeek;

        public override bool CanWrite => false;

        public override long Length => content.Length;

        public override long Position { get => content.Position; set => content.Position = value; }

        public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count), stop).AsTask().GetAwaiter().GetResult();

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int read = await content.ReadAsync(buffer[..Math.Min(buffer.Length, PieceMax)], cancellationToken).ConfigureAwait(false);
            await budget.SpendAsync(read, cancellationToken).ConfigureAwait(false);
            return read;
        }

        public override long Seek(long offset, SeekOrigin origin) => content.Seek(offset, origin);

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                content.Dispose();
            }

            base.Dispose(disposing);
        }
    }
}
