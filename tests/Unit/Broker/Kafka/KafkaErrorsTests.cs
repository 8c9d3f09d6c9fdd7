using Confluent.Kafka;
using Xunit;

namespace KStreamSharp.Tests;

public sealed class KafkaErrorsTests
{
    public static TheoryData<ErrorCode, string> Rows { get; } = new(KafkaErrors.Table.SelectMany(row => row.Codes, (row, code) => (code, row.Consequence.ToString())));

    [Theory]
    [MemberData(nameof(Rows))]
    public void ACodeOfTheTableHasItsConsequenceWhateverTheClientSaysOfIt(ErrorCode code, string consequence)
    {
        Assert.Equal(consequence, KafkaErrors.Of(new KafkaException(new Error(code, "said", isFatal: false))).ToString());
        Assert.Equal(consequence, KafkaErrors.Of(new KafkaException(new Error(code, "said", isFatal: true))).ToString());
        Assert.Equal(consequence, KafkaErrors.Of(new KafkaTxnRequiresAbortException(new Error(code))).ToString());
        Assert.Equal(consequence, KafkaErrors.Of(new KafkaRetriableException(new Error(code))).ToString());
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
}
