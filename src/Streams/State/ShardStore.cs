using System.Buffers.Binary;
using System.Globalization;
using RocksDbSharp;

namespace KStreamSharp;

/// <summary>
/// The state of one shard in one RocksDB folder: a column family per stateful step (key bytes → envelope), one of timer
/// hints, and <c>meta</c> with the commit marker and the changelog position.
/// </summary>
/// <remarks>
/// Always true: what the folder holds is what the changelog says up to the stored position, because states, hints and
/// position are written in one batch and flushed together (atomic flush). There is no write-ahead log: a crash takes the
/// folder back to its last flush, and the changelog's tail brings it forward again.
/// </remarks>
internal sealed class ShardStore : IDisposable
{
    internal const string Meta = "meta";
    internal const string StepPrefix = "step:";

    /// <summary>For <see cref="Property"/>: the timer hints of all steps.</summary>
    internal const string TimersOfAll = "";

    private const string Timers = "timers";

    private static readonly byte[] MarkerKey = "marker"u8.ToArray();
    private static readonly byte[] IdentityKey = "identity"u8.ToArray();
    private static readonly WriteOptions WithoutLog = new WriteOptions().DisableWal(1);

    private readonly Action<string>? _faults;
    private readonly RocksDb _db;
    private readonly ColumnFamilyOptions _familyOptions;
    private readonly ColumnFamilyHandle _meta;
    private readonly ColumnFamilyHandle _timers;
    private readonly Dictionary<string, ColumnFamilyHandle> _steps = [];
    private readonly DbOptions _options;
    private bool _closed;
    private bool _isDamaged;

    private ShardStore(string folder, StateLimits limits, RocksDb db, DbOptions options, ColumnFamilyOptions familyOptions, IEnumerable<string> families)
    {
        Folder = folder;
        _faults = limits.Faults;
        _db = db;
        _options = options;
        _familyOptions = familyOptions;
        _meta = db.GetColumnFamily(Meta);
        _timers = db.GetColumnFamily(Timers);
        foreach (string family in families.Where(name => name.StartsWith(StepPrefix, StringComparison.Ordinal)))
        {
            _steps[family[StepPrefix.Length..]] = db.GetColumnFamily(family);
        }
    }

    public string Folder { get; }

    /// <summary>The steps that have a column family in it.</summary>
    public IReadOnlyList<string> StepsWithState => [.. _steps.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Whether there is anything in the folder, or of it.</summary>
    public static bool Exists(string folder) => Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any();

    /// <summary>Opens the folder, or makes it.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="limits">The bounds of the instance.</param>
    /// <param name="steps">The steps that will keep state in it: their column families are made at once, which costs RocksDB far less than one by one.</param>
    /// <exception cref="StreamException">RocksDB cannot open it.</exception>
    /// <exception cref="ShardDamagedException">A file of it is missing or damaged.</exception>
    public static ShardStore Open(string folder, StateLimits limits, params IEnumerable<string> steps) => Open(folder, limits, readsAll: false, steps);

    internal static ShardStore Open(string folder, StateLimits limits, bool readsAll, IEnumerable<string> steps)
    {
        Directory.CreateDirectory(folder);
        if (ShardDamage.ReadMark(folder) is { } damage)
        {
            throw new ShardDamagedException(folder, damage);
        }

        if (!File.Exists(Path.Combine(folder, "CURRENT")) && Directory.EnumerateFiles(folder, "*.sst").Any())
        {
            // RocksDB would begin anew over them.
            throw new ShardDamagedException(folder, "the file CURRENT is missing");
        }

        DbOptions options = new DbOptions().SetCreateIfMissing(true).SetCreateMissingColumnFamilies(true).SetMaxOpenFiles(readsAll ? 32 : 256);
        Native native = Native.Instance;
        native.rocksdb_options_set_atomic_flush(options.Handle, 1);
        native.rocksdb_options_set_max_file_opening_threads(options.Handle, 1);
        native.rocksdb_options_set_stats_dump_period_sec(options.Handle, 0);
        native.rocksdb_options_set_stats_persist_period_sec(options.Handle, 0);
        native.rocksdb_options_set_manifest_preallocation_size(options.Handle, 64 << 10);
        native.rocksdb_options_set_avoid_flush_during_shutdown(options.Handle, 1);
        native.rocksdb_options_set_write_buffer_manager(options.Handle, limits.WriteBufferManager);
        if (limits.InfoLog != IntPtr.Zero)
        {
            native.rocksdb_options_set_info_log(options.Handle, limits.InfoLog);
        }

        // Tables know each other again: what the cache has of another copy would be taken for what is in this one.
        BlockBasedTableOptions table = new BlockBasedTableOptions()
            .SetFilterPolicy(BloomFilterPolicy.Create(10, false))
            .SetFormatVersion(5);
        table = readsAll ? table.SetNoBlockCache(true) : table.SetBlockCache(limits.BlockCache).SetCacheIndexAndFilterBlocks(true);
        ColumnFamilyOptions familyOptions = new ColumnFamilyOptions()
            .SetBlockBasedTableFactory(table)
            .SetWriteBufferSize(16 << 20)
            .SetCompression(Compression.Lz4);
        try
        {
            string[] existing = RocksDb.TryListColumnFamilies(options, folder, out string[] listed) ? listed : [];
            ColumnFamilies families = new(familyOptions);
            string[] names = [.. existing.Append(Meta).Append(Timers).Concat(steps.Select(step => StepPrefix + step)).Distinct().Where(name => name != ColumnFamilies.DefaultName)];
            foreach (string name in names)
            {
                families.Add(name, familyOptions);
            }

            return new ShardStore(folder, limits, RocksDb.Open(options, folder, families), options, familyOptions, names);
        }
        catch (RocksDbException error) when (ShardDamage.IsDamage(error))
        {
            throw new ShardDamagedException(folder, error.Message.Trim(), error);
        }
        catch (RocksDbException error)
        {
            throw new StreamException(ExitCode.State, CannotOpen(folder, error.Message), error);
        }
    }

    private const string FewerFiles = "Raise the limit of open files of the process (ulimit -Hn, LimitNOFILE of a systemd unit, the container's ulimits), or run more instances with fewer shards each.";

    private static bool IsOfTooManyFiles(string reason) => reason.Contains("Too many open files", StringComparison.Ordinal);

    internal static string CannotOpen(string folder, string reason)
    {
        string advice = IsOfTooManyFiles(reason) ? $" {FewerFiles}" : "";
        return $"The state folder {folder} cannot be opened: {reason.Trim()}. Nothing in it was changed.{advice}";
    }

    /// <summary>The envelope of a key in a step, or null.</summary>
    /// <exception cref="StreamException">The disk fails, or the folder is damaged.</exception>
    public byte[]? Get(string step, ReadOnlySpan<byte> key)
    {
        try
        {
            return _db.Get(key, Family(step));
        }
        catch (RocksDbException error)
        {
            throw Unreadable(error);
        }
    }

    /// <summary>The last marker applied to the folder, and where the changelog goes on after it; null in a new folder.</summary>
    public StoredMarker? ReadMarker()
    {
        byte[]? data = ReadMeta(MarkerKey);
        return data is null ? null : StoredMarker.Read(data);
    }

    /// <summary>What the folder belongs to, as text; null in a new folder.</summary>
    public string? ReadIdentity() => ReadMeta(IdentityKey) is { } data ? System.Text.Encoding.UTF8.GetString(data) : null;

    /// <exception cref="StreamException">The disk is full or fails.</exception>
    public void WriteIdentity(string identity)
    {
        try
        {
            _db.Put(IdentityKey, System.Text.Encoding.UTF8.GetBytes(identity), _meta, WithoutLog);
        }
        catch (RocksDbException error)
        {
            throw Unwritable(error, "written");
        }
    }

    /// <summary>Iterates the keys of a step in ascending order of their bytes.</summary>
    public Iterator Iterate(string step) => _db.NewIterator(Family(step));

    /// <summary>Iterates the timer hints of all steps: step, time, key.</summary>
    public Iterator IterateTimers() => _db.NewIterator(_timers);

    /// <summary>
    /// An iterator that stops being valid is at its end, or has failed: call this then, or keys behind a damaged place would
    /// count as absent.
    /// </summary>
    /// <exception cref="StreamException">The disk fails, or the folder is damaged.</exception>
    public void Check(Iterator iterator)
    {
        try
        {
            Native.Instance.rocksdb_iter_get_error(iterator.Handle);
        }
        catch (RocksDbException error)
        {
            throw Unreadable(error);
        }
    }

    /// <summary>Every block of every file, past the cache; also what is shadowed or deleted, for a compaction would read it.</summary>
    public void CheckAll()
    {
        try
        {
            Native.Instance.rocksdb_verify_checksum(_db.Handle);
        }
        catch (RocksDbException error)
        {
            throw Unreadable(error);
        }
    }

    public StoreBatch NewBatch() => new(this);

    /// <exception cref="StreamException">The disk is full or fails.</exception>
    public void Write(StoreBatch batch)
    {
        _faults?.Invoke(Folder);
        try
        {
            _db.Write(batch.Native, WithoutLog);
        }
        catch (RocksDbException error)
        {
            throw Unwritable(error, "written");
        }
    }

    /// <summary>Brings everything applied so far to disk, so that a crash needs less of the changelog.</summary>
    /// <exception cref="StreamException">The disk is full or fails.</exception>
    public void Flush()
    {
        IntPtr[] families = [.. Families.Select(family => family.Handle)];
        using FlushHandle options = new();
        try
        {
            RocksDbSharp.Native.Instance.rocksdb_flush_cfs(_db.Handle, options.Handle, families, families.Length);
        }
        catch (RocksDbException error)
        {
            throw Unwritable(error, "flushed");
        }
    }

    /// <summary>A number that RocksDB tells of the column family of a step, of <see cref="TimersOfAll"/>, or of all families together (null); 0 where it knows none.</summary>
    public long Property(string name, string? step = null)
    {
        IEnumerable<ColumnFamilyHandle> families = step switch
        {
            null => Families,
            TimersOfAll => [_timers],
            _ => _steps.TryGetValue(step, out ColumnFamilyHandle? family) ? [family] : [],
        };
        return families.Sum(family => long.TryParse(_db.GetProperty(name, family), CultureInfo.InvariantCulture, out long value) ? value : 0);
    }

    /// <summary>Closes as a crash would: what was not flushed is thrown away.</summary>
    public void Abandon()
    {
        if (!_closed)
        {
            _closed = true;
            _db.Dispose();
            GC.KeepAlive(_options);
            GC.KeepAlive(_familyOptions);
        }
    }

    /// <summary>Makes a copy of the folder as it is now, by hard links where the file system has them; an older copy there is removed.</summary>
    /// <returns>What the copy holds.</returns>
    /// <exception cref="IOException">The copy cannot be made.</exception>
    /// <exception cref="StreamException">The disk is full or fails.</exception>
    public StoredMarker Checkpoint(string folder)
    {
        StateFolder.Remove(folder);
        Flush();
        try
        {
            using Checkpoint checkpoint = _db.Checkpoint();
            checkpoint.Save(folder);
        }
        catch (RocksDbException error) when (!ShardDamage.IsDamage(error))
        {
            throw new IOException($"{Folder} cannot be copied to {folder}: {error.Message.Trim()}", error);
        }
        catch (RocksDbException error)
        {
            throw Unreadable(error);
        }

        return ReadMarker()!;
    }

    /// <summary>Flushes and closes.</summary>
    public void Dispose()
    {
        if (_closed)
        {
            return;
        }

        try
        {
            if (!_isDamaged)
            {
                Flush();
            }
        }
        catch (ShardDamagedException)
        {
            // The folder says so from now on; its next takeover goes by it.
        }
        finally
        {
            Abandon();
        }
    }

    private IEnumerable<ColumnFamilyHandle> Families => [_meta, _timers, .. _steps.Values];

    internal ColumnFamilyHandle TimerFamily => _timers;

    internal ColumnFamilyHandle MetaFamily => _meta;

    /// <exception cref="StreamException">The step's family is new, and the disk is full or fails.</exception>
    internal ColumnFamilyHandle Family(string step)
    {
        if (!_steps.TryGetValue(step, out ColumnFamilyHandle? family))
        {
            try
            {
                _steps[step] = family = _db.CreateColumnFamily(_familyOptions, StepPrefix + step);
            }
            catch (RocksDbException error)
            {
                throw Unwritable(error, "written");
            }
        }

        return family;
    }

    internal static ReadOnlySpan<byte> MarkerKeySpan => MarkerKey;

    private byte[]? ReadMeta(byte[] key)
    {
        try
        {
            return _db.Get(key, _meta);
        }
        catch (RocksDbException error)
        {
            throw Unreadable(error);
        }
    }

    private StreamException Unwritable(RocksDbException error, string what) =>
        Failure(error, what, IsOfTooManyFiles(error.Message) ? $"{FewerFiles} Nothing is lost." : "Make room or mend the disk, then start again; nothing is lost.");

    private StreamException Unreadable(RocksDbException error) => Failure(error, "read", "Mend the disk, or remove this folder: the changelog has the state.");

    private StreamException Failure(RocksDbException error, string what, string fix)
    {
        if (ShardDamage.IsDamage(error))
        {
            // Said in the folder too, so that no later start believes what is in it.
            _isDamaged = true;
            ShardDamage.Mark(Folder, error.Message.Trim());
            return new ShardDamagedException(Folder, error.Message.Trim(), error);
        }

        return new StreamException(ExitCode.State, $"The state in {Folder} cannot be {what}: {error.Message.Trim()}. {fix}", error);
    }

    private sealed class FlushHandle : IDisposable
    {
        public IntPtr Handle { get; } = RocksDbSharp.Native.Instance.rocksdb_flushoptions_create();

        public void Dispose() => RocksDbSharp.Native.Instance.rocksdb_flushoptions_destroy(Handle);
    }
}

/// <summary>The marker in a folder: where the changelog goes on after what was applied, the broker's time of it, the marker itself.</summary>
internal sealed record StoredMarker(long ChangelogPosition, long BrokerTime, CommitMarker? Marker)
{
    public static StoredMarker Read(ReadOnlySpan<byte> data) => new(
        BinaryPrimitives.ReadInt64BigEndian(data),
        BinaryPrimitives.ReadInt64BigEndian(data[8..]),
        data.Length == 16 ? null : CommitMarker.Read(data[16..]));
}

/// <summary>Changes that become visible in a folder together, or not at all.</summary>
internal sealed class StoreBatch(ShardStore store) : IDisposable
{
    private byte[] _timerKey = new byte[256];
    private byte[] _timerEnd = new byte[256];

    public WriteBatch Native { get; } = new();

    public void Put(string step, ReadOnlySpan<byte> key, ReadOnlySpan<byte> envelope) => Native.Put(key, envelope, store.Family(step));

    public void Delete(string step, ReadOnlySpan<byte> key) => Native.Delete(key, store.Family(step));

    public void PutTimer(string step, long time, ReadOnlySpan<byte> key) =>
        Native.Put(TimerKey.Write(ref _timerKey, step, time, key), default, store.TimerFamily);

    /// <summary>Deletes the hints of a step up to and including one.</summary>
    public void DeleteTimersTo(string step, ReadOnlySpan<byte> lastHint)
    {
        int start = TimerKey.Write(ref _timerKey, step, long.MinValue, default).Length;
        if (_timerEnd.Length <= lastHint.Length)
        {
            _timerEnd = new byte[lastHint.Length * 2];
        }

        lastHint.CopyTo(_timerEnd);
        _timerEnd[lastHint.Length] = 0;
        Native.DeleteRange(_timerKey, (ulong)start, _timerEnd, (ulong)lastHint.Length + 1, store.TimerFamily);
    }

    public void PutMarker(long changelogPosition, long brokerTime, ReadOnlySpan<byte> marker)
    {
        byte[] data = new byte[16 + marker.Length];
        BinaryPrimitives.WriteInt64BigEndian(data, changelogPosition);
        BinaryPrimitives.WriteInt64BigEndian(data.AsSpan(8), brokerTime);
        marker.CopyTo(data.AsSpan(16));
        Native.Put(ShardStore.MarkerKeySpan, data, store.MetaFamily);
    }

    public void Clear() => Native.Clear();

    public void Dispose() => Native.Dispose();
}
