namespace KStreamSharp;

/// <summary>The bounds of the state in memory, shared by all shards of an instance, and how its logics are kept.</summary>
internal sealed class StateLimits : IDisposable
{
    /// <summary>Above the highest level that RocksDB has.</summary>
    private const int LogsNothing = 6;

    private readonly RocksDbSharp.Cache _blockCache;

    public StateLimits(long cacheBytes, long blockCacheBytes, long writeBufferBytes, bool evictAlways, bool storesLog = true)
    {
        CacheBytes = cacheBytes;
        EvictAlways = evictAlways;
        InfoLog = storesLog ? IntPtr.Zero : RocksDbSharp.Native.Instance.rocksdb_logger_create_stderr_logger(LogsNothing, default);
        _blockCache = RocksDbSharp.Cache.CreateLru((ulong)blockCacheBytes);
        WriteBufferManager = RocksDbSharp.Native.Instance.rocksdb_write_buffer_manager_create_with_cache(
            (UIntPtr)writeBufferBytes, _blockCache.Handle, 0);
    }

    /// <summary>The estimated bytes of live logics that one step in one shard may keep in memory.</summary>
    public long CacheBytes { get; }

    /// <summary>Drops every logic from memory after each turn: a test mode that shows logics which forget something in their snapshot.</summary>
    public bool EvictAlways { get; }

    /// <summary>For tests: called with a shard's folder before something is written to it.</summary>
    public Action<string>? Faults { get; init; }

    /// <summary>Where RocksDB logs; zero for a file LOG in each folder.</summary>
    public IntPtr InfoLog { get; private set; }

    public RocksDbSharp.Cache BlockCache => _blockCache;

    /// <summary>The bytes in use of the block cache, those of write buffers included.</summary>
    public long BlockCacheUsage => (long)RocksDbSharp.Native.Instance.rocksdb_cache_get_usage(_blockCache.Handle);

    public IntPtr WriteBufferManager { get; private set; }

    public void Dispose()
    {
        if (WriteBufferManager != IntPtr.Zero)
        {
            RocksDbSharp.Native.Instance.rocksdb_write_buffer_manager_destroy(WriteBufferManager);
            WriteBufferManager = IntPtr.Zero;
        }

        if (InfoLog != IntPtr.Zero)
        {
            RocksDbSharp.Native.Instance.rocksdb_logger_destroy(InfoLog);
            InfoLog = IntPtr.Zero;
        }
    }
}
