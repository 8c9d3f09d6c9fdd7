using System.Security.Cryptography;

namespace KStreamSharp;

/// <summary>
/// Fills a folder with the files of a snapshot: from the store, several at a time, or from a folder nearby that has the same
/// bytes. Every file is compared with its hash before it counts.
/// </summary>
/// <param name="store">The store.</param>
/// <param name="place">The application and the shard.</param>
/// <param name="entry">The snapshot.</param>
/// <param name="folder">The folder to fill; what an earlier download left there is used where it fits.</param>
/// <param name="nearby">A folder whose table files may be copied from, or null.</param>
internal sealed class SnapshotDownload(ISnapshotStore store, SnapshotPlace place, SnapshotEntry entry, string folder, string? nearby)
{
    private const int AtOnce = 4;
    private const int BufferBytes = 256 << 10;

    private readonly CancellationTokenSource _stop = new();
    private Task? _task;
    private long _bytesDone;
    private long _bytesReused;

    public SnapshotEntry Entry => entry;

    /// <summary>What the files were compared with; null before the manifest is here.</summary>
    public SnapshotManifest? Manifest { get; private set; }

    /// <summary>Called when a file is complete; tests stop an instance there.</summary>
    public Action<string>? Reached { get; init; }

    public long BytesDone => Volatile.Read(ref _bytesDone);

    /// <summary>Those of <see cref="BytesDone"/> that were on this machine already.</summary>
    public long BytesReused => Volatile.Read(ref _bytesReused);

    public bool IsCompleted => _task?.IsCompleted ?? false;

    /// <param name="beside">Begins long work beside the caller's.</param>
    public void Start(Func<Func<Task>, Task> beside) => _task = beside(() => RunAsync(_stop.Token));

    /// <summary>Throws what went wrong.</summary>
    /// <exception cref="SnapshotDamagedException">The snapshot cannot be used.</exception>
    /// <exception cref="IOException">The store or the disk fails.</exception>
    public void Check() => _task!.GetAwaiter().GetResult();

    /// <summary>Gives up; what is complete stays for the next time. <see cref="IsCompleted"/> says when nothing is written any more.</summary>
    public void Cancel() => _stop.Cancel();

    private async Task RunAsync(CancellationToken stop)
    {
        SnapshotManifest manifest = await SnapshotManifest.LoadAsync(store, place, entry, stop).ConfigureAwait(false);
        CheckManifest(manifest);
        Manifest = manifest;
        Directory.CreateDirectory(folder);
        ILookup<long, string> candidates = Candidates();
        Queue<SnapshotFile> waiting = new(manifest.Files);
        Exception? failure = null;
        await Task.WhenAll([.. Enumerable.Range(0, Math.Min(AtOnce, waiting.Count)).Select(_ => LaneAsync())]).ConfigureAwait(false);
        if (failure is not null)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }

        HashSet<string> wanted = [.. manifest.Files.Select(file => file.Name)];
        foreach (string stray in Directory.EnumerateFiles(folder).Where(path => !wanted.Contains(Path.GetFileName(path))).ToArray())
        {
            File.Delete(stray);
        }

        async Task LaneAsync()
        {
            try
            {
                while (Volatile.Read(ref failure) is null && Next() is { } file)
                {
                    stop.ThrowIfCancellationRequested();
                    if (!TryReuse(file, candidates))
                    {
                        await FetchAsync(file, stop).ConfigureAwait(false);
                    }

                    Reached?.Invoke("restore.file");
                }
            }
            catch (Exception error)
            {
                // One failed file fails the whole; the other lanes stop after theirs.
                Interlocked.CompareExchange(ref failure, error, null);
            }
        }

        SnapshotFile? Next()
        {
            lock (waiting)
            {
                return waiting.TryDequeue(out SnapshotFile? file) ? file : null;
            }
        }
    }

    private void CheckManifest(SnapshotManifest manifest)
    {
        if (manifest.App != place.App || manifest.Shard != place.Shard || manifest.ChangelogId != entry.ChangelogId || manifest.Position != entry.Position)
        {
            throw new SnapshotDamagedException(
                $"its manifest says shard {manifest.Shard} of application '{manifest.App}' at offset {manifest.Position}, the list of shard {place.Shard} of '{place.App}' says {entry.Position}");
        }

        if (manifest.Files.FirstOrDefault(file => file.Name != Path.GetFileName(file.Name) || file.Name is "" or "." or "..") is { } odd)
        {
            throw new SnapshotDamagedException($"its manifest names a file '{odd.Name}', which is no file name");
        }
    }

    /// <summary>Table files nearby that may have the bytes wanted, by their length.</summary>
    private ILookup<long, string> Candidates() =>
        (nearby is not null && Directory.Exists(nearby) ? Directory.EnumerateFiles(nearby, "*.sst") : []).ToLookup(path => new FileInfo(path).Length);

    private bool TryReuse(SnapshotFile file, ILookup<long, string> candidates)
    {
        string target = Path.Combine(folder, file.Name);
        if (File.Exists(target) && new FileInfo(target).Length == file.Bytes && HashOf(target) == file.Sha256)
        {
            Reused(file);
            return true;
        }

        foreach (string candidate in candidates[file.Bytes].Where(path => HashOf(path) == file.Sha256))
        {
            File.Copy(candidate, target, overwrite: true);
            if (HashOf(target) == file.Sha256)
            {
                Reused(file);
                return true;
            }
        }

        return false;
    }

    private void Reused(SnapshotFile file)
    {
        Interlocked.Add(ref _bytesDone, file.Bytes);
        Interlocked.Add(ref _bytesReused, file.Bytes);
    }

    private static string HashOf(string path)
    {
        using FileStream content = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(content));
    }

    private async Task FetchAsync(SnapshotFile file, CancellationToken stop)
    {
        await using Stream content = await store.OpenAsync(file.Object, stop).ConfigureAwait(false) ?? throw new SnapshotDamagedException($"{file.Object} ({file.Name}) is missing");
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long bytes = 0;
        using (FileStream target = File.Create(Path.Combine(folder, file.Name)))
        {
            byte[] buffer = new byte[BufferBytes];
            while (await content.ReadAsync(buffer, stop).ConfigureAwait(false) is > 0 and int read)
            {
                hash.AppendData(buffer, 0, read);
                target.Write(buffer, 0, read);
                bytes += read;
                Interlocked.Add(ref _bytesDone, read);
            }

            target.Flush(flushToDisk: true);
        }

        if (bytes != file.Bytes || Convert.ToHexStringLower(hash.GetHashAndReset()) != file.Sha256)
        {
            throw new SnapshotDamagedException($"{file.Object} ({file.Name}) is not what was published: {(bytes == file.Bytes ? "its hash differs" : $"{bytes} bytes instead of {file.Bytes}")}");
        }
    }
}
