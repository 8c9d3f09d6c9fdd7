using System.Collections.Concurrent;
using System.Diagnostics;

namespace KStreamSharp;

/// <summary>
/// Brings checkpoints to the store and deletes what is no longer needed, one thing at a time, beside the workers, which never
/// wait for it.
/// </summary>
/// <remarks>
/// A snapshot, in numbered steps: 1. the worker makes a checkpoint of the shard between two records (hard links); 2. the files
/// that the store lacks go up; 3. the manifest does; 4. the worker publishes it in an ordinary commit, which is fenced like
/// any; 5. what no kept snapshot names is deleted. A crash or a lost shard before 4 leaves objects that nobody names, which
/// the next owner's step 5 deletes; one after 4 leaves the same of older snapshots.
/// </remarks>
internal sealed class Snapshotter(InstanceContext parts) : IDisposable
{
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(5);

    private readonly ConcurrentQueue<Func<CancellationToken, Task>> _work = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly UploadBudget _budget = new(parts.Time, parts.Options.Snapshots?.BytesPerSecondMax);
    private Task? _current;
    private int _reserved;

    /// <summary>
    /// Claims the one place for a checkpoint that there is, so that an instance never holds the disk of more than one;
    /// <see cref="Upload"/> frees it when it has ended. From the workers.
    /// </summary>
    public bool TryReserve() => Interlocked.CompareExchange(ref _reserved, 1, 0) == 0;

    /// <summary>Gives back what was reserved, when no checkpoint could be made.</summary>
    public void Free() => Volatile.Write(ref _reserved, 0);

    /// <summary>
    /// Asks the store once, at the start: keys that are wrong would show with the first snapshot, minutes later, or with the first
    /// restore, when it is too late.
    /// </summary>
    public void LookAtStore() => _work.Enqueue(async stop =>
    {
        SnapshotOptions options = parts.Options.Snapshots!;
        try
        {
            // Nothing has such a name.
            await options.Store.ListAsync($"{parts.App}/look/", stop).ConfigureAwait(false);
        }
        catch (Exception error) when (error is not (InstanceStoppedException or StreamException) && !stop.IsCancellationRequested)
        {
            Interlocked.Increment(ref parts.Counters.SnapshotFailures);
            if (options.Required)
            {
                throw new StreamException(ExitCode.Broker, $"The snapshot store cannot be used, and snapshots are required: {error.Message.TrimEnd('.')}. Fix that, or set Snapshots:Required (SnapshotOptions.Required) to false.", error);
            }

            Log.StoreCannotBeUsed(parts.Logger, error.Message);
        }
    });

    /// <summary>Uploads a checkpoint, for which the place was reserved; the worker hears how it went.</summary>
    public void Upload(SnapshotSeries series, ShardCheckpoint checkpoint, ShardMailbox mailbox) => _work.Enqueue(async stop =>
    {
        SnapshotEntry? entry = null;
        long began = parts.Time.GetTimestamp();
        using Activity? span = parts.Telemetry.Start(Telemetry.SnapshotSpan, series.Shard);
        try
        {
            entry = await series.UploadAsync(checkpoint, _budget, stop).ConfigureAwait(false);
            TimeSpan took = parts.Time.GetElapsedTime(began);
            parts.Telemetry.Uploaded(took);
            span?.SetTag("snapshot", entry.Id).SetTag("bytes", entry.Bytes);
            Log.SnapshotUploaded(parts.Logger, series.Shard, entry.Id, entry.Bytes, took.TotalSeconds);
        }
        catch (Exception error) when (error is not (InstanceStoppedException or StreamException))
        {
            Interlocked.Increment(ref parts.Counters.SnapshotFailures);
            span?.SetStatus(ActivityStatusCode.Error, error.Message);
            Log.SnapshotFailed(parts.Logger, series.Shard, error.Message);
        }
        finally
        {
            Remove(checkpoint.Folder);
            Free();
            mailbox.Post(new UploadedMessage(series, entry));
        }
    });

    /// <summary>After a publish.</summary>
    public void Collect(SnapshotSeries series, IReadOnlyList<SnapshotEntry> kept) => _work.Enqueue(async stop =>
    {
        try
        {
            await series.CollectAsync(kept, stop).ConfigureAwait(false);
        }
        catch (Exception error) when (error is not (InstanceStoppedException or StreamException))
        {
            // The next publish tries again: it looks at everything that is there.
            Interlocked.Increment(ref parts.Counters.SnapshotFailures);
            Log.SnapshotsNotCollected(parts.Logger, series.Shard, error.Message);
        }
    });

    /// <summary>Begins or looks after one piece of work; true when something got further.</summary>
    public bool Step()
    {
        if (_current is null)
        {
            if (!_work.TryDequeue(out Func<CancellationToken, Task>? next))
            {
                return false;
            }

            _current = next(_stop.Token);
        }

        if (!_current.IsCompleted)
        {
            return false;
        }

        Task ended = _current;
        _current = null;
        ended.GetAwaiter().GetResult();
        return true;
    }

    private void Remove(string folder)
    {
        try
        {
            StateFolder.Remove(folder);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The next checkpoint of the shard, or the next start, removes it.
            Log.CheckpointStays(parts.Logger, folder, error.Message);
        }
    }

    /// <summary>Gives up what is under way.</summary>
    public void Dispose()
    {
        _stop.Cancel();
        _work.Clear();
        try
        {
            _current?.Wait(StopPatience);
        }
        catch (AggregateException)
        {
            // It was given up.
        }
    }
}

/// <summary>An upload has ended.</summary>
/// <param name="Series">Whose it was.</param>
/// <param name="Snapshot">What is to be published; null when it failed.</param>
internal sealed record UploadedMessage(SnapshotSeries Series, SnapshotEntry? Snapshot) : ShardMessage(Series.Shard);
