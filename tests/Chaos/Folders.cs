namespace KStreamSharp.Tests.Chaos;

/// <summary>State folders as files, and what is in them.</summary>
internal static class Folders
{
    public static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string folder in Directory.EnumerateDirectories(from, "*", SearchOption.AllDirectories))
        {
            Directory.CreateDirectory(Path.Combine(to, Path.GetRelativePath(from, folder)));
        }

        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            File.Copy(file, Path.Combine(to, Path.GetRelativePath(from, file)), overwrite: true);
        }
    }

    /// <summary>Changes one byte of a file.</summary>
    public static async Task DamageAsync(string file, int variant)
    {
        byte[] bytes = await File.ReadAllBytesAsync(file);
        bytes[(int)(variant * 7919L % bytes.Length)] ^= 0x55;
        await File.WriteAllBytesAsync(file, bytes);
    }

    /// <summary>Opens a copy of a shard's folder, for to open one is to change it.</summary>
    public static T Look<T>(string shardFolder, string scratch, Func<ShardStore, T> look)
    {
        string copy = Path.Combine(scratch, Guid.NewGuid().ToString("N"));
        Copy(shardFolder, copy);
        try
        {
            using StateLimits limits = new(1 << 20, 1 << 20, 1 << 20, evictAlways: false);
            ShardStore store = ShardStore.Open(copy, limits);
            try
            {
                return look(store);
            }
            finally
            {
                store.Abandon();
            }
        }
        finally
        {
            Directory.Delete(copy, recursive: true);
        }
    }

    /// <summary>Where the changelog goes on after what a shard's folder holds; 0 in one that holds nothing or cannot be opened.</summary>
    public static long Position(string shardFolder, string scratch)
    {
        try
        {
            return Look(shardFolder, scratch, store => store.ReadMarker()?.ChangelogPosition ?? 0);
        }
        catch (StreamException)
        {
            return 0;
        }
    }

    /// <summary>All states in a folder: per step, key (as hexadecimal text) and bytes.</summary>
    public static Dictionary<string, string> States(ShardStore store, IEnumerable<string> steps)
    {
        Dictionary<string, string> states = [];
        foreach (string step in steps)
        {
            using RocksDbSharp.Iterator iterator = store.Iterate(step);
            for (iterator.SeekToFirst(); iterator.Valid(); iterator.Next())
            {
                states[$"{step}/{Convert.ToHexString(iterator.Key())}"] = Convert.ToHexString(iterator.Value());
            }

            store.Check(iterator);
        }

        return states;
    }
}
