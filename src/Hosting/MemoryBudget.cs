using System.Globalization;

namespace KStreamSharp.Hosting;

/// <summary>Where the memory of a container goes, as far as settings say it: bytes.</summary>
/// <param name="Limit">The container's limit.</param>
/// <param name="Heap">.NET's heap at most; the live state that is kept in memory is part of it.</param>
/// <param name="BlockCache">RocksDB's block cache.</param>
/// <param name="WriteBuffers">RocksDB's write buffers.</param>
/// <param name="Queues">What the Kafka client may hold of records that come and go.</param>
/// <param name="Workers">The workers, each of which has such queues.</param>
internal sealed record MemoryBudget(long Limit, long Heap, long BlockCache, long WriteBuffers, long Queues, int Workers)
{
    /// <summary>Code, threads, and what RocksDB and the client take beside.</summary>
    private const long Rest = 128L << 20;

    /// <summary>Of a worker: its writer's queue, and its reader's queue and buffer.</summary>
    private const long QueuesOfWorker = KafkaSettings.WriterQueueBytes + KafkaSettings.ReaderQueueBytes + KafkaPartition.BytesMax;

    private static readonly string[] LimitFiles = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

    public string Line => string.Create(
        CultureInfo.InvariantCulture,
        $"Memory: {Mib(Limit)} MiB for the container: .NET heap up to {Mib(Heap)}, block cache {Mib(BlockCache)}, write buffers {Mib(WriteBuffers)}{(Queues == 0 ? "" : $", queues to Kafka {Mib(Queues)} ({Workers} worker{(Workers == 1 ? "" : "s")})")}, code and the rest about {Mib(Rest)}");

    /// <summary>Null where all fits.</summary>
    public string? Warning => Sum <= Limit ? null : string.Create(
        CultureInfo.InvariantCulture,
        $"These add up to {Mib(Sum)} MiB, more than the limit, so the container may be killed. Raise the limit, or use fewer workers (--workers), a smaller heap (DOTNET_GCHeapHardLimitPercent, in hexadecimal), or less memory for RocksDB (--block-cache-bytes, --write-buffer-bytes).");

    private long Sum => Heap + BlockCache + WriteBuffers + Queues + Rest;

    /// <summary>The budget of this process; null where no container limits it.</summary>
    public static MemoryBudget? OfProcess(StreamOptions options, bool usesKafka)
    {
        if (LimitFiles.Select(LimitIn).FirstOrDefault(limit => limit is not null) is not { } limit)
        {
            return null;
        }

        long available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        return Of(limit, Math.Min(limit, available), options, usesKafka, Environment.ProcessorCount);
    }

    /// <summary>The budget by the numbers.</summary>
    public static MemoryBudget Of(long limit, long heap, StreamOptions options, bool usesKafka, int processors)
    {
        int workers = options.Workers ?? Math.Min(processors, options.Shards ?? processors);
        return new(limit, heap, options.BlockCacheBytesMax, options.WriteBufferBytesMax, usesKafka ? workers * QueuesOfWorker : 0, workers);
    }

    private static long? LimitIn(string file)
    {
        try
        {
            // Where nothing is limited, there stands "max", or nearly the largest number.
            return File.Exists(file) && long.TryParse(File.ReadAllText(file).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long limit) && limit < 1L << 50
                ? limit
                : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static long Mib(long bytes) => bytes >> 20;
}
