using System.Buffers;
using CsCheck;
using Xunit;

namespace KStreamSharp.Tests.State;

/// <summary>The bytes of what is stored: envelopes, timer hints, lists, markers. They do not change without a new version.</summary>
public class FormatTests
{
    private static readonly SerdeContext Context = new("app-changelog", RecordPart.State);

    [Fact]
    public void AnEnvelopesBytes()
    {
        Assert.Equal("0100" + "0000000000000102" + "AABB", Convert.ToHexString(Sealed(0x102, Envelope.Never, isNull: false, [0xAA, 0xBB])));
        Assert.Equal("0101" + "FFFFFFFFFFFFFFFF" + "0000000000000007" + "AA", Convert.ToHexString(Sealed(-1, 7, isNull: false, [0xAA])));
        Assert.Equal("0102" + "0000000000000000", Convert.ToHexString(Sealed(0, Envelope.Never, isNull: true, [])));
    }

    [Fact]
    public void AnEnvelopeComesBack() => Gen.Select(Gen.Long, Gen.Long, Gen.Bool, Gen.Byte.Array).Sample((timestamp, notifyAt, isNull, payload) =>
    {
        Envelope envelope = Envelope.Read(Sealed(timestamp, notifyAt, isNull, payload), "step");
        Assert.Equal((timestamp, notifyAt, isNull), (envelope.Timestamp, envelope.NotifyAt, envelope.StateIsNull));
        Assert.Equal(payload, envelope.Payload.ToArray());
    }, iter: 200);

    [Theory]
    [InlineData("02000000000000000000", 2)]
    [InlineData("", 0)]
    public void AnEnvelopeOfAnotherVersionIsRefusedWithStepAndFix(string hex, int version)
    {
        StreamException error = Assert.Throws<StreamException>(() => Envelope.Read(Convert.FromHexString(hex), "total"));
        Assert.Equal(ExitCode.State, error.Code);
        Assert.Equal($"A saved state of step 'total' has format {version}; this version reads format 1. Run the version that wrote it, or a newer one.", error.Message);
    }

    [Theory]
    [InlineData("01")]
    [InlineData("0100000000")]
    [InlineData("010100000000000000000000")]
    public void AnEnvelopeThatIsCutIsRefusedWithItsStep(string hex)
    {
        StreamException error = Assert.Throws<StreamException>(() => Envelope.Read(Convert.FromHexString(hex), "total"));
        Assert.Equal(ExitCode.State, error.Code);
        Assert.Contains("'total'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void HintsSortByStepTimeAndKey() => Gen.Select(Gen.Long, Gen.Long, Gen.Byte.Array[0, 4], Gen.Byte.Array[0, 4]).Sample((time1, time2, key1, key2) =>
    {
        byte[] first = Hint("step", time1, key1);
        byte[] second = Hint("step", time2, key2);
        int expected = time1 != time2 ? time1.CompareTo(time2) : key1.AsSpan().SequenceCompareTo(key2);
        Assert.Equal(Math.Sign(expected), Math.Sign(first.AsSpan().SequenceCompareTo(second)));
    }, iter: 500);

    [Fact]
    public void AHintComesBackAndBelongsToItsStepOnly()
    {
        byte[] prefix = TimerKey.Prefix("tick");
        byte[] hint = Hint("tick", -5, [1, 2]);
        Assert.Equal("00047469636B" + "7FFFFFFFFFFFFFFB" + "0102", Convert.ToHexString(hint));
        Assert.True(TimerKey.IsOf(hint, prefix));
        Assert.Equal(-5, TimerKey.Time(hint, prefix.Length));
        Assert.Equal([1, 2], TimerKey.Key(hint, prefix.Length).ToArray());
        Assert.False(TimerKey.IsOf(Hint("ticks", -5, []), prefix));
        Assert.False(TimerKey.IsOf(hint, TimerKey.Prefix("ticks")));
        Assert.False(TimerKey.IsOf(hint, TimerKey.Prefix("tic")));
    }

    [Fact]
    public void AListsBytes()
    {
        ByteBuffer output = new();
        ListFormat.Write(output, ["a", null!, ""], Serde.Utf8, Context);
        Assert.Equal("00000003" + "00000002" + "61" + "00000000" + "00000001", Convert.ToHexString(output.Written));
    }

    [Fact]
    public void AListComesBackAndLeavesTheRest() => Gen.OneOf(Gen.Const((int?)null), Gen.Int.Select(number => (int?)number)).List[0, 20].Sample(list =>
    {
        ByteBuffer output = new();
        ListFormat.Write(output, list, Serde.For<int?>(), Context);
        output.Write<byte>([9, 9]);
        ReadOnlySpan<byte> data = output.Written;
        Assert.Equal(list, ListFormat.Read(ref data, Serde.For<int?>(), Context));
        Assert.Equal([9, 9], data.ToArray());
    }, iter: 100);

    [Fact]
    public void KeysAreEqualByTheirBytes() => Gen.Select(Gen.Byte[0, 1].Array[0, 3], Gen.Byte[0, 1].Array[0, 3]).Sample((x, y) =>
    {
        bool equal = x.SequenceEqual(y);
        Assert.Equal(equal, KeyComparer.Instance.Equals(x, y));
        Assert.Equal(equal, KeyComparer.Instance.Equals(x.AsSpan(), y));
        Assert.True(!equal || KeyComparer.Instance.GetHashCode(x) == KeyComparer.Instance.GetHashCode(y.AsSpan()));
    }, iter: 200);

    [Fact]
    public void AKeyIsFoundBySpan()
    {
        Dictionary<byte[], int> map = new(KeyComparer.Instance) { [[1, 2]] = 7 };
        Dictionary<byte[], int>.AlternateLookup<ReadOnlySpan<byte>> bySpan = map.GetAlternateLookup<ReadOnlySpan<byte>>();
        Assert.Equal(7, bySpan[[1, 2]]);
        bySpan[[3]] = 8;
        Assert.Equal(8, map[[3]]);
    }

    [Fact]
    public void ABufferGrowsAndIsReused()
    {
        ByteBuffer buffer = new(1);
        for (int i = 0; i < 1_000; i++)
        {
            buffer.GetSpan(3)[0] = (byte)i;
            buffer.Advance(1);
        }

        Assert.Equal(Enumerable.Range(0, 1_000).Select(i => (byte)i), buffer.Written.ToArray());
        buffer.Clear();
        Assert.Equal(0, buffer.Written.Length);
        buffer.Write("abc"u8);
        Assert.Equal("abc"u8.ToArray(), buffer.Written.ToArray());
    }

    [Fact]
    public void AMarkerComesBack()
    {
        CommitMarker marker = new()
        {
            OwnerEpoch = long.MaxValue,
            TransactionalId = "app-é-0",
            Positions = new Dictionary<TopicPartition, long> { [new("b", 3)] = 0, [new("a", 0)] = long.MaxValue },
            TopicIds = new Dictionary<string, Guid> { ["b"] = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff") },
            Watermark = -1,
            Run = new RunProgress
            {
                Run = 7,
                EndsSeen = new Dictionary<string, IReadOnlySet<int>> { ["s.repartition"] = new HashSet<int> { 2, 0 } },
                EndedSteps = new HashSet<string> { "x", "y/sink" },
                CursorStep = "fold",
                CursorKey = [0, 255],
                Done = true,
            },
        };

        CommitMarker back = CommitMarker.Read(marker.Write());
        Assert.Equal(marker.Write(), back.Write());
        Assert.Equal((marker.OwnerEpoch, marker.TransactionalId, marker.Watermark), (back.OwnerEpoch, back.TransactionalId, back.Watermark));
        Assert.Equal(marker.Positions, back.Positions);
        Assert.Equal(marker.TopicIds, back.TopicIds);
        Assert.Equal((7, "fold", true), (back.Run.Run, back.Run.CursorStep, back.Run.Done));
        Assert.Equal([0, 255], back.Run.CursorKey);
        Assert.Equal([0, 2], back.Run.EndsSeen["s.repartition"].Order());
        Assert.Equal(["x", "y/sink"], back.Run.EndedSteps.Order());
    }

    [Fact]
    public void AnEmptyMarkerComesBackAndAnEmptyCursorIsNotNone()
    {
        CommitMarker marker = new() { OwnerEpoch = 1, TransactionalId = "", Positions = new Dictionary<TopicPartition, long>(), Watermark = 0, Run = new RunProgress() };
        Assert.Null(CommitMarker.Read(marker.Write()).Run.CursorKey);
        Assert.Null(CommitMarker.Read(marker.Write()).Run.CursorStep);
        Assert.Empty(CommitMarker.Read((marker with { Run = new RunProgress { CursorStep = "s", CursorKey = [] } }).Write()).Run.CursorKey!);
    }

    [Fact]
    public void AMarkerOfVersionOneHasPositionsInTopicsOfUnknownIds()
    {
        CommitMarker back = CommitMarker.Read([1, 7, 0, 0, 0, 0, 0, 0, 0, 1, (byte)'t', 9, 0, 0, 0, 0, 0, 0, 0, 1, 2, (byte)'i', (byte)'n', 3, 5, 0, 0, 0, 0, 0, 0]);
        Assert.Equal((7, "t", 9, false), (back.OwnerEpoch, back.TransactionalId, back.Watermark, back.Run.Done));
        Assert.Equal(new Dictionary<TopicPartition, long> { [new("in", 3)] = 5 }, back.Positions);
        Assert.Empty(back.TopicIds);
    }

    [Fact]
    public void TheRecordOfAnApplicationComesBackAndOneOfANewerVersionIsRefused()
    {
        AppRecord record = new() { Flow = "flow", ChangelogId = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), Repartitions = new HashSet<string> { "b", "a" } };
        AppRecord back = AppRecord.Read(record.Write());
        Assert.Equal((record.Flow, record.ChangelogId), (back.Flow, back.ChangelogId));
        Assert.Equal(["a", "b"], back.Repartitions.Order());
        Assert.Equal(
            "The record of the application has format 2; this version reads format 1. Run the version that wrote it, or a newer one.",
            Assert.Throws<StreamException>(() => AppRecord.Read([2])).Message);
    }

    [Fact]
    public void AMarkerOfANewerVersionIsRefused()
    {
        StreamException error = Assert.Throws<StreamException>(() => CommitMarker.Read([3, 0, 0]));
        Assert.Equal(ExitCode.State, error.Code);
        Assert.Equal("A commit marker has format 3; this version reads formats 1 to 2. Run the version that wrote it, or a newer one.", error.Message);
    }

    private static byte[] Sealed(long timestamp, long notifyAt, bool isNull, byte[] payload)
    {
        ByteBuffer output = new(1);
        Envelope.WriteHead(output, timestamp, notifyAt, isNull);
        output.Write(payload);
        return output.Written.ToArray();
    }

    private static byte[] Hint(string step, long time, byte[] key)
    {
        byte[] buffer = [];
        return TimerKey.Write(ref buffer, step, time, key).ToArray();
    }
}
