using System.Diagnostics;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The contract, on a folder, and what only a folder has.</summary>
public sealed class FolderSnapshotStoreTests : SnapshotStoreContract
{
    private readonly TemporaryFolder _folder = new();
    private bool _mounted;

    private string Disk => Path.Combine(_folder.Path, "disk");

    private protected override ISnapshotStore CreateStore() => new FolderSnapshotStore(_folder.Path);

    private protected override IReadOnlyDictionary<string, BrokenStore> BrokenStores()
    {
        string missing = Path.Combine(_folder.Path, "missing");
        string file = Path.Combine(_folder.Path, "file");
        File.WriteAllText(file, "no folder");
        return new Dictionary<string, BrokenStore>
        {
            ["a folder that is missing"] = new(new FolderSnapshotStore(missing), [missing, "Create it"], []),
            ["a folder that is a file"] = new(new FolderSnapshotStore(file), [file, "no such folder"], []),
        };
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        if (_mounted)
        {
            Run("umount", "-l", Disk);
        }

        _folder.Dispose();
    }

    [Fact]
    public async Task WhatAWriterLeavesBehindIsNoObjectAndGoesAfterADay()
    {
        await Put("shard/object", "kept");
        string fresh = PathOf("shard/object~0123");
        string old = PathOf("shard/dead~4567");
        File.WriteAllText(fresh, "being written");
        File.WriteAllText(old, "left behind");
        File.SetLastWriteTimeUtc(old, DateTime.UtcNow.AddHours(-25));
        Assert.Equal(["shard/object"], await List(""));
        Assert.True(File.Exists(fresh));
        Assert.False(File.Exists(old));
        File.Delete(fresh);
    }

    /// <summary>A volume's own folders, a note of someone.</summary>
    [Fact]
    public async Task FilesThatNoStoreWroteAreLeftAlone()
    {
        Directory.CreateDirectory(PathOf("lost+found/inner"));
        File.WriteAllText(PathOf("read me"), "a note");
        await Put("object", "kept");
        Assert.Equal(["object"], await List(""));
        Assert.True(File.Exists(PathOf("read me")));
    }

    [Fact]
    public async Task FoldersGoWithTheirLastObject()
    {
        await Put("app/0/7/1.sst", "one");
        await Put("app/1/7/1.sst", "one");
        await Store.DeleteAsync(Name("app/0/7/1.sst"), Stop);
        Assert.False(Directory.Exists(PathOf("app/0")));
        Assert.True(Directory.Exists(PathOf("app/1/7")));
        await Store.DeleteAsync(Name("app/1/7/1.sst"), Stop);
        Assert.True(Directory.Exists(_folder.Path));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Fact]
    public async Task AFailedWriteLeavesNothing()
    {
        using CancellationTokenSource stop = new();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Store.PutAsync(Name("app/0/7/1.sst"), Bytes(10, seed: 1), stop.Token));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    /// <summary>The folder goes with its last object while another object is written to it.</summary>
    [Fact]
    public async Task AWriterAndADeleterMayMeetInAFolder() => await Task.WhenAll(Enumerable.Range(0, 8).Select(async writer =>
    {
        for (int round = 0; round < 100; round++)
        {
            await Put($"app/0/{writer}", "object");
            await Store.DeleteAsync(Name($"app/0/{writer}"), Stop);
        }
    }));

    [Fact]
    public async Task AnObjectThatIsBeingReadStaysReadable()
    {
        await Put("object", "the old one");
        await using Stream? read = await Store.OpenAsync(Name("object"), Stop);
        await Put("object", "new");
        await Store.DeleteAsync(Name("object"), Stop);
        using StreamReader text = new(read!);
        Assert.Equal("the old one", await text.ReadToEndAsync(Stop));
    }

    /// <summary>There, of a folder that is read while its files are replaced, many are passed over.</summary>
    [Fact]
    public async Task AListOnTmpfsHasWhatIsWrittenOverMeanwhile()
    {
        FolderSnapshotStore store = Mount(megabytes: 50);
        string[] kept = [.. Enumerable.Range(0, 3_000).Select(number => $"shard/{number:0000}")];
        foreach (string name in kept)
        {
            await store.PutAsync(name, Bytes(1, seed: 1), Stop);
        }

        using CancellationTokenSource listed = new();
        Task writer = Task.Run(
            async () =>
            {
                for (int round = 0; !listed.IsCancellationRequested; round++)
                {
                    await store.PutAsync(kept[round % kept.Length], Bytes(1, seed: 1), Stop);
                }
            },
            Stop);
        for (int list = 0; list < 20; list++)
        {
            Assert.Equal(kept, (await store.ListAsync("", Stop)).Select(one => one.Name));
        }

        await listed.CancelAsync();
        await writer;
    }

    [Fact]
    public async Task AFullDiskIsSaidAndKeepsWhatIsThere()
    {
        FolderSnapshotStore store = Mount(megabytes: 2);
        await store.PutAsync("object", Bytes(1_000_000, seed: 1), Stop);
        IOException error = await Assert.ThrowsAsync<IOException>(() => store.PutAsync("object", Bytes(3_000_000, seed: 2), Stop));
        Assert.Contains(Disk, error.Message, StringComparison.Ordinal);
        Assert.Contains("'object' cannot be written", error.Message, StringComparison.Ordinal);
        Assert.Contains("No space left", error.Message, StringComparison.Ordinal);
        Assert.Equal([new SnapshotObject("object", 1_000_000)], await store.ListAsync("", Stop));
        Assert.Single(Directory.EnumerateFileSystemEntries(Disk));
    }

    [Fact]
    public async Task AReadOnlyDiskIsSaidAndCanBeRead()
    {
        FolderSnapshotStore store = Mount(megabytes: 2);
        await store.PutAsync("shard/object", Bytes(1_000, seed: 1), Stop);
        Assert.Equal(0, Run("mount", "-o", "remount,ro", Disk));
        foreach (Func<Task> call in (Func<Task>[])[() => store.PutAsync("shard/object", Bytes(1, seed: 2), Stop), () => store.DeleteAsync("shard/object", Stop)])
        {
            IOException error = await Assert.ThrowsAsync<IOException>(call);
            Assert.Contains(Disk, error.Message, StringComparison.Ordinal);
            Assert.Contains("'shard/object'", error.Message, StringComparison.Ordinal);
            Assert.Contains("Read-only", error.Message, StringComparison.Ordinal);
        }

        Assert.Equal([new SnapshotObject("shard/object", 1_000)], await store.ListAsync("", Stop));
        await using Stream? read = await store.OpenAsync("shard/object", Stop);
        Assert.Equal(1_000, read!.Length);
    }

    [Fact]
    public async Task AFolderWithoutRightsIsSaid()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "No folder is known here that not even root may write.");
        IOException error = await Assert.ThrowsAsync<IOException>(() => new FolderSnapshotStore("/proc/sys").PutAsync("object", Bytes(1, seed: 1), Stop));
        Assert.Contains("Snapshot store in the folder /proc/sys: 'object' cannot be written: ", error.Message, StringComparison.Ordinal);
    }

    private string PathOf(string name)
    {
        string path = Path.Combine(_folder.Path, Name(name));
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        return path;
    }

    private FolderSnapshotStore Mount(int megabytes)
    {
        Directory.CreateDirectory(Disk);
        _mounted = OperatingSystem.IsLinux() && Run("mount", "-t", "tmpfs", "-o", $"size={megabytes}m", "tmpfs", Disk) == 0;
        Assert.SkipUnless(_mounted, "No small file system can be mounted here: it takes Linux and root.");
        return new FolderSnapshotStore(Disk);
    }

    private static int Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode;
    }
}
