using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace KStreamSharp;

/// <summary>The inbox of a worker: other threads tell it here which shards to adopt, release or drop.</summary>
/// <param name="isReady">Whether the worker may be given shards.</param>
/// <param name="posted">Told after each message, on the thread of whoever posted it.</param>
internal sealed class ShardMailbox(Func<bool> isReady, Action posted)
{
    private readonly ConcurrentQueue<ShardMessage> _messages = new();
    private int _load;

    /// <summary>The shards that run at the worker or are on their way to it.</summary>
    public int Load => Volatile.Read(ref _load);

    /// <summary>
    /// Whether the worker's transactions have begun, and with them what its predecessor of the same id left open is settled.
    /// Takeovers wait for it: else they would wait for that transaction's time-out.
    /// </summary>
    public bool IsReady => isReady();

    public bool IsEmpty => _messages.IsEmpty;

    /// <summary>From any thread.</summary>
    public void Post(ShardMessage message)
    {
        if (message is AdoptMessage)
        {
            Interlocked.Increment(ref _load);
        }

        _messages.Enqueue(message);
        posted();
    }

    /// <summary>For the worker: the next message.</summary>
    public bool TryTake([NotNullWhen(true)] out ShardMessage? message) => _messages.TryDequeue(out message);

    /// <summary>For the worker: a shard is no longer with it.</summary>
    public void CountOut() => Interlocked.Decrement(ref _load);
}
