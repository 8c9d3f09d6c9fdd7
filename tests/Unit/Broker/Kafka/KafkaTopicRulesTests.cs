using Confluent.Kafka;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>What the engine asks of its own topics, also of brokers that know less.</summary>
public class KafkaTopicRulesTests
{
    private const string NoBound = "9223372036854775807";

    [Fact]
    public void NothingIsLeftToTheBrokersDefaults()
    {
        Dictionary<string, string> compact = KafkaTopicRules.Wanted(TopicCleanup.Compact, 1_000_000).First();
        Assert.Equal("compact", compact["cleanup.policy"]);
        Assert.Equal("0", compact["min.compaction.lag.ms"]);
        Dictionary<string, string> keep = KafkaTopicRules.Wanted(TopicCleanup.Keep, 5_000_000).First();
        Assert.Equal(("delete", "-1", "-1"), (keep["cleanup.policy"], keep["retention.ms"], keep["retention.bytes"]));
        Assert.Equal("5000000", keep["max.message.bytes"]);
        Assert.All([compact, keep], settings => Assert.Equal(
            ("CreateTime", NoBound, NoBound), (settings["message.timestamp.type"], settings["message.timestamp.before.max.ms"], settings["message.timestamp.after.max.ms"])));
    }

    /// <summary>Names that the broker does not know, which of the settings it is asked for, and what is not protected.</summary>
    public static TheoryData<string[], string, string> Brokers() => new()
    {
        { [], "message.timestamp.after.max.ms message.timestamp.before.max.ms", "" },
        { ["message.timestamp.after.max.ms", "message.timestamp.before.max.ms"], "message.timestamp.difference.max.ms", "" },
        { ["message.timestamp.after.max.ms", "message.timestamp.difference.max.ms"], "", "message.timestamp.before.max.ms, message.timestamp.after.max.ms" },
    };

    [Theory]
    [MemberData(nameof(Brokers))]
    public void ABrokerThatRefusesASettingIsAskedAgainWithoutIt(string[] unknown, string bounds, string leftOut)
    {
        Error answer = KafkaTopicRules.Create(
            KafkaTopicRules.Wanted(TopicCleanup.Keep, 1_000_000),
            settings => new Error(settings.Keys.Intersect(unknown).Any() ? ErrorCode.InvalidConfig : ErrorCode.NoError),
            out Dictionary<string, string>? taken);
        Assert.False(answer.IsError);
        Assert.Equal(bounds, string.Join(' ', taken!.Keys.Where(name => name.EndsWith("max.ms", StringComparison.Ordinal)).Order()));
        Assert.Equal(leftOut, KafkaTopicRules.LeftOut(taken));
    }

    [Fact]
    public void OtherRefusalsAreNotAskedAgain()
    {
        int asked = 0;
        Assert.Equal(ErrorCode.TopicAlreadyExists, Create(ErrorCode.TopicAlreadyExists));
        Assert.Equal(1, asked);
        Assert.Equal(ErrorCode.InvalidConfig, Create(ErrorCode.InvalidConfig));

        ErrorCode Create(ErrorCode code)
        {
            Error answer = KafkaTopicRules.Create(KafkaTopicRules.Wanted(TopicCleanup.Keep, 1), _ => new Error(code, $"answer {++asked}"), out Dictionary<string, string>? taken);
            Assert.Null(taken);
            Assert.Equal(code == ErrorCode.InvalidConfig ? "answer 2" : "answer 1", answer.Reason);
            return answer.Code;
        }
    }

    [Fact]
    public void TopicsThatAreThereAreLookedAt()
    {
        Dictionary<string, string> good = KafkaTopicRules.Wanted(TopicCleanup.Keep, 2_000_000).First();
        Assert.Empty(KafkaTopicRules.Weak(good, 2_000_000));
        Dictionary<string, string> weak = new(good) { ["message.timestamp.after.max.ms"] = "3600000", ["max.message.bytes"] = "1000" };
        Assert.Equal(
            [("message.timestamp.after.max.ms", "3600000", NoBound), ("max.message.bytes", "1000", "2000000")],
            KafkaTopicRules.Weak(weak, 2_000_000).Select(rule => (rule.Name, rule.Value, rule.Wanted)));
    }
}
