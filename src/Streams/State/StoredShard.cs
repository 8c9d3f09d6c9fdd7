using RocksDbSharp;

namespace KStreamSharp;

/// <summary>
/// The folder of one shard, read without changing anything in it: RocksDB's read-only open writes no file, not even a log.
/// Beside the process that writes the folder it shows what was flushed when it was opened.
/// </summary>
internal sealed class StoredShard : IDisposable
{
    /// <summary>A writer may take a file away between the reading of the list of files and the opening of it.</summary>
    private const int Attempts = 5;

    private readonly string _folder;
    private readonly RocksDb _db;
    private readonly object[] _options;

    private StoredShard(string folder, RocksDb db, IReadOnlyList<string> families, params object[] options)
    {
        _folder = folder;
        _db = db;
        _options = options;
        Steps = [.. families.Where(name => name.StartsWith(ShardStore.StepPrefix, StringComparison.Ordinal)).Select(name => name[ShardStore.StepPrefix.Length..])];
        Marker = families.Contains(ShardStore.Meta) && Read(() => db.Get(ShardStore.MarkerKeySpan.ToArray(), db.GetColumnFamily(ShardStore.Meta))) is { } data ? StoredMarker.Read(data) : null;
    }

    /// <summary>The steps that have a place in the folder, also those that the flow has no longer.</summary>
    public IReadOnlyList<string> Steps { get; }

    /// <summary>The last marker applied; null before the first.</summary>
    public StoredMarker? Marker { get; }

    /// <exception cref="StreamException">The folder cannot be read, or is damaged.</exception>
    public static StoredShard Open(string folder)
    {
        if (ShardDamage.ReadMark(folder) is { } damage)
        {
            throw new ShardDamagedException(folder, damage);
        }

        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return OpenOnce(folder);
            }
            catch (RocksDbException) when (attempt < Attempts)
            {
                // Again, with the list of files that the writer has made since.
            }
            catch (RocksDbException error)
            {
                throw Unreadable(folder, error);
            }
        }
    }

    /// <summary>The envelope of a key in a step, or null.</summary>
    /// <exception cref="StreamException">The folder is damaged, or the disk fails.</exception>
    public byte[]? Get(string step, byte[] key) => Steps.Contains(step) ? Read(() => _db.Get(key, Family(step))) : null;

    /// <summary>Keys and envelopes of a step in ascending order of the keys' bytes.</summary>
    /// <exception cref="StreamException">The folder is damaged, or the disk fails.</exception>
    public IEnumerable<KeyValuePair<byte[], byte[]>> States(string step)
    {
        if (!Steps.Contains(step))
        {
            yield break;
        }

        using Iterator iterator = _db.NewIterator(Family(step));
        for (iterator.SeekToFirst(); iterator.Valid(); iterator.Next())
        {
            yield return new(iterator.Key(), iterator.Value());
        }

        Read(() =>
        {
            Native.Instance.rocksdb_iter_get_error(iterator.Handle);
            return true;
        });
    }

    public void Dispose()
    {
        _db.Dispose();
        GC.KeepAlive(_options);
    }

    private static StoredShard OpenOnce(string folder)
    {
        // All files are opened now: one that the writer removes later can still be read.
        DbOptions options = new DbOptions().SetMaxOpenFiles(-1);
        string[] names = [.. RocksDb.ListColumnFamilies(options, folder)];
        ColumnFamilyOptions familyOptions = new();
        ColumnFamilies families = new(familyOptions);
        foreach (string name in names.Where(name => name != ColumnFamilies.DefaultName))
        {
            families.Add(name, familyOptions);
        }

        return new StoredShard(folder, RocksDb.OpenReadOnly(options, folder, families, false), names, options, familyOptions);
    }

    private static StreamException Unreadable(string folder, RocksDbException error) => new(
        ExitCode.State, $"The state in {folder} cannot be read: {error.Message.Trim()}. Nothing in it was changed. If it is damaged, remove this folder: the changelog has the state.", error);

    private ColumnFamilyHandle Family(string step) => _db.GetColumnFamily(ShardStore.StepPrefix + step);

    private T Read<T>(Func<T> question)
    {
        try
        {
            return question();
        }
        catch (RocksDbException error)
        {
            throw Unreadable(_folder, error);
        }
    }
}
