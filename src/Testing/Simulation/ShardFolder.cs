using System.Buffers.Binary;
using RocksDbSharp;

namespace KStreamSharp.Testing;

/// <summary>
/// What the folder of a shard of an instance that is down holds, read without the engine's own code and without changing
/// anything in it.
/// </summary>
/// <param name="Position">Where the changelog goes on after it.</param>
/// <param name="BrokerTime">The time of its last marker, in milliseconds since 1970.</param>
/// <param name="Marker">The marker's bytes.</param>
/// <param name="States">Envelopes by the key of their changelog record: length of the step id, step id, key.</param>
/// <param name="Hints">The timer hints.</param>
internal sealed record ShardFolder(long Position, long BrokerTime, byte[] Marker, Dictionary<byte[], byte[]> States, HashSet<byte[]> Hints)
{
    private const string StepPrefix = "step:";

    /// <summary>Reads a folder; null when there is none, or nothing has been flushed to it.</summary>
    /// <exception cref="RocksDbException">It is damaged.</exception>
    public static ShardFolder? Read(string path)
    {
        if (!File.Exists(Path.Combine(path, "CURRENT")))
        {
            return null;
        }

        DbOptions options = new DbOptions().SetMaxOpenFiles(16);
        RocksDbSharp.Native.Instance.rocksdb_options_set_max_file_opening_threads(options.Handle, 1);
        ColumnFamilies families = [];
        string[] names = [.. RocksDb.ListColumnFamilies(options, path).Where(name => name != ColumnFamilies.DefaultName)];
        foreach (string name in names)
        {
            families.Add(name, new ColumnFamilyOptions());
        }

        using RocksDb db = RocksDb.OpenReadOnly(options, path, families, errIfLogFileExists: false);
        byte[]? stored = names.Contains("meta") ? db.Get("marker"u8.ToArray(), db.GetColumnFamily("meta")) : null;
        if (stored is null)
        {
            return null;
        }

        Dictionary<byte[], byte[]> states = new(KeyComparer.Instance);
        foreach (string name in names.Where(name => name.StartsWith(StepPrefix, StringComparison.Ordinal)))
        {
            byte[] step = System.Text.Encoding.UTF8.GetBytes(name[StepPrefix.Length..]);
            Each(name, (key, value) => states.Add([(byte)step.Length, .. step, .. key], value));
        }

        HashSet<byte[]> hints = new(KeyComparer.Instance);
        Each("timers", (key, _) => hints.Add(key));
        return new(BinaryPrimitives.ReadInt64BigEndian(stored), BinaryPrimitives.ReadInt64BigEndian(stored.AsSpan(8)), stored[16..], states, hints);

        void Each(string family, Action<byte[], byte[]> action)
        {
            using Iterator all = db.NewIterator(db.GetColumnFamily(family));
            for (all.SeekToFirst(); all.Valid(); all.Next())
            {
                action(all.Key(), all.Value());
            }

            // At a damaged place an iterator looks as at its end.
            RocksDbSharp.Native.Instance.rocksdb_iter_get_error(all.Handle);
        }
    }
}
