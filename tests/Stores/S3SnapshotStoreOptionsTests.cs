using KStreamSharp.Snapshots.S3;
using Xunit;

namespace KStreamSharp.Tests;

public class S3SnapshotStoreOptionsTests
{
    private static readonly S3SnapshotStoreOptions Good = new() { Bucket = "bucket", Endpoint = new Uri("https://127.0.0.1:9000"), AccessKey = "the-access", SecretKey = "the-secret" };

    public static TheoryData<S3SnapshotStoreOptions, string> Bad => new()
    {
        { Good with { Bucket = " " }, "Bucket is missing" },
        { Good with { Prefix = "../other" }, "'../other' cannot be the prefix" },
        { Good with { Prefix = "/" }, "'/' cannot be the prefix" },
        { Good with { Endpoint = new Uri("127.0.0.1:9000/x", UriKind.Relative) }, "Endpoint must be as https://host:port" },
        { Good with { Endpoint = new Uri("ftp://127.0.0.1") }, "Endpoint must be as https://host:port" },
        { Good with { Endpoint = new Uri("https://the-access:the-secret@127.0.0.1:9000") }, "the keys go to AccessKey and SecretKey" },
        { Good with { SecretKey = null }, "AccessKey and SecretKey go together" },
        { Good with { AccessKey = "" }, "AccessKey and SecretKey go together" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void OptionsThatCannotWorkAreRefusedByName(S3SnapshotStoreOptions options, string says)
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => new S3SnapshotStore(options));
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("the-secret", error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void ThePrintedOptionsHaveNoKeys()
    {
        Assert.Contains("Bucket = bucket", Good.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("the-", Good.ToString(), StringComparison.Ordinal);
    }
}
