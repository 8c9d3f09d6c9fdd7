using System.Text;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>An instance that is to end beside one without an end: it says so and stops, and only where there is such a one.</summary>
public sealed class FiniteBesideEndlessTests : IDisposable
{
    private readonly LedgerFlow _ledger = new();
    private readonly Cluster _cluster;
    private readonly Dictionary<string, StreamException> _ended = [];
    private readonly List<string> _warnings = [];

    public FiniteBesideEndlessTests()
    {
        _cluster = new Cluster(_ledger.Flow, shards: 2)
        {
            MayEndBy = (member, _) => member.Name.StartsWith("finite", StringComparison.Ordinal),
            HasEndedBy = (member, error) => _ended[member.Name] = error,
            Says = (member, line) =>
            {
                if (line.Contains("was started to work to an end", StringComparison.Ordinal))
                {
                    _warnings.Add($"{member.Name}: {line}");
                }
            },
        };
    }

    public void Dispose() => _cluster.Dispose();

    [Fact]
    public void OneThatIsStartedBesideAnEndlessOneEndsWithWhatToDo()
    {
        Cluster.Member endless = Add("endless", untilEnd: false);
        _cluster.Until(() => endless.Running == 2, "the shards run");
        Cluster.Member finite = Add("finite", untilEnd: true);
        _cluster.Until(() => _ended.ContainsKey("finite"), "the finite one has ended");

        Assert.Equal(ExitCode.Usage, _ended["finite"].Code);
        Assert.Matches("^Instance 'endless' runs shard [01] of application 'ledger' without an end, so a run to the end ", _ended["finite"].Message);
        Assert.EndsWith("Stop that instance, then start this one again, or leave --until-end out.", _ended["finite"].Message, StringComparison.Ordinal);
        Assert.False(finite.IsUp);
        Assert.StartsWith("endless: Instance finite was started to work to an end (--until-end) beside this one", Assert.Single(_warnings), StringComparison.Ordinal);
        GoesOn(endless);
    }

    /// <summary>It is no owner, and nobody would announce the run.</summary>
    [Fact]
    public void OneThatGetsNoShardEndsToo()
    {
        Cluster.Member[] endless = [Add("endless", untilEnd: false), Add("endless too", untilEnd: false)];
        _cluster.Until(() => endless.All(member => member.Running == 1), "both have a shard");
        Add("finite", untilEnd: true);
        _cluster.Until(() => _ended.ContainsKey("finite"), "the finite one has ended");
        Assert.Equal(ExitCode.Usage, _ended["finite"].Code);
    }

    [Fact]
    public void OneThatIsAtWorkEndsWhenAnEndlessOneTakesAShard()
    {
        for (int i = 0; i < 3_000; i++)
        {
            _ledger.Push(_cluster, $"k{i % 50}", i);
        }

        Cluster.Member finite = Add("finite", untilEnd: true);
        _cluster.Until(() => finite.Running == 2, "the shards run");
        Cluster.Member endless = Add("endless", untilEnd: false);
        _cluster.Until(() => _ended.ContainsKey("finite"), "the finite one has ended");
        Assert.Equal(ExitCode.Usage, _ended["finite"].Code);
        Assert.StartsWith("Instance 'endless' runs shard ", _ended["finite"].Message, StringComparison.Ordinal);
        GoesOn(endless);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AnEndlessOneThatIsGoneIsNoReason(bool crashed)
    {
        Cluster.Member endless = Add("endless", untilEnd: false);
        _cluster.Until(() => endless.Running == 2, "the shards run");
        Add("finite", untilEnd: true);
        _cluster.Until(() => _ended.ContainsKey("finite"), "the finite one has ended");
        _ledger.Push(_cluster, "a", 1);
        if (crashed)
        {
            endless.Crash();
        }
        else
        {
            endless.Stop();
        }

        Cluster.Member[] finite = [Add("finite-1", untilEnd: true), Add("finite-2", untilEnd: true)];
        _cluster.Until(() => finite.All(member => member.IsDone), "the run is done");
        Assert.Equal(["finite"], _ended.Keys);
        Assert.Equal(_ledger.Pushed, _cluster.Outputs(LedgerFlow.Counts).Count());
    }

    [Fact]
    public void AnAnswerThatIsNotCommittedIsNone()
    {
        Cluster.Member endless = Add("endless", untilEnd: false);
        _cluster.Until(() => endless.Running == 2, "the shards run");
        Cluster.Member finite = Add("finite", untilEnd: true);
        _cluster.StopsAt = (member, step) => member == endless && step == "commit.3";
        _cluster.Until(() => !endless.IsUp, "the endless one was stopped in the commit that answers");
        _cluster.Until(() => finite.IsDone, "the run is done");
        Assert.Empty(_ended);
        Assert.Contains(Modes(readCommitted: false), mode => mode == "endless: endless");
    }

    [Fact]
    public void AQuestionOfAnInstanceThatIsGoneIsAnsweredOnceAndNotWarnedOf()
    {
        Cluster.Member finite = Add("finite", untilEnd: true);
        _cluster.Until(() => finite.IsDone, "the run is done");
        finite.Stop();
        Assert.Equal(["finite: finite", "finite: finite"], Modes());
        Cluster.Member endless = Add("endless", untilEnd: false);
        GoesOn(endless);
        Assert.Equal(["finite: finite", "endless: endless", "finite: finite", "endless: endless"], Modes());
        endless.Crash();
        Cluster.Member again = Add("endless", untilEnd: false);
        GoesOn(again);
        Assert.Equal(4, Modes().Count);
        Assert.Empty(_warnings);
        Assert.Empty(_ended);
    }

    [Fact]
    public void WhereNobodyIsToEndNothingIsWritten()
    {
        Cluster.Member[] endless = [Add("endless", untilEnd: false), Add("endless too", untilEnd: false)];
        GoesOn(endless[0]);
        Assert.Empty(Modes(readCommitted: false));
    }

    private Cluster.Member Add(string name, bool untilEnd)
    {
        _cluster.Adjust = options => options with { UntilEnd = untilEnd };
        return _cluster.Add(name);
    }

    private void GoesOn(Cluster.Member member)
    {
        int before = _ledger.Pushed;
        for (int i = 0; i < 20; i++)
        {
            _ledger.Push(_cluster, $"k{i}", i);
        }

        _cluster.Until(() => member.IsUp && _cluster.Outputs(LedgerFlow.Counts).Count() == before + 20, "all is counted");
        for (int round = 0; round < 50; round++)
        {
            _cluster.Round();
        }
    }

    private IReadOnlyList<string> Modes(bool readCommitted = true) =>
        [.. _cluster.Broker.ReadAll(InternalTopics.Shards("ledger"), readCommitted)
            .Where(record => Encoding.UTF8.GetString(record.Key!) == "mode")
            .Select(record => $"{(record.Value![1] == 0 ? "finite" : "endless")}: {Encoding.UTF8.GetString(record.Value!.AsSpan(2))}")];
}
