namespace KStreamSharp.Snapshots;

/// <summary>
/// How a store calls its server: for as long as something moves, and with every failure as an <see cref="IOException"/> that
/// names the store and the object, and shows no secret. This file is part of each package that has such a store.
/// </summary>
/// <param name="place">Names the store, as the beginning of a message.</param>
/// <param name="patience">How long nothing may move.</param>
/// <param name="cause">Says in a line why a call failed.</param>
/// <param name="secrets">What no message may have.</param>
internal sealed class RemoteCalls(string place, TimeSpan patience, Func<Exception, string> cause, IReadOnlyList<string> secrets)
{
    /// <summary>Makes a call.</summary>
    /// <param name="failure">What the message of a failure says.</param>
    /// <param name="stop">Gives up.</param>
    /// <param name="call">The call. It may tell its limit that something has moved.</param>
    public async Task<T> Make<T>(string failure, CancellationToken stop, Func<Limit, Task<T>> call)
    {
        stop.ThrowIfCancellationRequested();
        using Limit limit = new(patience, stop);
        try
        {
            return await call(limit);
        }
        catch (Exception error) when (stop.IsCancellationRequested)
        {
            throw new OperationCanceledException(error.Message, error, stop);
        }
        catch (Exception error)
        {
            throw Failure(failure, error, limit.IsOver);
        }
    }

    /// <summary>What a call has opened for reading.</summary>
    /// <param name="failure">What the message of a failure says.</param>
    /// <param name="content">The bytes.</param>
    /// <param name="answer">What is disposed with them.</param>
    public Stream Reading(string failure, Stream content, IDisposable answer) => new RemoteReading(this, failure, content, answer);

    private IOException Failure(string failure, Exception error, bool isOver)
    {
        string why = isOver ? $"nothing moved for {patience.TotalSeconds:0.#} seconds" : cause(error).Split('\n')[0].Trim().TrimEnd('.');
        string message = $"{place}: {failure}: {why}.";
        string whole = error.ToString();
        bool shows = secrets.Any(secret => whole.Contains(secret, StringComparison.Ordinal));
        return new IOException(secrets.Aggregate(message, (text, secret) => text.Replace(secret, "***", StringComparison.Ordinal)), shows ? null : error);
    }

    /// <summary>Gives a call up when it is told to, or when nothing has moved for too long.</summary>
    internal sealed class Limit : IDisposable
    {
        private readonly TimeSpan _patience;
        private readonly CancellationToken _stop;
        private readonly CancellationTokenSource _source;

        public Limit(TimeSpan patience, CancellationToken stop)
        {
            _patience = patience;
            _stop = stop;
            _source = CancellationTokenSource.CreateLinkedTokenSource(stop);
            Moved();
        }

        public CancellationToken Token => _source.Token;

        public bool IsOver => _source.IsCancellationRequested && !_stop.IsCancellationRequested;

        public void Moved()
        {
            try
            {
                _source.CancelAfter(_patience);
            }
            catch (ObjectDisposedException)
            {
                // The call has ended, and its client has not noticed yet.
            }
        }

        public void Dispose() => _source.Dispose();
    }

    private sealed class RemoteReading(RemoteCalls calls, string failure, Stream content, IDisposable answer) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken stop = default) =>
            await calls.Make(failure, stop, limit => content.ReadAsync(buffer, limit.Token).AsTask());

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken stop) => ReadAsync(buffer.AsMemory(offset, count), stop).AsTask();

        public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer, offset, count, CancellationToken.None).GetAwaiter().GetResult();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                content.Dispose();
                answer.Dispose();
            }

            base.Dispose(disposing);
        }
    }
}
