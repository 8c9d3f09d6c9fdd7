using Xunit;

namespace KStreamSharp.Tests.Recovery;

/// <summary>Where a restore begins: one test per row of the table.</summary>
public class RestorePlanTests
{
    private const long Hour = 3_600_000;
    private const long Now = 1_000 * Hour;

    private static readonly Guid Id = Guid.NewGuid();
    private static readonly TimeSpan Retention = TimeSpan.FromDays(7);
    private static readonly ChangelogState Log = new(Id, Start: 0, End: 100);

    [Fact]
    public void LocalStateAtTheEndIsKept() => Is(RestoreKind.Local, 100, "local state at offset 100, 0 offsets behind", new(Id, 100, Now));

    [Fact]
    public void LocalStateBehindIsKeptAndTheTailReplayed() => Is(RestoreKind.Local, 60, "local state at offset 60, 40 offsets behind", new(Id, 60, Now - Hour));

    [Fact]
    public void LocalStateAheadOfTheLogIsThrownAway() =>
        Is(RestoreKind.Everything, 0, "the local state cannot be used: it is at offset 101, the changelog ends at 100", new(Id, 101, Now));

    [Fact]
    public void LocalStateBelowTheStartMeansLoss() => Is(
        RestoreKind.Refuse,
        0,
        "the local state cannot be used: it is at offset 9, the changelog begins at 10, and the changelog begins at offset 10: what was before is lost",
        new(Id, 9, Now),
        Log with { Start = 10 });

    [Fact]
    public void LocalStateAtTheStartIsKept() => Is(RestoreKind.Local, 10, "local state at offset 10", new(Id, 10, Now), Log with { Start = 10 });

    [Fact]
    public void LocalStateOlderThanTombstonesIsThrownAwayIfItHasATail() => Is(
        RestoreKind.Everything,
        0,
        "it is older than the changelog keeps tombstones (7 days): deleted keys would come back",
        new(Id, 60, Now - (7 * 24 * Hour) + Hour));

    [Fact]
    public void LocalStateJustYoungerThanTombstonesIsKept() => Is(RestoreKind.Local, 60, "40 offsets behind", new(Id, 60, Now - (7 * 24 * Hour) + Hour + 1));

    [Fact]
    public void OldLocalStateWithoutATailIsKept() => Is(RestoreKind.Local, 100, "0 offsets behind", new(Id, 100, 0));

    [Fact]
    public void OldLocalStateIsNotReplacedByALogThatWasCut() =>
        Is(RestoreKind.Refuse, 0, "what was before is lost", new(Id, 60, 0), Log with { Start = 10 });

    [Fact]
    public void LocalStateOfAnotherTopicIsThrownAway() =>
        Is(RestoreKind.Everything, 0, "the changelog topic was made anew since it was written", new(Guid.NewGuid(), 60, Now));

    [Fact]
    public void NothingLocalReplaysEverything() => Is(RestoreKind.Everything, 0, "no local state", local: null);

    [Fact]
    public void NothingLocalAndALogThatWasCutMeansLoss() =>
        Is(RestoreKind.Refuse, 0, "no local state, and the changelog begins at offset 10: what was before is lost", local: null, Log with { Start = 10 });

    [Fact]
    public void TheVeryFirstStartReplaysAnEmptyLog() => Is(RestoreKind.Everything, 0, "no local state", local: null, Log with { End = 0 }, groupHasPositions: false);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AnEmptyLogWhileTheGroupHasPositionsMeansLoss(bool hasLocal) => Is(
        RestoreKind.Refuse,
        0,
        "the group has positions, but the changelog is empty: it was deleted and made anew",
        hasLocal ? new(Id, 60, Now) : null,
        Log with { End = 0 });

    private static void Is(RestoreKind kind, long from, string reason, LocalState? local, ChangelogState? log = null, bool groupHasPositions = true)
    {
        RestorePlan plan = RestorePlan.Decide(local, log ?? Log, groupHasPositions, Now, Retention);
        Assert.Equal((kind, from), (plan.Kind, plan.From));
        Assert.Contains(reason, plan.Reason, StringComparison.Ordinal);
    }
}
