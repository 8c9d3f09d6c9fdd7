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
