using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>Whole engines with their threads, sharing an embedded broker.</summary>
public sealed class StreamEngineTests : IDisposable
{
    private static readonly KeyedTopic<string, int> Orders = Topic.Keyed<string, int>("orders");
    private static readonly KeyedTopic<string, int?> Counts = Topic.Keyed<string, int?>("counts");
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-engine-").FullName;
    private readonly EmbeddedBroker _broker = EmbeddedBroker.InMemory();
    private readonly Dictionary<string, int> _pushed = [];
    private int _next;

    public StreamEngineTests()
    {
        _broker.CreateTopic("orders", 4);
        _broker.CreateTopic("counts", 4);
    }

    public void Dispose()
    {
        _broker.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task AnEngineProcessesUntilItIsStoppedAndTheNextOneGoesOn()
    {
        for (int life = 0; life < 3; life++)
        {
            using CancellationTokenSource stop = new();
            using StreamEngine engine = Engine("one");
            Task running = engine.RunAsync(stop.Token);
            Push(200);
            await AllCounted(running);
            await stop.CancelAsync();
            await running.WaitAsync(Patience, TestContext.Current.CancellationToken);
        }

        AssertExact();
    }

    [Fact]
    public async Task EnginesThatJoinLeaveAndDieShareTheWork()
    {
        using CancellationTokenSource stopFirst = new();
        using CancellationTokenSource stopOthers = new();
        using StreamEngine first = Engine("first");
        Task one = first.RunAsync(stopFirst.Token);
        Push(300);
        await AllCounted(one);

        using StreamEngine second = Engine("second");
        using StreamEngine third = Engine("third");
        Task two = second.RunAsync(stopOthers.Token);
        Task three = third.RunAsync(stopOthers.Token);
        Push(300);
        await Eventually(() => first.Status.Shards.Count < 4 && IsRunning(second) && IsRunning(third), one, two, three);
        Push(300);
        await AllCounted(one, two, three);

        await stopFirst.CancelAsync();
        await one.WaitAsync(Patience, TestContext.Current.CancellationToken);
        Push(300);
        await AllCounted(two, three);
        Assert.True(second.Status.RecordsIn > 0 && third.Status.RecordsIn > 0);
        await stopOthers.CancelAsync();
        await Task.WhenAll(two, three).WaitAsync(Patience, TestContext.Current.CancellationToken);
        AssertExact();
    }

    /// <summary>The answer comes after the last commit, and the session would last for longer than the test.</summary>
    [Theory]
    [InlineData(true, 0)]
    [InlineData(false, 1)]
    public async Task AnInstanceThatIsStoppedWaitsForTheAnswerWhetherItLeavesBesideItsLastCommits(bool leaves, int members)
    {
        using Lines log = new();
        using CancellationTokenSource stop = new();
        TaskCompletionSource<bool> answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using StreamEngine engine = new(CountFlow(), _broker, Options("pod") with { SessionTimeout = TimeSpan.FromMinutes(10) }, log)
        {
            AsksToLeave = () =>
            {
                asked.SetResult();
                return answer.Task;
            },
        };
        Task running = engine.RunAsync(stop.Token);
        Push(100);
        await AllCounted(running);
        Assert.False(asked.Task.IsCompleted);

        await stop.CancelAsync();
        await asked.Task.WaitAsync(Patience, TestContext.Current.CancellationToken);
        await Eventually(() => Enumerable.Range(0, 4).All(shard => log.Any($"Shard {shard} given up")), running);
        Assert.False(running.IsCompleted);
        answer.SetResult(leaves);
        await running.WaitAsync(Patience, TestContext.Current.CancellationToken);

        Assert.Equal(members, _broker.CountMembers("engine-count"));
    }

    [Fact]
    public async Task NobodyIsAskedWhetherAnInstanceLeavesThatFailsOrIsDone()
    {
        int asked = 0;
        Task<bool> Ask()
        {
            asked++;
            return Task.FromResult(true);
        }

        Push(10);
        using StreamEngine done = new(CountFlow(), _broker, Options("done") with { UntilEnd = true }) { AsksToLeave = Ask };
        await done.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken);
        Dataflow flow = new("failing");
        flow.Input("orders", Orders).MapValue("fail", int? (_) => throw new InvalidDataException("no orders")).Output("out", Counts);
        using StreamEngine failing = new(flow, _broker, Options("failing")) { AsksToLeave = Ask };
        await Assert.ThrowsAsync<StreamException>(() => failing.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken));

        Assert.Equal(0, asked);
        Assert.Equal((0, 1), (_broker.CountMembers("engine-count"), _broker.CountMembers("failing")));
    }

    [Fact]
    public async Task AFiniteRunEndsOnEveryEngineWhenAllIsDone()
    {
        Push(500);
        StreamEngine[] engines = [.. Enumerable.Range(0, 3).Select(i => Engine($"engine-{i}", options => options with { UntilEnd = true }))];

        await Task.WhenAll(engines.Select(engine => engine.RunAsync(TestContext.Current.CancellationToken))).WaitAsync(Patience, TestContext.Current.CancellationToken);

        AssertExact();
        foreach (StreamEngine engine in engines)
        {
            engine.Dispose();
        }
    }

    [Fact]
    public async Task AStepThatThrowsEndsTheEngineWithItsPlaceAndNothingIsCommitted()
    {
        Dataflow flow = new("failing");
        flow.Input("orders", Orders)
            .StatefulMap("count", (ref int? count, int value) => value < 0 ? throw new InvalidDataException("no negative orders") : count = (count ?? 0) + 1)
            .Output("out", Counts);
        _broker.Produce("orders", "a"u8.ToArray(), [0xff, 0xff, 0xff, 0xff], partition: 2);
        using StreamEngine engine = new(flow, _broker, Options("failing"));

        StreamException error = await Assert.ThrowsAsync<StreamException>(() => engine.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken));

        Assert.Equal(ExitCode.UserCode, error.Code);
        Assert.Contains("Step 'count' failed on offset 0 of orders", error.Message, StringComparison.Ordinal);
        Assert.Contains("no negative orders", error.Message, StringComparison.Ordinal);
        Assert.Empty(_broker.ReadAll("counts"));
    }

    [Fact]
    public async Task AStepThatHangsEndsTheEngineAndIsNamed()
    {
        using ManualResetEventSlim release = new();
        Dataflow flow = new("hanging");
        flow.Input("orders", Orders).StatefulMap("wait", (ref int? count, int _) =>
        {
            release.Wait(Patience);
            return count = 1;
        }).Output("out", Counts);
        Push(1);
        using StreamEngine engine = new(flow, _broker, Options("hanging") with { StallTimeout = TimeSpan.FromSeconds(1) });

        StreamException error = await Assert.ThrowsAsync<StreamException>(() => engine.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken));

        Assert.Equal(ExitCode.Stalled, error.Code);
        Assert.Contains("'wait'", error.Message, StringComparison.Ordinal);

        // The worker comes out of the step only now, and closes its shards: the folder cannot be removed before.
        release.Set();
        Assert.True(SpinWait.SpinUntil(() => IsRemoved(Path.Combine(_folder, "hanging")), Patience));
    }

    [Fact]
    public async Task AStateFolderInUseIsRefusedByNameOfTheProcess()
    {
        using CancellationTokenSource stop = new();
        using StreamEngine engine = Engine("one");
        Task running = engine.RunAsync(stop.Token);
        Push(1);
        await AllCounted(running);
        using StreamEngine other = Engine("one");

        StreamException error = await Assert.ThrowsAsync<StreamException>(() => other.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken));

        Assert.Equal(ExitCode.State, error.Code);
        Assert.Contains(Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture), error.Message, StringComparison.Ordinal);
        await stop.CancelAsync();
        await running.WaitAsync(Patience, TestContext.Current.CancellationToken);
    }

    /// <summary>As with hundreds of shards, each asked for one after the other, or a broker that does not answer.</summary>
    [Fact]
    public async Task QuestionsThatAreNotAnsweredDoNotKeepTheMembershipFromItsGroup()
    {
        using ManualResetEventSlim answers = new();
        using CancellationTokenSource stop = new();
        TaskCompletionSource asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        WatchedBroker broker = new(_broker)
        {
            Asked = partition =>
            {
                // Not the application's record, which is read before there is a membership.
                if (partition.Topic == InternalTopics.Shards("engine-count") && Thread.CurrentThread.Name == "kstream-beside")
                {
                    asked.TrySetResult();
                    answers.Wait(Patience);
                }
            },
        };
        using StreamEngine engine = new(CountFlow(), broker, Options("one"));
        Task running = engine.RunAsync(stop.Token);
        try
        {
            await asked.Task.WaitAsync(Patience, TestContext.Current.CancellationToken);

            // The end of a turn, of the one in which it was asked or of a later one, while the question is still open.
            await Eventually(() => engine.Status.LastMembershipTurn is not null, running);
            Assert.True(engine.Status.IsMember);
        }
        finally
        {
            answers.Set();
        }

        Push(20);
        await AllCounted(running);
        await stop.CancelAsync();
        await running.WaitAsync(Patience, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task AnEngineRunsOnce()
    {
        using StreamEngine engine = Engine("one", options => options with { UntilEnd = true });
        await engine.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken);

        await Assert.ThrowsAsync<InvalidOperationException>(() => engine.RunAsync(TestContext.Current.CancellationToken));
    }

    private static bool IsRunning(StreamEngine engine) => engine.Status.Shards.Any(shard => shard.State == ShardState.Running);

    private static bool IsRemoved(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static Dataflow CountFlow()
    {
        Dataflow flow = new("engine-count");
        flow.Input("orders", Orders).StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).Output("out", Counts);
        return flow;
    }

    private StreamEngine Engine(string name, Func<StreamOptions, StreamOptions>? change = null) =>
        new(CountFlow(), _broker, change is null ? Options(name) : change(Options(name))) { LeavesGroup = true };

    private StreamOptions Options(string name) => new()
    {
        InstanceId = name,
        StateDir = Path.Combine(_folder, name),
        Workers = 2,
        CommitInterval = TimeSpan.FromMilliseconds(20),
    };

    private void Push(int records)
    {
        for (int i = 0; i < records; i++)
        {
            string key = $"key-{_next++ % 37}";
            _pushed[key] = _pushed.GetValueOrDefault(key) + 1;
            _broker.Produce("orders", System.Text.Encoding.UTF8.GetBytes(key), [0, 0, 0, 1]);
        }
    }

    private Task AllCounted(params Task[] running) => Eventually(() => _broker.ReadAll("counts").Count >= _pushed.Values.Sum(), running);

    /// <summary>Waits for a truth; an engine that ends meanwhile fails the test.</summary>
    private static async Task Eventually(Func<bool> condition, params Task[] running)
    {
        using CancellationTokenSource patience = new(Patience);
        using PeriodicTimer look = new(TimeSpan.FromMilliseconds(5));
        while (!condition())
        {
            if (Array.Find(running, task => task.IsFaulted) is { } failed)
            {
                await failed;
            }

            await look.WaitForNextTickAsync(patience.Token);
        }
    }

    private void AssertExact()
    {
        Dictionary<string, int?[]> outputs = _broker.ReadAll("counts")
            .GroupBy(record => System.Text.Encoding.UTF8.GetString(record.Key!))
            .ToDictionary(group => group.Key, group => group.Select(record => Counts.Value.Deserialize(record.Value!, new("counts", RecordPart.Value))).ToArray());
        Assert.Equal(_pushed.Keys.Order(), outputs.Keys.Order());
        foreach ((string key, int?[] counts) in outputs)
        {
            Assert.Equal(Enumerable.Range(1, _pushed[key]).Select(count => (int?)count), counts);
        }
    }
}
