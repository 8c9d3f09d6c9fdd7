using Confluent.Kafka;
using Xunit;

namespace KStreamSharp.Tests;

public sealed class KafkaErrorsTests
{
    public static TheoryData<ErrorCode, string> Rows { get; } = new(KafkaErrors.Table.SelectMany(row => row.Codes, (row, code) => (code, row.Consequence.ToString())));

    [Theory]
    [MemberData(nameof(Rows))]
    public void ACodeOfTheTableHasItsConsequenceButNothingIsCalledAgainThatTheClientHasGivenUp(ErrorCode code, string consequence)
    {
        bool again = consequence == nameof(Consequence.Retry);
        Assert.Equal(consequence, KafkaErrors.Of(new KafkaException(new Error(code, "said", isFatal: false))).ToString());
        Assert.Equal(consequence, KafkaErrors.Of(new KafkaRetriableException(new Error(code))).ToString());
        Assert.Equal(again ? nameof(Consequence.Abort) : consequence, KafkaErrors.Of(new KafkaTxnRequiresAbortException(new Error(code))).ToString());
        Assert.Equal(again ? nameof(Consequence.NewWriter) : consequence, KafkaErrors.Of(new KafkaException(new Error(code, "said", isFatal: true))).ToString());
    }

    [Fact]
    public void ThePageHasTheTable()
    {
        const string Heading = "### Kafka's errors\n";
        string page = Repository.Read("docs/guarantees.md").ReplaceLineEndings("\n");
        int begin = page.IndexOf(Heading, StringComparison.Ordinal) + Heading.Length;
        string section = page[begin..page.IndexOf("\n## ", begin, StringComparison.Ordinal)];

        // By value, not by name: the client has one of them under two names.
        IEnumerable<(Consequence, string, string)> rows = section.Split('\n')
            .Where(line => line.StartsWith("| `", StringComparison.Ordinal))
            .Select(line => line.Trim('|').Replace("`", "", StringComparison.Ordinal).Split('|', StringSplitOptions.TrimEntries))
            .Select(cells => (Enum.Parse<Consequence>(cells[0]), cells[1], string.Join(", ", cells[2].Split(", ").Select(Enum.Parse<ErrorCode>))));

        Assert.Equal(KafkaErrors.Table.Select(row => (row.Consequence, row.Meaning, string.Join(", ", row.Codes))), rows);
    }

    [Fact]
    public void NoCodeIsInTwoRows()
    {
        ErrorCode[] codes = [.. KafkaErrors.Table.SelectMany(row => row.Codes)];

        Assert.Equal(codes.Distinct(), codes);
    }

    [Fact]
    public void ACodeOutsideOfTheTableIsJudgedByWhatTheClientSaysAndElseStops()
    {
        Error unknown = new(ErrorCode.Unknown, "said", isFatal: false);

        Assert.Equal(Consequence.Abort, KafkaErrors.Of(new KafkaTxnRequiresAbortException(unknown)));
        Assert.Equal(Consequence.Retry, KafkaErrors.Of(new KafkaRetriableException(unknown)));
        Assert.Equal(Consequence.NewWriter, KafkaErrors.Of(new KafkaException(new Error(ErrorCode.Unknown, "said", isFatal: true))));
        Assert.Equal(Consequence.Stop, KafkaErrors.Of(new KafkaException(unknown)));
    }

    [Fact]
    public void ALeaderThatHasNotHeardOfItsPartitionIsAskedAgain()
    {
        Assert.Equal(Consequence.Retry, KafkaErrors.Of(KafkaErrors.OfLeader(new Error(ErrorCode.UnknownTopicOrPart))));
        Assert.Equal(Consequence.Stop, KafkaErrors.Of(KafkaErrors.OfLeader(new Error(ErrorCode.TopicAuthorizationFailed))));
    }
}
