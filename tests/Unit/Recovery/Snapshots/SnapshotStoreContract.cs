using System.Security.Cryptography;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>
/// What every <see cref="ISnapshotStore"/> keeps to. Derive from it and say how a store is made; each test works under a prefix
/// of its own, so that tests may share a server.
/// </summary>
public abstract class SnapshotStoreContract : IAsyncLifetime
{
    private readonly string _root = $"contract-{Guid.NewGuid().ToString("N")[..12]}/";

    /// <summary>A store to test; skips or fails the test where there is none.</summary>
    private protected abstract ISnapshotStore CreateStore();

    /// <summary>Stores that cannot work, by what is wrong: the words that the message must have, and those it must not have.</summary>
    private protected abstract IReadOnlyDictionary<string, BrokenStore> BrokenStores();

    private protected sealed record BrokenStore(ISnapshotStore Store, string[] Says, string[] Hides);

    private protected ISnapshotStore Store => field ??= CreateStore();

    private protected static CancellationToken Stop => TestContext.Current.CancellationToken;

    public virtual ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public virtual async ValueTask DisposeAsync()
    {
        if (TestContext.Current.TestState?.Result == TestResult.Skipped)
        {
            return;
        }

        await Parallel.ForEachAsync(await Store.ListAsync(_root, CancellationToken.None), async (left, stop) => await Store.DeleteAsync(left.Name, stop));
        Assert.Empty(await Store.ListAsync(_root, CancellationToken.None));
        GC.SuppressFinalize(this);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(5_000_000)]
    [InlineData(40_000_000)]
    public async Task AnObjectIsReadAsItWasWritten(int bytes)
    {
        using Stream content = Bytes(bytes, seed: bytes);
        byte[] expected = await SHA256.HashDataAsync(content, Stop);
        content.Position = 0;
        await Store.PutAsync(Name("object"), content, Stop);
        await using Stream? read = await Store.OpenAsync(Name("object"), Stop);
        Assert.Equal(expected, await SHA256.HashDataAsync(read!, Stop));
        Assert.Equal([new SnapshotObject(Name("object"), bytes)], await Store.ListAsync(_root, Stop));
    }

    [Fact]
    public async Task ContentIsTakenFromItsPositionOnAndStaysOpen()
    {
        using Stream content = Bytes(100_000, seed: 1);
        content.Position = 60_000;
        await Store.PutAsync(Name("tail"), content, Stop);
        content.Position = 60_000;
        Assert.Equal(await All(content), await Read("tail"));
    }

    [Fact]
    public async Task AnObjectIsWrittenOver()
    {
        await Put("object", "the old one, which is longer");
        await Put("object", "new");
        Assert.Equal("new", await Text("object"));
        Assert.Equal([new SnapshotObject(Name("object"), 3)], await Store.ListAsync(_root, Stop));
    }

    [Fact]
    public async Task WhatIsMissingIsNull()
    {
        Assert.Null(await Store.OpenAsync(Name("nothing"), Stop));
        await Put("some/thing", "");
        Assert.Null(await Store.OpenAsync(Name("some/nothing"), Stop));
    }

    [Fact]
    public async Task ADeletedObjectIsGoneAndTheOthersStay()
    {
        await Put("shard/1/a", "a");
        await Put("shard/1/b", "b");
        await Store.DeleteAsync(Name("shard/1/a"), Stop);
        await Store.DeleteAsync(Name("shard/1/a"), Stop);
        await Store.DeleteAsync(Name("never/there"), Stop);
        Assert.Null(await Store.OpenAsync(Name("shard/1/a"), Stop));
        Assert.Equal(["shard/1/b"], await List(""));
        await Store.DeleteAsync(Name("shard/1/b"), Stop);
        Assert.Empty(await List(""));
        await Put("shard/1/a", "again");
        Assert.Equal("again", await Text("shard/1/a"));
    }

    [Fact]
    public async Task ObjectsAreListedByTheBeginningOfTheirNamesInOrdinalOrder()
    {
        string[] names = ["a/1/x", "a/10/y", "a/2/z", "a-b", "a.c", "aB", "ab", "a_d", "b/1", "A/1"];
        foreach (string name in names)
        {
            await Put(name, name);
        }

        Assert.Equal(names.Order(StringComparer.Ordinal), await List(""));
        Assert.Equal(["a/1/x", "a/10/y", "a/2/z"], await List("a/"));
        Assert.Equal(["a/1/x", "a/10/y"], await List("a/1"));
        Assert.Equal(["a/1/x"], await List("a/1/"));
        Assert.Equal(["a/1/x"], await List("a/1/x"));
        Assert.Equal(["a-b", "a.c", "a/1/x", "a/10/y", "a/2/z", "aB", "a_d", "ab"], await List("a"));
        Assert.Empty(await List("c"));
        Assert.Empty(await List("a/1/x/y"));
        Assert.Empty(await List("nothing/at/all"));
    }

    [Fact]
    public async Task MoreObjectsThanAPageHoldsAreListed()
    {
        string[] names = [.. Enumerable.Range(0, 1_100).Select(number => $"{number % 11}/{number:x}")];
        await Parallel.ForEachAsync(names, Parallelism, async (name, _) => await Put(name, name));
        Assert.Equal(names.Order(StringComparer.Ordinal), await List(""));
        IReadOnlyList<SnapshotObject> found = await Store.ListAsync(_root, Stop);
        Assert.All(found, one => Assert.Equal(one.Name.Length - _root.Length, one.Bytes));
    }

    [Theory]
    [InlineData("abcdefghijklmnopqrstuvwxyz/ABCDEFGHIJKLMNOPQRSTUVWXYZ/0123456789._-")]
    [InlineData(".hidden/_under/-dash")]
    [InlineData("dot./dash-/.a.b-c_d")]
    [InlineData("000012.sst")]
    public async Task AnyAllowedLetterServes(string name)
    {
        await Put(name, name);
        Assert.Equal(name, await Text(name));
        Assert.Equal([name], await List(""));
        Assert.Equal([name], await List(name[..2]));
        await Store.DeleteAsync(Name(name), Stop);
        Assert.Empty(await List(""));
    }

    [Theory]
    [InlineData("")]
    [InlineData("/a")]
    [InlineData("a/")]
    [InlineData("a//b")]
    [InlineData("..")]
    [InlineData("../a")]
    [InlineData("a/../../b")]
    [InlineData("a..b")]
    [InlineData(".")]
    [InlineData("a/./b")]
    [InlineData("a b")]
    [InlineData("a\\b")]
    [InlineData("a~b")]
    [InlineData("a?b")]
    [InlineData("a%2Fb")]
    [InlineData("ä")]
    [InlineData("a\n")]
    [InlineData("a\0b")]
    public async Task AnyOtherNameIsRefused(string name)
    {
        await Assert.ThrowsAsync<ArgumentException>(() => Store.PutAsync(name, Stream.Null, Stop));
        await Assert.ThrowsAsync<ArgumentException>(() => Store.OpenAsync(name, Stop));
        await Assert.ThrowsAsync<ArgumentException>(() => Store.DeleteAsync(name, Stop));
        if (name is not ("" or "a/" or "."))
        {
            await Assert.ThrowsAsync<ArgumentException>(() => Store.ListAsync(name, Stop));
        }
    }

    /// <summary>Some at once fail at the first byte, others when much is written.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1_000)]
    [InlineData(20_000_000)]
    public async Task ContentThatFailsLeavesTheOldObjectOrNone(int failsAt)
    {
        await Put("old", "old");
        foreach (string name in (string[])["old", "new"])
        {
            using BrokenContent content = new(30_000_000, failsAt, () => throw new IOException("the disk is broken"));
            IOException error = await Assert.ThrowsAsync<IOException>(() => Store.PutAsync(Name(name), content, Stop));
            Assert.Contains(Name(name), error.Message, StringComparison.Ordinal);
            Assert.Contains("the disk is broken", error.ToString(), StringComparison.Ordinal);
        }

        Assert.Equal("old", await Text("old"));
        Assert.Null(await Store.OpenAsync(Name("new"), Stop));
        Assert.Equal(["old"], await List(""));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(20_000_000)]
    public async Task AWriteThatIsGivenUpLeavesTheOldObjectOrNone(int givenUpAt)
    {
        await Put("old", "old");
        foreach (string name in (string[])["old", "new"])
        {
            using CancellationTokenSource stop = new();
            using BrokenContent content = new(30_000_000, givenUpAt, stop.Cancel);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Store.PutAsync(Name(name), content, stop.Token));
        }

        Assert.Equal("old", await Text("old"));
        Assert.Null(await Store.OpenAsync(Name("new"), Stop));
        Assert.Equal(["old"], await List(""));
    }

    [Fact]
    public async Task CallsThatAreGivenUpBeforehandDoNothing()
    {
        await Put("old", "old");
        CancellationToken stopped = new(canceled: true);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Store.PutAsync(Name("new"), Bytes(10, seed: 1), stopped));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Store.OpenAsync(Name("old"), stopped));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Store.ListAsync(_root, stopped));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Store.DeleteAsync(Name("old"), stopped));
        Assert.Equal(["old"], await List(""));
    }

    [Fact]
    public async Task AReaderSeesTheOldObjectOrTheNewOneWhole()
    {
        const int Size = 12_000_000;
        await Store.PutAsync(Name("object"), Bytes(Size, seed: 0), Stop);
        string[] whole = [.. Enumerable.Range(0, 5).Select(seed => Convert.ToHexString(SHA256.HashData(Bytes(Size, seed))))];
        using CancellationTokenSource written = new();
        Task[] readers = [.. Enumerable.Range(0, 2).Select(async _ =>
        {
            do
            {
                await using Stream? read = await Store.OpenAsync(Name("object"), Stop);
                try
                {
                    Assert.Contains(Convert.ToHexString(await SHA256.HashDataAsync(read!, Stop)), whole);
                }
                catch (IOException)
                {
                    // The server would not go on with what was replaced: a failure, not a mixture.
                }
            }
            while (!written.IsCancellationRequested);
        })];
        for (int seed = 1; seed < whole.Length; seed++)
        {
            await Store.PutAsync(Name("object"), Bytes(Size, seed), Stop);
        }

        await written.CancelAsync();
        await Task.WhenAll(readers);
        Assert.Equal(whole[^1], Convert.ToHexString(SHA256.HashData((await Read("object"))!)));
    }

    [Fact]
    public async Task OfSeveralWritersOfOneObjectOneIsLastAndWhole()
    {
        const int Size = 10_000_000;
        string[] whole = [.. Enumerable.Range(0, 4).Select(seed => Convert.ToHexString(SHA256.HashData(Bytes(Size, seed))))];
        await Task.WhenAll(Enumerable.Range(0, whole.Length).Select(seed => Store.PutAsync(Name("object"), Bytes(Size, seed), Stop)));
        Assert.Contains(Convert.ToHexString(SHA256.HashData((await Read("object"))!)), whole);
        Assert.Equal([new SnapshotObject(Name("object"), Size)], await Store.ListAsync(_root, Stop));
    }

    [Fact]
    public async Task AListHasAllThatWasKeptBeforeItWhateverIsWrittenMeanwhile()
    {
        string[] kept = [.. Enumerable.Range(0, 200).Select(number => $"kept/{number:000}")];
        await Parallel.ForEachAsync(kept, Parallelism, async (name, _) => await Put(name, name));
        using CancellationTokenSource listed = new();
        Task[] writers = [.. Enumerable.Range(0, 4).Select(async writer =>
        {
            for (int round = 0; !listed.IsCancellationRequested; round++)
            {
                await Put($"kept/new-{writer}-{round % 5}", "new");
                await Put($"shard-{writer}/{round % 3}/file", "new");
                await Put(kept[(round * 7 + writer) % kept.Length], "over");
                await Store.DeleteAsync(Name($"kept/new-{writer}-{(round + 2) % 5}"), Stop);
                await Store.DeleteAsync(Name($"shard-{writer}/{(round + 1) % 3}/file"), Stop);
            }
        })];
        for (int list = 0; list < 20; list++)
        {
            IReadOnlyList<string> found = await List("");
            Assert.Empty(kept.Except(found));
            Assert.Equal(found.Distinct().Order(StringComparer.Ordinal), found);
        }

        await listed.CancelAsync();
        await Task.WhenAll(writers);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task AnySequenceOfCallsLeavesWhatAModelHas(int seed)
    {
        Random random = new(seed);
        Dictionary<string, byte[]> model = [];
        string[] names = [.. from shard in (int[])[0, 1, 10] from file in (string[])["1.sst", "2.sst", "manifest"] select $"app/{shard}/7/{file}"];
        string[] prefixes = ["", "a", "app/", "app/1", "app/1/", "app/10/7/", "app/1/7/1", "b"];
        for (int call = 0; call < 250; call++)
        {
            string name = names[random.Next(names.Length)];
            switch (random.Next(10))
            {
                case < 4:
                    byte[] content = new byte[random.Next(5) == 0 ? 0 : random.Next(1, 50_000)];
                    random.NextBytes(content);
                    await Store.PutAsync(Name(name), new MemoryStream(content), Stop);
                    model[name] = content;
                    break;
                case < 7:
                    Assert.Equal(model.GetValueOrDefault(name), await Read(name));
                    break;
                case < 9:
                    await Store.DeleteAsync(Name(name), Stop);
                    model.Remove(name);
                    break;
                default:
                    string prefix = prefixes[random.Next(prefixes.Length)];
                    Assert.Equal(
                        model.Where(one => one.Key.StartsWith(prefix, StringComparison.Ordinal)).OrderBy(one => one.Key, StringComparer.Ordinal)
                            .Select(one => new SnapshotObject(Name(one.Key), one.Value.Length)),
                        await Store.ListAsync(Name(prefix), Stop));
                    break;
            }
        }
    }

    [Fact]
    public async Task AStoreThatCannotWorkSaysSoWithoutSecrets()
    {
        _ = Store;
        await Task.WhenAll(
            from store in BrokenStores()
            let broken = store.Value
            from call in ((string Name, Func<Task> Make)[])
                [
                    ("shard/object", () => broken.Store.PutAsync("shard/object", Bytes(10, seed: 1), Stop)), ("shard/object", () => broken.Store.OpenAsync("shard/object", Stop)),
                    ("shard/object", () => broken.Store.DeleteAsync("shard/object", Stop)), ("shard/", () => broken.Store.ListAsync("shard/", Stop)),
                ]
            select Refuses(store.Key, broken, call.Name, call.Make));

        static async Task Refuses(string wrong, BrokenStore broken, string name, Func<Task> call)
        {
            Exception? error = await Record.ExceptionAsync(call);
            TestContext.Current.TestOutputHelper?.WriteLine($"{wrong}: {error?.Message}");
            Assert.True(error is IOException, $"{wrong}: {error}");
            Assert.All([name, .. broken.Says], word => Assert.Contains(word, error.Message, StringComparison.Ordinal));
            Assert.DoesNotContain('\n', error.Message);
            Assert.All(broken.Hides, secret => Assert.DoesNotContain(secret, error.ToString(), StringComparison.Ordinal));
        }
    }

    private static ParallelOptions Parallelism => new() { MaxDegreeOfParallelism = 16, CancellationToken = Stop };

    /// <summary>An object's name in the store, under the prefix of this test.</summary>
    private protected string Name(string name) => _root + name;

    private protected Task Put(string name, string text) => Store.PutAsync(Name(name), new MemoryStream(System.Text.Encoding.UTF8.GetBytes(text)), Stop);

    private protected async Task<IReadOnlyList<string>> List(string prefix) =>
        [.. (await Store.ListAsync(Name(prefix), Stop)).Select(one => one.Name[_root.Length..])];

    private protected async Task<byte[]?> Read(string name)
    {
        await using Stream? read = await Store.OpenAsync(Name(name), Stop);
        return read is null ? null : await All(read);
    }

    private protected static MemoryStream Bytes(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return new MemoryStream(bytes, writable: false);
    }

    private protected async Task<string?> Text(string name) => await Read(name) is { } bytes ? System.Text.Encoding.UTF8.GetString(bytes) : null;

    private static async Task<byte[]> All(Stream stream)
    {
        using MemoryStream all = new();
        await stream.CopyToAsync(all, Stop);
        return all.ToArray();
    }
}
