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

    [Fact]
    public void DamagedLocalStateIsThrownAway() =>
        Is(RestoreKind.Everything, 0, "the local state cannot be used: it is damaged: a block", new(Id, 60, Now, "a block"));

    [Fact]
    public void ASnapshotReplacesNothing() => Is(RestoreKind.Snapshot, 90, "no local state; snapshot 3-90 of 50 bytes, 10 offsets behind", null, [Snapshot(90)]);

    [Fact]
    public void OfSnapshotsTheNewestIsTaken() => Is(RestoreKind.Snapshot, 90, "snapshot 3-90", null, [Snapshot(90), Snapshot(80)]);

    [Fact]
    public void OfSnapshotsTheOneWithFewerBytesToMoveIsTaken() => Is(RestoreKind.Snapshot, 80, "snapshot 3-80", null, [Snapshot(90, bytes: 5_000), Snapshot(80)]);

    [Fact]
    public void LocalStateThatIsNearIsBetterThanASnapshot() => Is(RestoreKind.Local, 90, "local state at offset 90", new(Id, 90, Now), [Snapshot(90)]);

    [Fact]
    public void ASnapshotIsBetterThanLocalStateThatIsFar() => Is(RestoreKind.Snapshot, 90, "snapshot 3-90 of 50 bytes, 10 offsets behind", new(Id, 10, Now), [Snapshot(90)]);

    [Fact]
    public void AShortChangelogIsBetterThanALargeSnapshot() => Is(RestoreKind.Everything, 0, "no local state; the whole changelog", null, [Snapshot(90, bytes: 100_000)]);

    [Fact]
    public void TheBytesOfAnOffsetAreThoseThatWereMeasured() =>
        Is(RestoreKind.Snapshot, 90, "snapshot 3-90", null, [Snapshot(90, bytes: 100_000) with { BytesPerOffset = 5_000 }]);

    [Fact]
    public void ASnapshotThatWasTriedIsNotTriedAgain() => Is(
        RestoreKind.Snapshot, 80, "snapshot 3-90 cannot be used: it is torn; snapshot 3-80", null, [Snapshot(90), Snapshot(80)], damaged: new() { ["3-90"] = "it is torn" });

    [Fact]
    public void ASnapshotOfAnotherTopicIsNotUsed() =>
        Is(RestoreKind.Everything, 0, "snapshot 3-90 cannot be used: the changelog topic was made anew since it was written", null, [Snapshot(90) with { ChangelogId = Guid.NewGuid() }]);

    [Fact]
    public void ASnapshotOlderThanTombstonesIsNotUsedIfItHasATail() => Is(
        RestoreKind.Everything,
        0,
        "snapshot 3-90 cannot be used: it is older than the changelog keeps tombstones (7 days): deleted keys would come back",
        null,
        [Snapshot(90) with { BrokerTime = Now - (7 * 24 * Hour) + Hour }]);

    [Fact]
    public void AnOldSnapshotWithoutATailIsUsed() => Is(RestoreKind.Snapshot, 100, "snapshot 3-100", null, [Snapshot(100) with { BrokerTime = 0 }]);

    [Fact]
    public void ASnapshotAheadOfTheLogIsNotUsed() => Is(RestoreKind.Everything, 0, "snapshot 3-101 cannot be used: it is at offset 101, the changelog ends at 100", null, [Snapshot(101)]);

    [Fact]
    public void ASnapshotReplacesAChangelogThatWasCut() => Is(RestoreKind.Snapshot, 90, "what was before is lost; snapshot 3-90", null, [Snapshot(90)], Log with { Start = 50 });

    [Fact]
    public void ASnapshotBelowTheStartMeansLoss() => Is(
        RestoreKind.Refuse,
        0,
        "no local state, and snapshot 3-40 cannot be used: it is at offset 40, the changelog begins at 50, and the changelog begins at offset 50: what was before is lost",
        null,
        [Snapshot(40)],
        Log with { Start = 50 });

    [Fact]
    public void AnEmptyLogWhileTheGroupHasPositionsMeansLossWhateverSnapshotsThereAre() =>
        Is(RestoreKind.Refuse, 0, "it was deleted and made anew", null, [Snapshot(90)], Log with { End = 0 });

    private static SnapshotEntry Snapshot(long position, long bytes = 50) => new()
    {
        OwnerEpoch = 3,
        Position = position,
        ChangelogId = Id,
        BrokerTime = Now,
        TakenAt = Now,
        Bytes = bytes,
        BytesPerOffset = 0,
        Request = -1,
        ManifestHash = new byte[32],
    };

    private static void Is(RestoreKind kind, long from, string reason, LocalState? local, ChangelogState? log = null, bool groupHasPositions = true) =>
        Is(kind, from, reason, local, [], log, groupHasPositions: groupHasPositions);

    private static void Is(RestoreKind kind, long from, string reason, LocalState? local, SnapshotEntry[] snapshots, ChangelogState? log = null, Dictionary<string, string>? damaged = null, bool groupHasPositions = true)
    {
        RestorePlan plan = RestorePlan.Decide(local, snapshots, damaged ?? [], log ?? Log, groupHasPositions, Now, Retention);
        Assert.Equal((kind, from), (plan.Kind, plan.From));
        Assert.Contains(reason, plan.Reason, StringComparison.Ordinal);
    }
}
