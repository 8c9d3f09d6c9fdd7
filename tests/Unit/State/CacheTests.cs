using System.Text;
using Xunit;

namespace KStreamSharp.Tests.State;

/// <summary>The write-back cache of a stateful step: clean keys come and go unnoticed, dirty ones stay until they are committed.</summary>
public sealed class CacheTests : IDisposable
{
    private const int Keys = 1_000;

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-cache-").FullName;
    private readonly List<string> _changelog = [];
    private readonly List<string> _outputs = [];
    private int _resumed;
    private StateLimits _limits = null!;
    private ShardStore _store = null!;
    private FlowInstance _instance = null!;
    private ShardChanges _changes = null!;
    private StatefulNode _node = null!;

    public void Dispose()
    {
        _changes.Dispose();
        _store.Dispose();
        _limits.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void WithRoomEnoughNothingIsReadBack()
    {
        Open(cacheBytes: 10 << 20);
        PushAll();
        Commit();
        PushAll();
        Commit();
        Assert.Equal(0, _resumed);
        AllHaveSeen(2);
    }

    [Fact]
    public void CleanKeysAreDroppedWhenTheBoundIsReached()
    {
        Open(cacheBytes: 20_000);
        PushAll();
        Commit();
        PushAll();
        Commit();
        Assert.InRange(_resumed, Keys - 100, Keys);
        AllHaveSeen(2);
    }

    [Fact]
    public void KeysThatAreNotCommittedAreKeptWhateverTheBound()
    {
        Open(cacheBytes: 1);
        for (int turn = 0; turn < 3; turn++)
        {
            PushAll();
            _node.EndTurn();
        }

        Assert.Equal(0, _resumed);
        Assert.InRange(_node.DirtyBytes, Keys, long.MaxValue);
        Commit();
        Assert.Equal(0, _node.DirtyBytes);
        AllHaveSeen(3);
    }

    [Fact]
    public void AKeyInUseOutlivesKeysThatAreNot()
    {
        Open(cacheBytes: 20_000);
        for (int i = 0; i < Keys; i++)
        {
            Push("hot");
            Push($"cold-{i}");
            Commit();
        }

        Assert.InRange(_resumed, 0, 5);
    }

    [Fact]
    public void EveryKeyThatWasCalledIsWrittenOncePerCommitInOrder()
    {
        Open(cacheBytes: 10 << 20);
        foreach (string key in new[] { "b", "a", "b", "gone" })
        {
            Push(key);
        }

        Push("gone", "forget");
        Push("never", "forget");
        Commit();
        Assert.Equal(["a", "b"], _changelog);

        Push("a", "forget");
        Commit();
        Assert.Equal(["a", "b", "a deleted"], _changelog);
        Assert.Null(_store.Get("count", "a"u8));
        Commit();
        Assert.Equal(3, _changelog.Count);
    }

    [Fact]
    public void AnAbortForgetsAllThatWasNotCommitted()
    {
        Open(cacheBytes: 10 << 20);
        Push("a");
        Commit();
        Push("a");
        Push("new");
        _node.Reset();
        Assert.Equal(0, _node.DirtyBytes);
        Assert.Null(_node.Peek("new"u8));
        Push("a");
        Assert.Equal(["a 1", "a 2", "new 1", "a 2"], _outputs);
        Assert.Equal(1, _resumed);
    }

    private void Open(long cacheBytes)
    {
        Dataflow flow = new("app");
        flow.Input("in", Topic.Keyed<string, string>("in"))
            .Stateful("count", () => new CountLogic(this))
            .Inspect("out", (_, key, value) => _outputs.Add($"{key} {value}"));
        _limits = new StateLimits(cacheBytes, 8 << 20, 8 << 20, evictAlways: false);
        _store = ShardStore.Open(_folder, _limits);
        FlowPlace place = new()
        {
            App = "app",
            Shard = 0,
            ShardCount = 1,
            Append = Logged,
            AppendOutput = Logged,
            PartitionCount = _ => 1,
            Store = _store,
            Limits = _limits,
        };
        _instance = new FlowInstance(flow, place);
        _changes = new ShardChanges(place, _store);
        _node = Assert.Single(StatefulNode.Of(_instance));
    }

    private void Logged(TopicPartition partition, in OutgoingRecord record)
    {
        ShardChanges.ReadKey(record.Key, out ReadOnlySpan<byte> key);
        _changelog.Add($"{Encoding.UTF8.GetString(key)}{(record.HasValue ? "" : " deleted")}");
    }

    private void PushAll()
    {
        for (int i = 0; i < Keys; i++)
        {
            Push($"key-{i}");
        }
    }

    private void Push(string key, string value = "") =>
        _instance.Inlets[0].Push(new RecordView(0, 1, Encoding.UTF8.GetBytes(key), true, Encoding.UTF8.GetBytes(value), true, Headers.Empty));

    private void Commit()
    {
        _node.EndTurn();
        _changes.Begin(0);
        _node.WriteChanges(_changes);
        _store.Write(_changes.Batch);
        _node.Applied();
    }

    private void AllHaveSeen(int times)
    {
        _outputs.Clear();
        PushAll();
        Assert.Equal(Enumerable.Range(0, Keys).Select(i => $"key-{i} {times + 1}"), _outputs);
    }

    private sealed class CountLogic(CacheTests test) : StatefulLogic<string, string, int, int>
    {
        private int _count;

        public override void Resume(int state)
        {
            test._resumed++;
            _count = state;
        }

        public override int Snapshot() => _count;

        public override StateAction OnItem(string value, StatefulContext<string, int> context)
        {
            if (value == "forget")
            {
                return StateAction.Discard;
            }

            context.Emit(++_count);
            return StateAction.Retain;
        }
    }
}
