using System.Diagnostics;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A disk that is full, or cannot be written, on a small file system of its own; only where one can be mounted.</summary>
public sealed class DiskFullTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private bool _mounted;

    public void Dispose()
    {
        if (_mounted)
        {
            Run("umount", "-l", _folder.File("disk"));
        }

        _folder.Dispose();
    }

    [Theory]
    [InlineData(3)]
    [InlineData(12)]
    public async Task AFullDiskEndsTheProcessWithALineAndNothingIsLostWhenThereIsRoomAgain(int megabytes)
    {
        Mount(megabytes);
        using (HostProcess full = Host("run count --until-end --generate 100000"))
        {
            Assert.Equal((int)ExitCode.State, await full.ExitAsync());
            Assert.Contains("Make room or mend the disk", full.Errors, StringComparison.Ordinal);
            Assert.DoesNotContain("   at ", full.Errors, StringComparison.Ordinal);
        }

        Assert.Equal(0, Run("mount", "-o", "remount,size=200m", _folder.File("disk")));
        using HostProcess again = Host("run count --until-end");
        Assert.Equal(0, await again.ExitAsync());
        using EmbeddedBroker broker = EmbeddedBroker.Open(_folder.File("disk/state/broker"));
        ILookup<string, long> counts = broker.ReadAll("count-output")
            .ToLookup(record => Convert.ToHexString(record.Key!), record => Serde.Int64.Deserialize(record.Value!, default));
        Dictionary<string, int> inputs = broker.ReadAll("input").GroupBy(record => Convert.ToHexString(record.Key!)).ToDictionary(group => group.Key, group => group.Count());
        Assert.NotEmpty(inputs);
        foreach ((string key, int count) in inputs)
        {
            Assert.Equal(Enumerable.Range(1, count).Select(number => (long)number), counts[key]);
        }
    }

    [Fact]
    public async Task AFolderThatCannotBeWrittenIsNotSaidToBeInUse()
    {
        Mount(megabytes: 50);
        using (HostProcess first = Host("run count --until-end --generate 10"))
        {
            Assert.Equal(0, await first.ExitAsync());
        }

        Assert.Equal(0, Run("mount", "-o", "remount,ro", _folder.File("disk")));
        using HostProcess second = Host("run count --until-end");
        Assert.Equal((int)ExitCode.State, await second.ExitAsync());
        Assert.DoesNotContain("in use", second.Errors, StringComparison.Ordinal);
        Assert.Contains("Read-only file system", second.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatWasBegunOnAFullDiskIsUsedWhenThereIsRoomAgain()
    {
        Mount(megabytes: 32);
        string filler = _folder.File("disk/filler");
        List<string> begun = [];
        int failed = 0;
        for (int pages = 0; pages < 3_000; pages += Math.Max(1, pages / 4))
        {
            string dir = Directory.CreateDirectory(_folder.File($"disk/{pages}")).FullName;
            begun.Add(dir);
            Fill(filler, pages);
            try
            {
                Begin(dir);
            }
            catch (StreamException error)
            {
                failed++;
                Assert.Equal(ExitCode.State, error.Code);
                Assert.Contains("No space left on device", error.Message, StringComparison.Ordinal);
            }

            File.Delete(filler);
        }

        Assert.InRange(failed, 10, begun.Count - 1);
        Assert.Equal(0, Run("mount", "-o", "remount,size=200m", _folder.File("disk")));
        foreach (string dir in begun)
        {
            Begin(dir);
        }
    }

    /// <summary>A state folder with a shard, and the folder of an embedded broker, as an instance makes them or finds them.</summary>
    private static void Begin(string dir)
    {
        using StateFolder folder = StateFolder.Open(dir, "app", "me");
        using StateLimits limits = new(1 << 20, 8 << 20, 8 << 20, evictAlways: false);
        string identity = StateFolder.Identity("app", 0, new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
        using (ShardStore store = ShardStore.Open(folder.ShardPath(0), limits))
        {
            Assert.Equal(identity, store.ReadIdentity() ?? identity);
            Assert.Equal("v", System.Text.Encoding.UTF8.GetString(store.Get("step", "k"u8) ?? "v"u8.ToArray()));
            store.WriteIdentity(identity);
            using StoreBatch batch = store.NewBatch();
            batch.Put("step", "k"u8, "v"u8);
            batch.Put("other", "k"u8, "v"u8);
            store.Write(batch);
            store.Flush();
        }

        using EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(dir, "broker"));
        if (broker.DescribeTopic("in") is null)
        {
            broker.CreateTopic("in", 1);
        }
    }

    /// <summary>Takes all room of the disk but some pages of 4 KiB.</summary>
    private static void Fill(string filler, int pagesLeft)
    {
        byte[] page = new byte[4096];
        using (FileStream file = new(filler, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0))
        {
            try
            {
                while (true)
                {
                    file.Write(page);
                }
            }
            catch (IOException)
            {
                // It is full now.
            }
        }

        using FileStream shorter = new(filler, FileMode.Open, FileAccess.Write, FileShare.None, bufferSize: 0);
        shorter.SetLength(Math.Max(0, (shorter.Length & ~4095) - (4096L * pagesLeft)));
    }

    private HostProcess Host(string arguments) => HostProcess.Start(_folder.File("disk"), $"{arguments} --state-dir {_folder.File("disk/state")}");

    private void Mount(int megabytes)
    {
        string disk = Directory.CreateDirectory(_folder.File("disk")).FullName;
        _mounted = OperatingSystem.IsLinux() && Run("mount", "-t", "tmpfs", "-o", $"size={megabytes}m", "tmpfs", disk) == 0;
        Assert.SkipUnless(_mounted, "No small file system can be mounted here: it takes Linux and root.");
    }

    private static int Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode;
    }
}
