using System.Security.Cryptography;
using System.Text;
using Xunit;

namespace KStreamSharp.Tests.State;

/// <summary>A shard's folder as a tool reads it: nothing changes, and a writer may be at work.</summary>
public sealed class StoredShardTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-stored-").FullName;
    private readonly StateLimits _limits = new(1 << 20, 8 << 20, 8 << 20, evictAlways: false);

    public void Dispose()
    {
        _limits.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void WhatWasWrittenIsReadAndNoFileChanges()
    {
        using (ShardStore store = ShardStore.Open(_folder, _limits))
        {
            Write(store, 1, "a", "b");
            Write(store, 2, "c");
        }

        string[] before = Fingerprint();
        using (StoredShard stored = StoredShard.Open(_folder))
        {
            Assert.Equal(["step"], stored.Steps);
            Assert.Equal(["a=1", "b=1", "c=2"], Texts(stored));
            Assert.Equal("2", Text(stored.Get("step", "c"u8.ToArray())));
            Assert.Null(stored.Get("step", "d"u8.ToArray()));
            Assert.Null(stored.Get("no-step", "c"u8.ToArray()));
            Assert.Empty(stored.States("no-step"));
            Assert.Equal((2, 1_002), (stored.Marker!.ChangelogPosition, stored.Marker.BrokerTime));
        }

        Assert.Equal(before, Fingerprint());
    }

    [Fact]
    public void BesideAWriterItReadsWhatWasFlushedAndTheWriterGoesOn()
    {
        using ShardStore store = ShardStore.Open(_folder, _limits);
        Write(store, 1, "a");
        store.Flush();
        Write(store, 2, "b");

        // The writer's own log goes on by threads of RocksDB's.
        string[] before = Fingerprint(without: "LOG");

        using (StoredShard stored = StoredShard.Open(_folder))
        {
            Assert.Equal(["a=1"], Texts(stored));
            Assert.Equal(1, stored.Marker!.ChangelogPosition);
            Assert.Equal(before, Fingerprint(without: "LOG"));

            // Files that the writer replaces meanwhile can still be read.
            for (int position = 3; position < 12; position++)
            {
                Write(store, position, "a");
                store.Flush();
            }

            Assert.Equal(["a=1"], Texts(stored));
        }

        using StoredShard again = StoredShard.Open(_folder);
        Assert.Equal(["a=11", "b=2"], Texts(again));
    }

    [Fact]
    public void AFolderOfAShardThatWasNeverFlushedIsEmpty()
    {
        using ShardStore store = ShardStore.Open(_folder, _limits);
        Write(store, 1, "a");
        using StoredShard stored = StoredShard.Open(_folder);
        Assert.Null(stored.Marker);
        Assert.Empty(Texts(stored));
    }

    [Fact]
    public void DamageIsAnErrorThatNamesTheFolder()
    {
        using (ShardStore store = ShardStore.Open(_folder, _limits))
        {
            Write(store, 1, [.. Enumerable.Range(0, 500).Select(i => $"key-{i}")]);
        }

        foreach (string table in Directory.GetFiles(_folder, "*.sst"))
        {
            byte[] bytes = File.ReadAllBytes(table);
            bytes.AsSpan(0, bytes.Length / 2).Fill(0x5a);
            File.WriteAllBytes(table, bytes);
        }

        StreamException error = Assert.Throws<StreamException>(() =>
        {
            using StoredShard stored = StoredShard.Open(_folder);
            return Texts(stored);
        });
        Assert.Equal(ExitCode.State, error.Code);
        Assert.Contains(_folder, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFolderWithoutAStoreIsAnErrorThatNamesIt()
    {
        StreamException error = Assert.Throws<StreamException>(() => StoredShard.Open(_folder));
        Assert.Equal(ExitCode.State, error.Code);
        Assert.Contains(_folder, error.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public void TheProcessThatHoldsAFolderIsKnownWithoutTakingIt()
    {
        Assert.Null(FolderLock.Holder(_folder));
        using (FolderLock.Take(_folder, process => process))
        {
            Assert.Equal($"{Environment.ProcessId}", FolderLock.Holder(_folder));
        }

        Assert.Null(FolderLock.Holder(_folder));
        FolderLock.Take(_folder, process => process).Dispose();
    }

    private static void Write(ShardStore store, long position, params string[] keys)
    {
        using StoreBatch batch = store.NewBatch();
        foreach (string key in keys)
        {
            batch.Put("step", Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes($"{position}"));
        }

        CommitMarker marker = new() { OwnerEpoch = 1, TransactionalId = "t", Positions = new Dictionary<TopicPartition, long>(), Watermark = -1, Run = new RunProgress() };
        batch.PutMarker(position, 1_000 + position, marker.Write());
        store.Write(batch);
    }

    private static string[] Texts(StoredShard stored) => [.. stored.States("step").Select(entry => $"{Text(entry.Key)}={Text(entry.Value)}")];

    private static string? Text(byte[]? bytes) => bytes is null ? null : Encoding.UTF8.GetString(bytes);

    private string[] Fingerprint(string? without = null) =>
    [
        .. Directory.GetFiles(_folder, "*", SearchOption.AllDirectories).Where(file => Path.GetFileName(file) != without).Order(StringComparer.Ordinal)
            .Select(file => $"{file} {File.GetLastWriteTimeUtc(file):O} {Convert.ToHexString(SHA256.HashData(ReadShared(file)))}"),
    ];

    private static byte[] ReadShared(string file)
    {
        using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
