namespace KStreamSharp;

/// <summary>The bounds of the state in memory, shared by all shards of an instance, and how its logics are kept.</summary>
internal sealed class StateLimits : IDisposable
{
    private readonly RocksDbSharp.Cache _blockCache;

    public StateLimits(long cacheBytes, long blockCacheBytes, long writeBufferBytes, bool evictAlways)
    {
        CacheBytes = cacheBytes;
        EvictAlways = evictAlways;
        _blockCache = RocksDbSharp.Cache.CreateLru((ulong)blockCacheBytes);
        WriteBufferManager = RocksDbSharp.Native.Instance.rocksdb_write_buffer_manager_create_with_cache(
            (UIntPtr)writeBufferBytes, _blockCache.Handle, 0);
    }

    /// <summary>The estimated bytes of live logics that one step in one shard may keep in memory.</summary>
    public long CacheBytes { get; }

    /// <summary>Drops every logic from memory after each turn: a test mode that shows logics which forget something in their snapshot.</summary>
    public bool EvictAlways { get; }

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
    }
}
