using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>What an application knows of itself: its flow, its changelog and its repartition topics. What does not fit is refused before anything is lost.</summary>
public sealed class AppRecordTests : IDisposable
{
    private const string App = "ledger";
    private const string Changelog = "ledger-changelog";
    private const string RecordWriter = "ledger/application";

    private static readonly KeyedTopic<string, int> Orders = Topic.Keyed<string, int>("orders-in");

    private readonly LedgerFlow _ledger = new();
    private readonly Cluster _cluster;
    private readonly List<IDisposable> _opened = [];

    public AppRecordTests()
    {
        _cluster = new Cluster(_ledger.Flow, shards: 2);
        _cluster.Broker.CreateTopic("orders-in", 2);
        _cluster.Broker.CreateTopic("orders-out", 2);
    }

    public void Dispose()
    {
        _opened.ForEach(one => one.Dispose());
        _cluster.Dispose();
    }

    [Fact]
    public void AChangelogThatWasDeletedIsNotMadeAgainByAStart()
    {
        Run();
        _cluster.Broker.DeleteTopic(Changelog);

        StreamException error = Assert.Throws<StreamException>(() => _cluster.Add("two"));

        Assert.Equal(ExitCode.State, error.Code);
        Assert.Contains($"The changelog '{Changelog}' of application '{App}' was deleted", error.Message, StringComparison.Ordinal);
        Assert.Contains("reset", error.Message, StringComparison.Ordinal);
        Assert.Null(_cluster.Broker.DescribeTopic(Changelog));
    }

    [Fact]
    public void AChangelogThatWasMadeAnewIsRefusedByAStartAndByTheTopicWatch()
    {
        Cluster.Member one = Run();
        MakeAnew(Changelog, TopicCleanup.Compact);

        Assert.Contains($"The changelog '{Changelog}' of application '{App}' was deleted and made anew", Assert.Throws<StreamException>(() => _cluster.Add("two")).Message, StringComparison.Ordinal);
        _cluster.Clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Contains("was deleted and made anew", Assert.Throws<StreamException>(() => one.Instance!.TopicWatch.Step()).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("takeover.1")]
    [InlineData("takeover.3")]
    [InlineData("takeover.4")]
    public void AChangelogThatIsMadeAnewDuringATakeoverIsNotClaimedAndTheFolderStays(string step)
    {
        Cluster.Member one = Run();
        one.Crash();
        string[] files = Files(one);
        bool made = false;
        _cluster.StopsAt = (_, at) =>
        {
            if (at == step && !made)
            {
                made = true;
                MakeAnew(Changelog, TopicCleanup.Compact);
            }

            return false;
        };

        one.Open();
        StreamException error = Assert.Throws<StreamException>(() => _cluster.Until(() => false, "it refuses", rounds: 200));

        Assert.Contains("was deleted and made anew", error.Message, StringComparison.Ordinal);
        one.Crash();
        Assert.Empty(_cluster.Broker.ReadAll(Changelog));
        Assert.Subset(Files(one).ToHashSet(), files.ToHashSet());
    }

    [Fact]
    public void TwoFirstStartsAtOnceAgree()
    {
        int opened = 0;
        _cluster.Broker.WriterFaults = (id, call, after) =>
        {
            if (id == RecordWriter && call == nameof(TransactionalWriter.Commit) && !after && opened++ == 0)
            {
                _cluster.Add("two");
            }
        };
        _cluster.Add("one");
        _cluster.Broker.WriterFaults = null;

        Assert.True(opened > 0);
        Assert.Single(_cluster.Broker.ReadAll("ledger-shards"), record => Key(record) == "application");
        _cluster.Until(() => _cluster.Members.Sum(member => member.Running) == 2, "the shards run");
    }

    [Theory]
    [InlineData(nameof(TransactionalWriter.Append))]
    [InlineData(nameof(TransactionalWriter.Commit))]
    public void AFirstStartThatIsCutOffIsFinishedByTheNext(string cut)
    {
        int calls = 0;
        _cluster.Broker.WriterFaults = (id, call, after) =>
        {
            if (id == RecordWriter && call == cut && !after && calls++ == 0)
            {
                throw new InstanceStoppedException(call);
            }
        };
        Assert.Throws<InstanceStoppedException>(() => _cluster.Add("one"));
        _cluster.Broker.WriterFaults = null;

        _cluster.Add("two");
        Assert.Single(_cluster.Broker.ReadAll("ledger-shards"), record => Key(record) == "application");
        _cluster.Until(() => _cluster.Members[^1].Running == 2, "the shards run");
    }

    [Fact]
    public void AnApplicationOfAnEarlierVersionGetsItsRecordFromWhatIsThere()
    {
        Run();
        _cluster.Members[0].Stop();
        _cluster.Broker.Produce("ledger-shards", "application"u8.ToArray(), null, partition: 0);

        Cluster.Member again = _cluster.Add("two");

        Assert.Equal(2, _cluster.Broker.ReadAll("ledger-shards").Count(record => Key(record) == "application" && record.Value is not null));
        _ledger.Push(_cluster, "a1", 5);
        _cluster.Until(() => _cluster.Outputs(LedgerFlow.Counts).Count() == 2, "it goes on");
        again.Stop();
        _cluster.Broker.DeleteTopic(Changelog);
        Assert.Throws<StreamException>(again.Open);
    }

    [Fact]
    public void AnotherFlowUnderTheSameApplicationIsRefused()
    {
        Run();

        StreamException error = Assert.Throws<StreamException>(() => Open(Totals("orders", "total"), App));

        Assert.Equal(ExitCode.Usage, error.Code);
        Assert.Contains("Application 'ledger' is of flow 'ledger', not of flow 'orders'", error.Message, StringComparison.Ordinal);
        Assert.Contains("--app-id", error.Message, StringComparison.Ordinal);
        Assert.Null(_cluster.Broker.DescribeTopic("ledger-total.repartition2"));
    }

    [Theory]
    [InlineData("orders", "eu-total", "orders-eu", "total")]
    [InlineData("orders-eu", "total", "orders", "eu-total")]
    public void ARepartitionTopicOfAnotherApplicationIsRefusedByName(string first, string firstStep, string second, string secondStep)
    {
        Open(Totals(first, firstStep), first);

        for (int attempt = 0; attempt < 2; attempt++)
        {
            StreamException error = Assert.Throws<StreamException>(() => Open(Totals(second, secondStep), second));
            Assert.Equal(ExitCode.Usage, error.Code);
            Assert.Contains($"Topic 'orders-eu-total.repartition' of step '{secondStep}.repartition' belongs to application '{first}'", error.Message, StringComparison.Ordinal);
        }

        _opened[0].Dispose();
        Open(Totals(first, firstStep), first);
    }

    [Fact]
    public void ARepartitionTopicWithRecordsThatNobodyClaimsIsNotTakenOver()
    {
        _cluster.Broker.CreateTopic(new TopicSpec("orders-total.repartition", 2, TopicCleanup.Keep));
        Open(Totals("orders", "total"), "orders");
        _opened[0].Dispose();

        _cluster.Broker.CreateTopic(new TopicSpec("orders-later.repartition", 2, TopicCleanup.Keep));
        _cluster.Broker.Produce("orders-later.repartition", "a"u8.ToArray(), [0, 0, 0, 1]);
        Assert.Contains(
            "Topic 'orders-later.repartition' of step 'later.repartition' has records that application 'orders' has not written",
            Assert.Throws<StreamException>(() => Open(Totals("orders", "later"), "orders")).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void AFirstStartThatEndedBeforeItsRecordIsNotTakenForAnEarlierVersion()
    {
        _cluster.Broker.CreateTopic(new TopicSpec("orders-shards", 2, TopicCleanup.Compact));
        _cluster.Broker.CreateTopic(new TopicSpec("orders-changelog", 2, TopicCleanup.Compact));
        _cluster.Broker.CreateTopic(new TopicSpec("orders-total.repartition", 2, TopicCleanup.Keep));
        _cluster.Broker.Produce("orders-total.repartition", "a"u8.ToArray(), [0, 0, 0, 1]);

        Assert.Contains(
            "has records that application 'orders' has not written",
            Assert.Throws<StreamException>(() => Open(Totals("orders", "total"), "orders")).Message,
            StringComparison.Ordinal);
    }

    /// <summary>The other one has run already by the time that this one, which looked before, begins to write.</summary>
    [Fact]
    public void AFirstStartThatComesLateFindsTheOthersRecords()
    {
        using Cluster cluster = new(Totals("orders", "total"), shards: 2);
        cluster.Broker.CreateTopic("orders-out", 2);
        bool isLate = false;
        cluster.Broker.WriterFaults = (id, call, after) =>
        {
            if (id == "orders/application" && call == nameof(TransactionalWriter.Initialize) && !isLate)
            {
                isLate = true;
                Cluster.Member first = cluster.Add("first");
                cluster.Until(() => first.Running == 2, "it runs");
                cluster.Broker.Produce("orders-in", "a1"u8.ToArray(), [0, 0, 0, 1], partition: 0);
                cluster.Until(() => cluster.Broker.ReadAll("orders-total.repartition").Any(record => record.Key is not null), "it has written");
            }
        };

        Cluster.Member late = cluster.Add("late");

        Assert.True(isLate);
        cluster.Until(() => late.Running == 1, "it takes its share");
    }

    private static string Key(EmbeddedRecord record) => System.Text.Encoding.UTF8.GetString(record.Key ?? []);

    private static Dataflow Totals(string id, string step)
    {
        Dataflow flow = new(id);
        flow.Input("in", Orders).KeyOn("group", (key, _) => key[..1]).StatefulMap(step, (ref int? sum, int value) => sum = (sum ?? 0) + value).Output("out", Topic.Keyed<string, int?>("orders-out"));
        flow.Seal();
        return flow;
    }

    private void Open(Dataflow flow, string app) =>
        _opened.Add(Instance.Open(flow, _cluster.Broker, new StreamOptions { AppId = app, StateDir = _cluster.NewFolder() }, logging: null, _cluster.Clock));

    /// <summary>An instance that has committed something.</summary>
    private Cluster.Member Run()
    {
        Cluster.Member one = _cluster.Add("one");
        _ledger.Push(_cluster, "a1", 5);
        _cluster.Until(() => one.Running == 2 && _cluster.Outputs(LedgerFlow.Counts).Any(), "it runs");
        return one;
    }

    private void MakeAnew(string topic, TopicCleanup cleanup)
    {
        _cluster.Broker.DeleteTopic(topic);
        _cluster.Broker.CreateTopic(new TopicSpec(topic, 2, cleanup));
    }

    private static string[] Files(Cluster.Member member) =>
        [.. Enumerable.Range(0, 2).SelectMany(shard => Directory.EnumerateFiles(member.ShardFolder(shard), "MANIFEST-*")).Select(file => Path.GetDirectoryName(file)!).Distinct()];
}
