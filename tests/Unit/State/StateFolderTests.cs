using Xunit;

namespace KStreamSharp.Tests.State;

/// <summary>The files of a state folder that say whose it is, as a full disk or the end of the process left them.</summary>
public sealed class StateFolderTests : IDisposable
{
    private readonly string _dir = Directory.CreateTempSubdirectory("kstream-folder-").FullName;

    public void Dispose() => Directory.Delete(_dir, recursive: true);

    [Fact]
    public void AFormatThatWasNotWrittenWholeIsWrittenAnew()
    {
        Directory.CreateDirectory(Path.Combine(_dir, "app"));
        File.WriteAllBytes(InApp("format"), []);
        using (StateFolder folder = StateFolder.Open(_dir, "app", "me"))
        {
            Assert.Equal("me", folder.InstanceId);
        }

        Assert.Equal("1\n", File.ReadAllText(InApp("format")));
        StateFolder.CheckFormat(Path.Combine(_dir, "app"));
    }

    [Fact]
    public void AnotherFormatIsRefused()
    {
        Directory.CreateDirectory(Path.Combine(_dir, "app"));
        File.WriteAllText(InApp("format"), "2\n");
        Assert.Contains("has format 2; this version reads format 1", Assert.Throws<StreamException>(() => StateFolder.Open(_dir, "app", "me")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheIdIsWrittenOnlyWhenItChanges()
    {
        DateTime then = new(2024, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        string id;
        using (StateFolder folder = StateFolder.Open(_dir, "app", instanceId: null))
        {
            id = folder.InstanceId;
        }

        // What is written first empties the file: on a full disk the id would be gone.
        File.SetLastWriteTimeUtc(InApp("instance"), then);
        using (StateFolder folder = StateFolder.Open(_dir, "app", instanceId: null))
        {
            Assert.Equal(id, folder.InstanceId);
            Assert.Equal(then, File.GetLastWriteTimeUtc(InApp("instance")));
        }

        using (StateFolder other = StateFolder.Open(_dir, "app", "other"))
        {
            Assert.Equal("other", other.InstanceId);
        }

        using StateFolder again = StateFolder.Open(_dir, "app", instanceId: null);
        Assert.Equal("other", again.InstanceId);
    }

    [Fact]
    public void WhatIsLeftOfAFileThatWasOnItsWayIsNoMatter()
    {
        Directory.CreateDirectory(Path.Combine(_dir, "app"));
        File.WriteAllText(InApp("format.new"), "");
        File.WriteAllText(InApp("instance.new"), "hal");
        using StateFolder folder = StateFolder.Open(_dir, "app", instanceId: null);
        Assert.Equal(12, folder.InstanceId.Length);
        Assert.Equal(folder.InstanceId + "\n", File.ReadAllText(InApp("instance")));
    }

    private string InApp(string name) => Path.Combine(_dir, "app", name);
}
