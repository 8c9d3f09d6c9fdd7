using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>Timestamps that no date holds: a bad record whatever the flow does with it, and nothing else notices it.</summary>
public class TimestampRangeTests
{
    private const long Microseconds = 1_795_827_159_000_000;
    private const long Nanoseconds = 1_795_827_159_000_000_000;
    private const long Last = 253_402_300_799_999;
    private const long First = -62_135_596_800_000;

    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");
    private static readonly KeyedTopic<string, string> Out = Topic.Keyed<string, string>("out");
    private static readonly TopicPartition Zero = new("in", 0);

    /// <summary>Flows that read the topic <c>in</c> in every way there is, and write a record per record of it to <c>out</c>.</summary>
    public static TheoryData<string> Flows() => ["StatefulMap", "Values", "Records", "Stateful", "Repartition", "JoinRunning", "Collect", "FlatMapBatch", "StatefulBatch"];

    public static TheoryData<long, string> Timestamps() => new()
    {
        { Microseconds, "the record's timestamp 1795827159000000 lies after the year 9999: is it in microseconds? Nothing of it is committed." },
        { Nanoseconds, "the record's timestamp 1795827159000000000 lies after the year 9999: is it in nanoseconds? Nothing of it is committed." },
        { long.MaxValue, "the record's timestamp 9223372036854775807 lies after the year 9999: is it in nanoseconds? Nothing of it is committed." },
        { Last + 1, "the record's timestamp 253402300800000 lies after the year 9999: is it in microseconds? Nothing of it is committed." },
        { First - 1, "the record's timestamp -62135596800001 lies before the year 1: it is no time in milliseconds since 1970. Nothing of it is committed." },
        { long.MinValue, "the record's timestamp -9223372036854775808 lies before the year 1: it is no time in milliseconds since 1970. Nothing of it is committed." },
    };

    [Theory]
    [MemberData(nameof(Flows))]
    public void ATimestampAfterTheYear9999IsABadRecordInEveryFlow(string kind)
    {
        using FlowDriver driver = new(Flow(kind, BadRecords.Stop));
        driver.PushAt(Zero, "k"u8.ToArray(), [0, 0, 0, 1], Microseconds);
        StreamException error = Assert.Throws<StreamException>(driver.Run);
        Assert.Equal(ExitCode.BadRecord, error.Code);
        Assert.Equal(
            "Step 'in' cannot read offset 0 of in[0]: the record's timestamp 1795827159000000 lies after the year 9999: is it in microseconds? "
            + "Nothing of it is committed. Mend the serde or what writes the topic, or let the input skip bad records (InputOptions.BadRecords).",
            error.Message);
    }

    [Theory]
    [MemberData(nameof(Timestamps))]
    public void ATimestampThatNoDateHoldsSaysWhy(long timestamp, string why)
    {
        using FlowDriver driver = new(Flow("Records", BadRecords.Stop));
        driver.PushAt(Zero, "k"u8.ToArray(), [0, 0, 0, 1], timestamp);
        StreamException error = Assert.Throws<StreamException>(driver.Run);
        Assert.Equal(ExitCode.BadRecord, error.Code);
        Assert.StartsWith($"Step 'in' cannot read offset 0 of in[0]: {why}", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Flows))]
    public void ASkippedTimestampLeavesNothingBehind(string kind)
    {
        using FlowDriver driver = new(Flow(kind, BadRecords.Skip));
        using FlowDriver expected = new(Flow(kind, BadRecords.Skip));
        foreach (FlowDriver each in new[] { driver, expected })
        {
            each.PushAt(Zero, "k"u8.ToArray(), [0, 0, 0, 1], 1000);
            if (each == driver)
            {
                driver.PushAt(Zero, "k"u8.ToArray(), [0, 0, 0, 2], Microseconds);
                driver.PushAt(Zero, "k"u8.ToArray(), [0, 0, 0, 3], long.MinValue);
            }

            each.PushAt(Zero, "k"u8.ToArray(), [0, 0, 0, 4], 2000);
            each.Run();
            each.Advance(TimeSpan.FromMinutes(1));
            each.Crash();
            each.Restart();
            each.PushAt(Zero, "k"u8.ToArray(), [0, 0, 0, 5], 1500);
            each.End();
        }

        IReadOnlyList<Record<string, string>> outputs = driver.Outputs(Out);
        Assert.NotEmpty(outputs);
        Assert.Equal(expected.Outputs(Out).Select(record => (record.Key, record.Value, record.Timestamp)), outputs.Select(record => (record.Key, record.Value, record.Timestamp)));
        Assert.Equal(2, outputs.Max(record => record.Timestamp.ToUnixTimeSeconds()));
    }

    [Theory]
    [InlineData(Last)]
    [InlineData(First)]
    [InlineData(-1)]
    [InlineData(0)]
    public void TheFirstAndTheLastTimestampThatADateHoldsAreTimesLikeOthers(long timestamp)
    {
        foreach (string kind in Flows().Select(row => row.Data))
        {
            using FlowDriver driver = new(Flow(kind, BadRecords.Stop));
            driver.PushAt(Zero, "k"u8.ToArray(), [0, 0, 0, 1], timestamp);
            driver.Run();
            driver.Advance(TimeSpan.FromMinutes(1));
            driver.End();
            Assert.All(driver.Outputs(Out), record => Assert.Equal(timestamp, record.Timestamp.ToUnixTimeMilliseconds()));
            Assert.NotEmpty(driver.Outputs(Out));
        }
    }

    private static Dataflow Flow(string kind, BadRecords policy)
    {
        Dataflow flow = new("times");
        InputOptions options = new() { BadRecords = policy };
        KeyedStream<string, string> results = kind switch
        {
            "StatefulMap" => flow.Input("in", In, options).StatefulMap("sum", (ref int? sum, int value) => $"{sum = (sum ?? 0) + value}"),
            "Values" => flow.Input("in", Topic.Values<int>("in"), options).KeyOn("k", value => "k").MapValue("show", value => $"{value}"),
            "Records" => flow.Input("in", Topic.Records<string, int>("in"), options).KeyOn("k", record => record.Key).MapValue("show", record => $"{record.Value} {record.Timestamp:O}"),
            "Stateful" => flow.Input("in", In, options).Stateful("look", () => new Look()),
            "Repartition" => flow.Input("in", In, options).Repartition("by-hash").Stateful("look", () => new Look()),
            "JoinRunning" => Joined(flow.Input("in", In, options)),
            "Collect" => flow.Input("in", In, options).Collect("lists", TimeSpan.FromSeconds(10), 2).MapValue("show", list => string.Join(",", list)),
            "FlatMapBatch" => flow.Input("in", In, options).KeyRemove("values").FlatMapBatch("batch", batch => batch).KeyOn("k", value => "k").MapValue("show", value => $"{value}"),
            "StatefulBatch" => flow.Input("in", In, options).StatefulBatch("batch", () => new LookAtBatch()),
            _ => throw new ArgumentException(kind, nameof(kind)),
        };
        results.Output("out", Out);
        return flow;

        static KeyedStream<string, string> Joined(KeyedStream<string, int> stream) =>
            stream.JoinRunning("rows", stream.MapValue("twice", value => 2 * value)).MapValue("show", row => $"{row.Item1}/{row.Item2}");
    }

    private sealed class Look : StatefulLogic<string, int, string, long>
    {
        private long _sum;

        public override void Resume(long state) => _sum = state;

        public override long Snapshot() => _sum;

        public override StateAction OnItem(int value, StatefulContext<string, string> context)
        {
            context.Emit($"{_sum += value} {context.Timestamp:O}");
            return StateAction.Retain;
        }

        public override StateAction OnEof(StatefulContext<string, string> context)
        {
            context.Emit($"all {_sum} {context.Timestamp:O}");
            return StateAction.Retain;
        }
    }

    private sealed class LookAtBatch : StatefulBatchLogic<string, int, string, long>
    {
        private long _sum;

        public override void Resume(long state) => _sum = state;

        public override long Snapshot() => _sum;

        public override StateAction OnBatch(IReadOnlyList<int> values, StatefulContext<string, string> context)
        {
            context.Emit($"{_sum += values.Sum()} {context.Timestamp:O}");
            return StateAction.Retain;
        }
    }
}
