using KStreamSharp.Hosting;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>A position belongs to a topic, not to its name: a topic that was deleted and made anew is not read on from the old position.</summary>
public sealed class TopicsMadeAnewTests : IDisposable
{
    private const string Repartition = "ledger-sum.repartition";

    private readonly LedgerFlow _ledger = new();
    private readonly Cluster _cluster;

    public TopicsMadeAnewTests() => _cluster = new Cluster(_ledger.Flow, shards: 2);

    public void Dispose() => _cluster.Dispose();

    [Theory]
    [InlineData("entries", false)]
    [InlineData("entries", true)]
    [InlineData(Repartition, false)]
    [InlineData(Repartition, true)]
    public void ATopicThatWasMadeAnewIsRefusedAtATakeoverWithTheWayOn(string topic, bool keepsPositions)
    {
        Cluster.Member one = Run();
        one.Stop();
        MakeAnew(topic);
        if (!keepsPositions)
        {
            // Kafka forgets a group's positions with the topic.
            _cluster.Broker.DeleteGroup("ledger");
        }

        Push(20);
        one.Open();
        StreamException error = Assert.Throws<StreamException>(() => _cluster.Until(() => false, "it refuses", rounds: 200));

        Assert.Equal(ExitCode.Broker, error.Code);
        Assert.Contains($"Topic '{topic}'", error.Message, StringComparison.Ordinal);
        Assert.Contains("was deleted and made anew", error.Message, StringComparison.Ordinal);
        Assert.Contains("reset ledger --keep-state --to earliest", error.Message, StringComparison.Ordinal);
        one.Crash();
        _cluster.Round(3_000);

        // The way on: states stay, the new topic is read from its start.
        int before = _cluster.Outputs(LedgerFlow.Counts).Count();
        new PositionsReset(_cluster.Broker, _cluster.Flow, "ledger", StartAt.Earliest).Run(_ => { });
        one.Open();
        int records = _cluster.Broker.ReadAll("entries").Count;
        _cluster.Until(() => _cluster.Outputs(LedgerFlow.Counts).Count() == before + records, "every record that is there is read");
        foreach (IGrouping<string, (string Key, int? Value)> key in _cluster.Outputs(LedgerFlow.Counts).GroupBy(count => count.Key))
        {
            Assert.Equal(Enumerable.Range(1, key.Count()), key.Select(count => count.Value!.Value));
        }

        one.Stop();
        one.Open();
        _cluster.Until(() => one.Running == 2, "the next takeover knows the new topic");
    }

    [Theory]
    [InlineData("entries")]
    [InlineData(Repartition)]
    public void ATopicThatIsMadeAnewUnderWayIsSeenByTheTopicWatch(string topic)
    {
        Cluster.Member one = Run();
        MakeAnew(topic);
        one.Instance!.TopicWatch.Step();
        _cluster.Clock.Advance(TimeSpan.FromMinutes(1));

        string message = Assert.Throws<StreamException>(one.Instance!.TopicWatch.Step).Message;
        Assert.Contains($"Topic '{topic}'", message, StringComparison.Ordinal);
        Assert.Contains("Since the last check, at most a minute ago, records of the new topic may have been processed from the old position.", message, StringComparison.Ordinal);
    }

    /// <summary>The position lies behind the new topic's end: that is not for its retention.</summary>
    [Fact]
    public void AReaderThatFindsItsPositionGoneTellsATopicThatWasMadeAnewFromOneThatDropsItsRecords()
    {
        Cluster.Member one = Run();
        Push(2);
        one.Do(instance => instance.Workers.ToList().ForEach(worker => worker.StepTurn()));
        MakeAnew("entries");

        // The abort sends the readers back, in the new topic.
        _cluster.Broker.WriterFaults = (_, call, after) =>
        {
            if (call == nameof(TransactionalWriter.Commit) && !after)
            {
                _cluster.Broker.WriterFaults = null;
                throw new BrokerException(Consequence.Abort, "aborted by the test");
            }
        };

        string message = Assert.Throws<StreamException>(() => _cluster.Until(() => false, "it refuses", rounds: 200)).Message;

        Assert.Contains("Topic 'entries' of step 'entries' was deleted and made anew", message, StringComparison.Ordinal);
        Assert.DoesNotContain("retention", message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATopicThatIsMadeAnewBetweenAStartAndATakeoverIsRefused()
    {
        Cluster.Member one = _cluster.Add("one");
        MakeAnew("entries");
        Assert.Contains("was deleted and made anew", Assert.Throws<StreamException>(() => _cluster.Until(() => false, "it refuses", rounds: 200)).Message, StringComparison.Ordinal);
        one.Crash();
    }

    private Cluster.Member Run()
    {
        Cluster.Member one = _cluster.Add("one");
        Push(20);
        _cluster.Until(() => one.Running == 2 && _cluster.Outputs(LedgerFlow.Sums).Count() == 20, "it runs");
        return one;
    }

    private void Push(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _ledger.Push(_cluster, $"{(char)('a' + (i % 10))}{i % 10}", i);
        }
    }

    private void MakeAnew(string topic)
    {
        TopicDescription old = _cluster.Broker.DescribeTopic(topic)!;
        _cluster.Broker.DeleteTopic(topic);
        _cluster.Broker.CreateTopic(new TopicSpec(topic, old.Partitions, old.Cleanup));
    }
}
