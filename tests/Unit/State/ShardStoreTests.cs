using System.Text;
using RocksDbSharp;
using Xunit;

namespace KStreamSharp.Tests.State;

/// <summary>A shard's folder: what is written together stays together, whatever is lost.</summary>
public sealed class ShardStoreTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-store-").FullName;
    private readonly StateLimits _limits = new(1 << 20, 8 << 20, 8 << 20, evictAlways: false);

    public void Dispose()
    {
        _limits.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void TooManyOpenFilesNameTheLimit()
    {
        Assert.Equal("The state folder /s cannot be opened: IO error: No space left on device. Nothing in it was changed.", ShardStore.CannotOpen("/s", "IO error: No space left on device"));
        Assert.Contains(
            "Too many open files. Nothing in it was changed. Raise the limit of open files of the process (ulimit -Hn, LimitNOFILE",
            ShardStore.CannotOpen("/s", "IO error: While open directory: /s: Too many open files"),
            StringComparison.Ordinal);
    }

    [Fact]
    public void ANewFolderHasNothing()
    {
        using ShardStore store = Open();
        Assert.Null(store.ReadIdentity());
        Assert.Null(store.ReadMarker());
        Assert.Null(store.Get("step", "k"u8));
    }

    [Fact]
    public void WhatWasWrittenIsThereAfterAnOrderlyEnd()
    {
        using (ShardStore store = Open())
        {
            store.WriteIdentity("1|app|0|id");
            Write(store, 7, "v7");
        }

        using ShardStore again = Open();
        Assert.Equal("1|app|0|id", again.ReadIdentity());
        Assert.Equal("v7", Text(again.Get("step", "k"u8)));
        StoredMarker marker = again.ReadMarker()!;
        Assert.Equal((7, 1_007, 7), (marker.ChangelogPosition, marker.BrokerTime, marker.Marker!.OwnerEpoch));
        Assert.Equal(["7"], Hints(again));
    }

    [Fact]
    public void ACrashLosesTheTailOfAllFamiliesTogether()
    {
        ShardStore store = Open();
        Write(store, 1, "v1");
        store.Flush();
        for (int position = 2; position < 50; position++)
        {
            Write(store, position, $"v{position}");
        }

        store.Abandon();
        store.Abandon();

        using ShardStore again = Open();
        long at = again.ReadMarker()!.ChangelogPosition;
        Assert.Equal(1, at);
        Assert.Equal($"v{at}", Text(again.Get("step", "k"u8)));
        Assert.Equal($"v{at}", Text(again.Get("other", "k"u8)));
        Assert.Equal([$"{at}"], Hints(again));
    }

    [Fact]
    public void ACrashBeforeTheFirstFlushLeavesAnEmptyFolder()
    {
        ShardStore store = Open();
        store.WriteIdentity("1|app|0|id");
        Write(store, 1, "v1");
        store.Abandon();

        using ShardStore again = Open();
        Assert.Null(again.ReadMarker());
        Assert.Null(again.ReadIdentity());
        Assert.Null(again.Get("step", "k"u8));
    }

    [Fact]
    public void AFlushThatFullMemoryCausesTakesAllFamiliesAlong()
    {
        ShardStore store = Open();
        byte[] value = new byte[200_000];
        int written = 0;
        for (int position = 1; position <= 200; position++)
        {
            using StoreBatch batch = store.NewBatch();
            batch.Put("large", Encoding.UTF8.GetBytes($"{position:000}"), value);
            batch.Put("small", "k"u8, Encoding.UTF8.GetBytes($"{position}"));
            batch.PutMarker(position, position, default);
            store.Write(batch);
            written = position;
        }

        store.Abandon();
        using ShardStore again = Open();
        long at = again.ReadMarker()?.ChangelogPosition ?? 0;
        Assert.InRange(at, 1, written);
        Assert.Equal($"{at}", Text(again.Get("small", "k"u8)));
        Assert.NotNull(again.Get("large", Encoding.UTF8.GetBytes($"{at:000}")));
        Assert.Null(again.Get("large", Encoding.UTF8.GetBytes($"{at + 1:000}")));
    }

    [Fact]
    public void ABatchThatIsNotWrittenIsNotThere()
    {
        using ShardStore store = Open();
        using StoreBatch batch = store.NewBatch();
        batch.Put("step", "k"u8, "v"u8);
        batch.Clear();
        store.Write(batch);
        Assert.Null(store.Get("step", "k"u8));
    }

    [Fact]
    public void DeletingHintsEndsAtTheLastOneAndAtTheStep()
    {
        using ShardStore store = Open();
        using (StoreBatch batch = store.NewBatch())
        {
            batch.PutTimer("a", 1, "k"u8);
            batch.PutTimer("b", long.MinValue, "k"u8);
            batch.PutTimer("b", -1, "k"u8);
            batch.PutTimer("b", 5, "k"u8);
            batch.PutTimer("b", 5, "k\0"u8);
            batch.PutTimer("b", 6, "k"u8);
            batch.PutTimer("c", 1, "k"u8);
            store.Write(batch);
        }

        using (StoreBatch batch = store.NewBatch())
        {
            byte[] buffer = [];
            batch.DeleteTimersTo("b", TimerKey.Write(ref buffer, "b", 5, "k"u8));
            batch.PutTimer("b", 2, "new"u8);
            store.Write(batch);
        }

        Assert.Equal(["a1k", "b2new", "b5k\0", "b6k", "c1k"], AllHints(store));
    }

    [Fact]
    public void KeysComeInTheOrderOfTheirBytes()
    {
        using ShardStore store = Open();
        using (StoreBatch batch = store.NewBatch())
        {
            batch.Put("step", [0xFF], "3"u8);
            batch.Put("step", [0x7F], "2"u8);
            batch.Put("step", [], "0"u8);
            batch.Put("step", [0x7E, 0xFF], "1"u8);
            store.Write(batch);
        }

        List<string> values = [];
        using Iterator keys = store.Iterate("step");
        for (keys.SeekToFirst(); keys.Valid(); keys.Next())
        {
            values.Add(Text(keys.Value())!);
        }

        Assert.Equal(["0", "1", "2", "3"], values);
    }

    [Fact]
    public void AFolderThatIsOpenIsNotOpenedTwice()
    {
        using ShardStore store = Open();
        StreamException error = Assert.ThrowsAny<StreamException>(Open);
        Assert.Equal(ExitCode.State, error.Code);
        Assert.Contains(_folder, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AMarkerOfANewerVersionIsRefused()
    {
        using ShardStore store = Open();
        using StoreBatch batch = store.NewBatch();
        batch.PutMarker(1, 1, [9]);
        store.Write(batch);
        Assert.Contains("format 9", Assert.Throws<StreamException>(store.ReadMarker).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ADamagedFolderIsAnErrorThatNamesIt()
    {
        Open().Dispose();
        foreach (string manifest in Directory.GetFiles(_folder, "MANIFEST-*"))
        {
            File.WriteAllText(manifest, "not a manifest, but long enough to be read as one");
        }

        StreamException error = Assert.ThrowsAny<StreamException>(Open);
        Assert.Equal(ExitCode.State, error.Code);
        Assert.Contains(_folder, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ASnapshotIsCheckedOnTheDiskWhateverIsInMemoryOfItsFiles()
    {
        string copy = Path.Combine(_folder, "copy");
        using ShardStore store = ShardStore.Open(Path.Combine(_folder, "original"), _limits);
        store.WriteIdentity("1|app|0|id");
        Write(store, 7, "v7");
        store.Checkpoint(copy);
        Assert.Equal("v7", Text(store.Get("step", "k"u8)));
        Assert.Equal(7, SnapshotCheck.Open(copy, "1|app|0|id", 7, _limits).ChangelogPosition);
        Assert.Single(AllHints(store));

        foreach (string table in Directory.GetFiles(copy, "*.sst"))
        {
            byte[] content = File.ReadAllBytes(table);
            content[10] ^= 1;
            File.Delete(table);
            File.WriteAllBytes(table, content);
        }

        Assert.Throws<ShardDamagedException>(() => SnapshotCheck.Open(copy, "1|app|0|id", 7, _limits));
    }

    /// <summary>Of the simulation, seed 1194: a compaction came upon a block that no read had needed.</summary>
    [Fact]
    public void ASnapshotIsCheckedAlsoWhereALaterFileOrADeletionHidesWhatIsThere()
    {
        string copy = Path.Combine(_folder, "copy");
        using (ShardStore store = ShardStore.Open(Path.Combine(_folder, "original"), _limits))
        {
            store.WriteIdentity("1|app|0|id");
            Write(store, 7, "v7");
            store.Flush();
            store.WriteIdentity("1|app|0|id");
            Write(store, 8, "v8");
            store.Checkpoint(copy);
        }

        string[] tables = [.. Directory.GetFiles(copy, "*.sst").Order(StringComparer.Ordinal)];
        Assert.Equal(8, tables.Length);
        foreach (string table in tables)
        {
            byte[] content = File.ReadAllBytes(table);
            byte[] damaged = [.. content];
            damaged[10] ^= 1;
            File.Delete(table);
            File.WriteAllBytes(table, damaged);
            Assert.Throws<ShardDamagedException>(() => SnapshotCheck.Open(copy, "1|app|0|id", 8, _limits));

            // A folder that was found damaged says so.
            File.WriteAllBytes(table, content);
            File.Delete(Path.Combine(copy, "damaged"));
            SnapshotCheck.Open(copy, "1|app|0|id", 8, _limits);
        }
    }

    /// <summary>Also where no read of the states would come: filters, indexes, properties. Behind them are zeros.</summary>
    [Fact]
    public void ASnapshotIsCheckedInEveryPartOfItsTables()
    {
        const int Zeros = 50;
        string copy = Path.Combine(_folder, "copy");
        using (ShardStore store = ShardStore.Open(Path.Combine(_folder, "original"), _limits))
        {
            store.WriteIdentity("1|app|0|id");
            Write(store, 7, "v7");
            store.Checkpoint(copy);
        }

        foreach (string table in Directory.GetFiles(copy, "*.sst"))
        {
            byte[] content = File.ReadAllBytes(table);
            File.Delete(table);
            for (int at = 0; at < content.Length - Zeros; at += 61)
            {
                byte[] damaged = [.. content];
                damaged[at] ^= 1;
                File.WriteAllBytes(table, damaged);
                Assert.Throws<ShardDamagedException>(() => SnapshotCheck.Open(copy, "1|app|0|id", 7, _limits));
                File.Delete(Path.Combine(copy, "damaged"));
            }

            File.WriteAllBytes(table, content);
            SnapshotCheck.Open(copy, "1|app|0|id", 7, _limits);
        }
    }

    private static void Write(ShardStore store, long position, string value)
    {
        using StoreBatch batch = store.NewBatch();
        batch.Put("step", "k"u8, Encoding.UTF8.GetBytes(value));
        batch.Put("other", "k"u8, Encoding.UTF8.GetBytes(value));
        byte[] buffer = [];
        batch.DeleteTimersTo("step", TimerKey.Write(ref buffer, "step", position - 1, "k"u8));
        batch.PutTimer("step", position, "k"u8);
        CommitMarker marker = new() { OwnerEpoch = position, TransactionalId = "t", Positions = new Dictionary<TopicPartition, long>(), Watermark = -1, Run = new RunProgress() };
        batch.PutMarker(position, 1_000 + position, marker.Write());
        store.Write(batch);
    }

    private static List<string> Hints(ShardStore store) => [.. AllHints(store).Select(hint => hint[4..^1])];

    private static List<string> AllHints(ShardStore store)
    {
        List<string> hints = [];
        using Iterator iterator = store.IterateTimers();
        for (iterator.SeekToFirst(); iterator.Valid(); iterator.Next())
        {
            byte[] hint = iterator.Key();
            int length = 2 + hint[1];
            hints.Add($"{Encoding.UTF8.GetString(hint, 2, hint[1])}{TimerKey.Time(hint, length)}{Encoding.UTF8.GetString(TimerKey.Key(hint, length))}");
        }

        return hints;
    }

    private static string? Text(byte[]? bytes) => bytes is null ? null : Encoding.UTF8.GetString(bytes);

    private ShardStore Open() => ShardStore.Open(_folder, _limits);
}
