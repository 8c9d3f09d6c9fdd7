using KStreamSharp.Testing;
using KStreamSharp.Tests.Runtime;
using Xunit;

namespace KStreamSharp.Tests.Recovery;

/// <summary>Snapshots on the engine: taken, published, restored from, collected, and what a crash at each step leaves.</summary>
public sealed class SnapshotTests : IDisposable
{
    private const int Shards = 2;

    private readonly LedgerFlow _ledger = new();
    private readonly MemorySnapshotStore _store = new();
    private readonly Cluster _cluster;
    private int _kept = 3;
    private TimeSpan _interval = TimeSpan.FromSeconds(2);

    public SnapshotTests()
    {
        _cluster = new Cluster(_ledger.Flow, Shards) { Steps = new SnapshotsFirst() };
        _cluster.Adjust = options => options with { Snapshots = new SnapshotOptions { Store = _store, Interval = _interval, Kept = _kept } };
    }

    public void Dispose() => _cluster.Dispose();

    [Fact]
    public void AnEmptyFolderIsFilledFromTheSnapshotAndTheTail()
    {
        Cluster.Member one = RunWithSnapshots();
        PushSome();
        AwaitCounted();
        one.Crash();
        one.LoseFolder();

        one.Open();
        AwaitRunning(one);

        EngineStatus status = one.Instance!.Status;
        Assert.Equal(Shards, status.SnapshotsRestored);
        Assert.InRange(status.RecordsRestored, 1, 60);
        Assert.Equal(0, status.LocalStatesWiped);
        PushSome();
        EndAndCheck();
    }

    [Fact]
    public void ALocalFolderThatIsNearIsKept()
    {
        Cluster.Member one = RunWithSnapshots();
        one.Stop();

        one.Open();
        AwaitRunning(one);

        Assert.Equal((0, 0), (one.Instance!.Status.SnapshotsRestored, one.Instance.Status.LocalStatesWiped));
        EndAndCheck();
    }

    [Fact]
    public void ASecondSnapshotUploadsOnlyWhatIsNew()
    {
        Cluster.Member one = Run("one");
        PushSome(300);
        AwaitSnapshots(one);
        long first = one.Instance!.Status.SnapshotBytesUploaded;
        _ledger.Push(_cluster, "a1", 1);
        AwaitSnapshots(one, atLeast: Shards + 1);

        Assert.InRange(one.Instance.Status.SnapshotBytesUploaded - first, 1, first / 2);
    }

    [Fact]
    public void AnIdleShardGetsNoFurtherSnapshots()
    {
        Cluster.Member one = RunWithSnapshots();
        Rounds(20);
        long published = one.Instance!.Status.SnapshotsPublished;

        Rounds(300);

        Assert.Equal(published, one.Instance.Status.SnapshotsPublished);
    }

    [Fact]
    public void WhatNoKeptSnapshotNamesIsDeleted()
    {
        _kept = 1;
        Cluster.Member one = Run("one");
        for (int i = 1; i <= 4; i++)
        {
            PushSome(100);
            AwaitSnapshots(one, atLeast: Shards * i);
        }

        Rounds(5);
        HashSet<string> named = [.. Manifests().SelectMany(manifest => manifest.Files).Select(file => file.Object)];
        Assert.Equal(named.Order(), _store.Objects.Keys.Where(name => !name.EndsWith(".manifest", StringComparison.Ordinal)).Order());
        Assert.Equal(Shards, _store.Objects.Keys.Count(name => name.EndsWith(".manifest", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("snapshot.1")]
    [InlineData("snapshot.2")]
    [InlineData("snapshot.3")]
    [InlineData("snapshot.5")]
    [InlineData("commit.2")]
    [InlineData("commit.3")]
    [InlineData("commit.4")]
    [InlineData("commit.5")]
    public void ACrashAtAStepLosesNothingAndTheNextOwnerCleansUp(string step)
    {
        _kept = 1;
        Cluster.Member one = RunWithSnapshots();
        bool armed = false;
        _cluster.StopsAt = (_, at) =>
        {
            armed |= at == "snapshot.1";
            return armed && at == step;
        };
        PushSome();
        _cluster.Until(() => !one.IsUp, "it stopped");
        _cluster.StopsAt = (_, _) => false;
        one.LoseFolder();

        one.Open();
        AwaitRunning(one);
        Assert.Equal(Shards, one.Instance!.Status.SnapshotsRestored);
        PushSome();
        AwaitSnapshots(one);
        Rounds(20);

        HashSet<string> named = [.. Manifests().SelectMany(manifest => manifest.Files).Select(file => file.Object)];
        Assert.Equal(named.Order(), _store.Objects.Keys.Where(name => !name.EndsWith(".manifest", StringComparison.Ordinal)).Order());
        EndAndCheck();
    }

    [Theory]
    [InlineData("restore.file")]
    [InlineData("takeover.2")]
    [InlineData("takeover.3")]
    [InlineData("takeover.4")]
    [InlineData("takeover.5")]
    public void ACrashInARestoreFromASnapshotBeginsItAgain(string step)
    {
        Cluster.Member one = RunWithSnapshots();
        one.Crash();
        one.LoseFolder();
        _cluster.StopsAt = (_, at) => at == step;
        one.Open();
        _cluster.Until(() => !one.IsUp, "it stopped");
        _cluster.StopsAt = (_, _) => false;

        one.Open();
        AwaitRunning(one);
        PushSome();
        EndAndCheck();
    }

    [Fact]
    public void AStoreThatFailsHoldsNothingUpAndIsTriedAgain()
    {
        _store.Before = (_, name) => throw new IOException($"no {name} today");
        Cluster.Member one = Run("one");
        PushSome();
        AwaitCounted();
        _cluster.Until(() => one.Instance!.Status.SnapshotFailures >= 2, "it was tried twice");
        Assert.Equal(0, one.Instance!.Status.SnapshotsPublished);

        _store.Before = (_, _) => Task.CompletedTask;
        AwaitSnapshots(one);
        EndAndCheck();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ADamagedSnapshotIsLeftForTheOneBefore(bool missing)
    {
        Cluster.Member one = RunWithSnapshots();
        PushSome();
        AwaitSnapshots(one, atLeast: 2 * Shards);
        one.Crash();
        one.LoseFolder();
        foreach (SnapshotEntry newest in Enumerable.Range(0, Shards).Select(shard => Entries(shard)[0]))
        {
            string name = _store.Objects.Keys.Single(name => name.EndsWith($"/{newest.OwnerEpoch}/{newest.Position}.manifest", StringComparison.Ordinal));
            if (missing)
            {
                _store.Objects.Remove(name);
            }
            else
            {
                _store.Objects[name][10] ^= 1;
            }
        }

        one.Open();
        AwaitRunning(one);

        Assert.Equal((Shards, Shards), (one.Instance!.Status.SnapshotsRestored, one.Instance.Status.SnapshotsRefused));
        PushSome();
        EndAndCheck();
    }

    [Fact]
    public void SnapshotsThatAreAllDamagedAreLeftForTheChangelog()
    {
        Cluster.Member one = RunWithSnapshots();
        one.Crash();
        one.LoseFolder();
        foreach (string name in _store.Objects.Keys.Where(name => !name.EndsWith(".manifest", StringComparison.Ordinal) && _store.Objects[name].Length > 0))
        {
            _store.Objects[name][^1] ^= 1;
        }

        one.Open();
        AwaitRunning(one);

        Assert.Equal(0, one.Instance!.Status.SnapshotsRestored);
        Assert.InRange(one.Instance.Status.SnapshotsRefused, Shards, 3 * Shards);
        PushSome();
        EndAndCheck();
    }

    [Fact]
    public void AStoreThatIsAwayIsWaitedForWhenOnlyItHasTheState()
    {
        Cluster.Member one = RunWithSnapshots();
        CutChangelog();
        one.Crash();
        one.LoseFolder();
        _store.Before = (call, _) => call == "Open" ? throw new IOException("away") : Task.CompletedTask;

        one.Open();
        _cluster.Until(() => one.Instance!.Status.SnapshotFailures > 6, "it was tried often", rounds: 20_000);
        Assert.Equal(0, one.Running);
        _store.Before = (_, _) => Task.CompletedTask;
        AwaitRunning(one);
        PushSome();
        EndAndCheck();
    }

    [Fact]
    public void AStoreThatIsAwayIsDoneWithoutWhenTheChangelogHasTheState()
    {
        Cluster.Member one = RunWithSnapshots();
        one.Crash();
        one.LoseFolder();
        _store.Before = (call, _) => call == "Open" ? throw new IOException("away") : Task.CompletedTask;

        one.Open();
        AwaitRunning(one);
        Assert.Equal(0, one.Instance!.Status.SnapshotsRestored);
        PushSome();
        EndAndCheck();
    }

    [Theory]
    [InlineData("*.sst")]
    [InlineData("MANIFEST-*")]
    [InlineData("CURRENT")]
    public void ADamagedFolderIsReplacedByTheSnapshot(string file)
    {
        Cluster.Member one = Run("one");
        PushSome(300);
        AwaitSnapshots(one);
        one.Stop();
        for (int shard = 0; shard < Shards; shard++)
        {
            foreach (string path in Directory.EnumerateFiles(one.ShardFolder(shard), file))
            {
                byte[] bytes = File.ReadAllBytes(path);
                for (int i = 0; i < bytes.Length / 2; i++)
                {
                    bytes[i] ^= 0x55;
                }

                File.WriteAllBytes(path, bytes);
            }
        }

        one.Open();
        PushSome(100);
        AwaitCounted();

        Assert.True(one.Instance!.Status.LocalStatesWiped >= Shards, $"{one.Instance.Status.LocalStatesWiped} wiped");
        Assert.True(one.Instance.Status.SnapshotsRestored >= Shards, $"{one.Instance.Status.SnapshotsRestored} restored");
        EndAndCheck();
    }

    [Fact]
    public void ADamagedFolderWithoutASnapshotIsFilledFromTheChangelog()
    {
        _cluster.Adjust = options => options;
        Cluster.Member one = Run("one");
        PushSome(300);
        AwaitCounted();
        one.Stop();
        for (int shard = 0; shard < Shards; shard++)
        {
            foreach (string path in Directory.EnumerateFiles(one.ShardFolder(shard), "*.sst"))
            {
                using FileStream content = File.Open(path, FileMode.Open);
                content.SetLength(content.Length / 2);
            }
        }

        one.Open();
        PushSome(100);
        AwaitCounted();
        Assert.True(one.Instance!.Status.LocalStatesWiped >= Shards, $"{one.Instance.Status.LocalStatesWiped} wiped");
        EndAndCheck();
    }

    [Fact]
    public void TheOrderlyEndBringsTheSnapshotsUpToDate()
    {
        _interval = TimeSpan.FromHours(1);
        Cluster.Member one = Run("one");
        PushSome();
        AwaitCounted();
        Assert.Empty(Entries(0));

        one.Stop();

        Assert.All(Enumerable.Range(0, Shards), shard => Assert.Single(Entries(shard)));
        one.LoseFolder();
        one.Open();
        AwaitRunning(one);
        Assert.Equal(Shards, one.Instance!.Status.SnapshotsRestored);
        EndAndCheck();
    }

    [Fact]
    public void ASnapshotIsTakenWhenSomeoneAsksForIt()
    {
        _interval = TimeSpan.FromHours(1);
        Cluster.Member one = Run("one");
        PushSome();
        AwaitCounted();
        for (int shard = 0; shard < Shards; shard++)
        {
            _cluster.Broker.Produce(InternalTopics.Shards("ledger"), SnapshotList.RequestKey.ToArray(), [1], partition: shard);
        }

        AwaitSnapshots(one);
        Rounds(200);
        Assert.Equal(Shards, one.Instance!.Status.SnapshotsPublished);
    }

    [Fact]
    public void ASnapshotGoesWhenSomeoneAsksForIt()
    {
        Cluster.Member one = RunWithSnapshots();
        string id = Entries(0)[0].Id;

        _cluster.Broker.Produce(InternalTopics.Shards("ledger"), SnapshotList.DropKey.ToArray(), SnapshotList.WriteDrop([id]), partition: 0);

        _cluster.Until(() => Entries(0).Count == 0, "the list is empty");
        Rounds(5);
        Assert.DoesNotContain(_store.Objects.Keys, name => name.Contains("/shard-0/", StringComparison.Ordinal));
        Assert.Contains(_store.Objects.Keys, name => name.Contains("/shard-1/", StringComparison.Ordinal));
    }

    [Fact]
    public void ASnapshotThatIsOnItsWayWhenAnotherIsDroppedIsWhole()
    {
        Cluster.Member one = RunWithSnapshots();
        string id = Entries(0)[0].Id;
        TaskCompletionSource slow = new();
        int puts = 0;
        _store.Before = (call, name) => call == "Put" && name.Contains("/shard-0/", StringComparison.Ordinal) && puts++ == 0 ? slow.Task : Task.CompletedTask;
        PushSome(100);
        _cluster.Until(() => puts > 0, "an upload of shard 0 is under way");
        _cluster.Broker.Produce(InternalTopics.Shards("ledger"), SnapshotList.DropKey.ToArray(), SnapshotList.WriteDrop([id]), partition: 0);
        Rounds(20);
        slow.SetResult();

        _cluster.Until(() => Entries(0) is [{ } only] && only.Id != id, "the new one is published, the dropped one is not");
        Rounds(20);
        Assert.All(Manifests().SelectMany(manifest => manifest.Files), file => Assert.True(_store.Objects.ContainsKey(file.Object), file.Object));
    }

    [Fact]
    public void ASnapshotThatGrewTooOldDuringItsDownloadIsNotUsed()
    {
        Cluster.Member one = RunWithSnapshots();
        PushSome();
        AwaitCounted();
        one.Crash();
        one.LoseFolder();
        TaskCompletionSource slow = new();
        int opens = 0;
        _store.Before = (call, _) => call == "Open" && opens++ == 0 ? slow.Task : Task.CompletedTask;
        one.Open();
        _cluster.Until(() => opens > 0, "a download is under way");
        _cluster.Clock.Advance(TimeSpan.FromDays(8));
        slow.SetResult();
        _store.Before = (_, _) => Task.CompletedTask;
        _cluster.Until(() => one.Running == Shards || !one.IsUp, "it runs");

        Assert.Equal(0, one.Instance!.Status.SnapshotsRestored);
        PushSome();
        EndAndCheck();
    }

    [Fact]
    public void AnOwnerThatLostItsShardDeletesNothingOfTheNextOwner()
    {
        _kept = 1;
        Cluster.Member one = RunWithSnapshots();
        TaskCompletionSource slow = new();
        int puts = 0;
        _store.Before = (call, _) => call == "Put" && puts++ == 0 ? slow.Task : Task.CompletedTask;
        PushSome();
        _cluster.Until(() => puts > 0, "an upload is under way");
        one.IsAsleep = true;
        Cluster.Member two = _cluster.Add("two");
        AwaitRunning(two);
        PushSome();
        AwaitSnapshots(two);
        one.IsAsleep = false;
        slow.SetResult();
        Rounds(100);

        Assert.All(Manifests().SelectMany(manifest => manifest.Files), file => Assert.True(_store.Objects.ContainsKey(file.Object), file.Object));
        PushSome();
        EndAndCheck();
    }

    /// <summary>States as small as a test's are sooner replayed than downloaded: here a snapshot counts as nothing to move.</summary>
    private sealed class SnapshotsFirst : EngineSteps
    {
        public override Takeover NewTakeover(InstanceContext parts, int shard, long number) => new FreeDownloads(parts, shard, number);

        private sealed class FreeDownloads(InstanceContext parts, int shard, long number) : Takeover(parts, shard, number)
        {
            protected override RestorePlan Plan(LocalState? local, IReadOnlyList<SnapshotEntry> snapshots, IReadOnlyDictionary<string, string> damaged, ChangelogState changelog) =>
                base.Plan(local, [.. snapshots.Select(entry => entry with { Bytes = 0 })], damaged, changelog);
        }
    }

    private Cluster.Member Run(string name)
    {
        Cluster.Member member = _cluster.Add(name);
        AwaitRunning(member);
        return member;
    }

    private void AwaitRunning(Cluster.Member member) => _cluster.Until(() => member.Running == Shards, $"{member.Name} runs all shards");

    private void PushSome(int records = 20)
    {
        for (int i = 0; i < records; i++)
        {
            _ledger.Push(_cluster, $"{(char)('a' + (i % 5))}{i % 7}", i);
        }
    }

    private void AwaitCounted() => _cluster.Until(() => _cluster.Outputs(LedgerFlow.Counts).Count() == _ledger.Pushed, "all is counted");

    private Cluster.Member RunWithSnapshots()
    {
        Cluster.Member one = Run("one");
        PushSome();
        AwaitSnapshots(one);
        return one;
    }

    private void AwaitSnapshots(Cluster.Member member, int atLeast = Shards) =>
        _cluster.Until(() => member.Instance!.Status.SnapshotsPublished >= atLeast, $"{atLeast} snapshots are published ({member.Instance!.Status})");

    private void Rounds(int rounds)
    {
        for (int round = 0; round < rounds; round++)
        {
            _cluster.Round();
        }
    }

    private void CutChangelog()
    {
        for (int shard = 0; shard < Shards; shard++)
        {
            _cluster.Broker.DeleteRecords(new(InternalTopics.Changelog("ledger"), shard), Entries(shard)[0].Position);
        }
    }

    private IReadOnlyList<SnapshotEntry> Entries(int shard)
    {
        using SnapshotListReader reader = new(_cluster.Broker, "ledger", shard);
        IReadOnlyList<SnapshotEntry>? entries;
        while (!reader.Step(out entries))
        {
        }

        return entries;
    }

    private List<SnapshotManifest> Manifests() =>
    [
        .. from shard in Enumerable.Range(0, Shards)
           from entry in Entries(shard)
           select SnapshotManifest.LoadAsync(_store, new SnapshotPlace("ledger", shard), entry, CancellationToken.None).GetAwaiter().GetResult(),
    ];

    private void EndAndCheck()
    {
        _cluster.End();
        _cluster.Until(
            () =>
            {
                _cluster.Members.FindAll(member => member.IsDone).ForEach(member => member.Stop());
                return _cluster.Members.TrueForAll(member => !member.IsUp);
            },
            "all are done");
        _ledger.AssertExact(_cluster, ended: true);
    }
}
