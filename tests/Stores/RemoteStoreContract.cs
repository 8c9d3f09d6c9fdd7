using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The contract, and what a network between a store and its server brings.</summary>
public abstract class RemoteStoreContract : SnapshotStoreContract
{
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(1);

    /// <summary>Where the server listens, without encryption; skips the test where it does not.</summary>
    private protected abstract (string Host, int Port) Address { get; }

    /// <summary>The same store, by another port of this machine.</summary>
    private protected abstract ISnapshotStore StoreAt(int port, TimeSpan patience);

    /// <summary>Which reading of the content goes to the server.</summary>
    private protected abstract int ReadingThatIsSent { get; }

    [Fact]
    public async Task AReadThatBreaksInTheMidstIsAFailure()
    {
        using TcpProxy proxy = new(Address.Host, Address.Port);
        await AReadFails(proxy, patience: TimeSpan.FromSeconds(60), proxy.Cut);
    }

    [Fact]
    public async Task AReadOfWhichNothingMoreComesIsAFailure()
    {
        using TcpProxy proxy = new(Address.Host, Address.Port);
        await AReadFails(proxy, patience: TimeSpan.FromSeconds(5), proxy.Freeze);
    }

    [Fact]
    public async Task AWriteThatBreaksInTheMidstLeavesTheOldObjectOrNone()
    {
        await Put("old", "old");
        foreach (string name in (string[])["old", "new"])
        {
            using TcpProxy proxy = new(Address.Host, Address.Port);
            using BrokenContent content = new(30_000_000, at: 20_000_000, proxy.Cut, ReadingThatIsSent);
            IOException error = await Assert.ThrowsAsync<IOException>(() => StoreAt(proxy.Port, TimeSpan.FromSeconds(60)).PutAsync(Name(name), content, Stop));
            Assert.Contains(Name(name), error.Message, StringComparison.Ordinal);
        }

        Assert.Equal("old", await Text("old"));
        Assert.Equal(["old"], await List(""));
    }

    [Fact]
    public async Task AServerThatIsSilentIsAFailure()
    {
        using TcpProxy proxy = new(Address.Host, Address.Port, frozen: true);
        ISnapshotStore store = StoreAt(proxy.Port, Short);
        foreach (Func<Task> call in (Func<Task>[])
            [
                () => store.PutAsync("object", Bytes(100, seed: 1), Stop), () => store.OpenAsync("object", Stop),
                () => store.ListAsync("object", Stop), () => store.DeleteAsync("object", Stop),
            ])
        {
            IOException error = await Assert.ThrowsAsync<IOException>(call);
            Assert.Contains("object", error.Message, StringComparison.Ordinal);
            Assert.Contains("nothing moved for 1 seconds", error.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>As from a slow disk, or under a limit of bytes per second.</summary>
    [Fact]
    public async Task ContentThatComesSlowlyIsNoFailure()
    {
        TimeSpan patience = TimeSpan.FromSeconds(5);
        long next = 0;
        BrokenContent? content = null;
        content = new(9_000_000, at: 0, () =>
        {
            if (content!.Position >= next)
            {
                next += 1_000_000;
                Thread.Sleep(patience / 6);
            }
        });
        await StoreAt(Address.Port, patience).PutAsync(Name("object"), content, Stop);
        Assert.Equal([new SnapshotObject(Name("object"), 9_000_000)], await Store.ListAsync(Name(""), Stop));
    }

    private async Task AReadFails(TcpProxy proxy, TimeSpan patience, Action act)
    {
        await Store.PutAsync(Name("object"), Bytes(40_000_000, seed: 1), Stop);
        await using Stream read = (await StoreAt(proxy.Port, patience).OpenAsync(Name("object"), Stop))!;
        await read.ReadExactlyAsync(new byte[1_000_000], Stop);
        act();
        IOException error = await Assert.ThrowsAsync<IOException>(() => read.CopyToAsync(Stream.Null, Stop));
        Assert.Contains($"{Name("object")}' cannot be read: ", error.Message, StringComparison.Ordinal);
        TestContext.Current.TestOutputHelper?.WriteLine(error.Message);
    }
}
