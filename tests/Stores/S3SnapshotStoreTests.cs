using Amazon.S3;
using Amazon.S3.Model;
using KStreamSharp.Snapshots.S3;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The contract, on S3.</summary>
[Needs<S3Server>]
public sealed class S3SnapshotStoreTests(S3Server server) : RemoteStoreContract
{
    private protected override (string Host, int Port) Address
    {
        get
        {
            Uri endpoint = server.Options.Endpoint!;
            Assert.SkipWhen(endpoint.Scheme == "https", "KSTREAM_S3 has https.");
            return (endpoint.Host, endpoint.Port);
        }
    }

    private protected override int ReadingThatIsSent => 2;

    private protected override ISnapshotStore CreateStore() => new S3SnapshotStore(server.Options with { Prefix = "a-prefix/of" });

    private protected override ISnapshotStore StoreAt(int port, TimeSpan patience) =>
        new S3SnapshotStore(server.Options with { Prefix = "a-prefix/of", Endpoint = new Uri($"http://127.0.0.1:{port}") }, patience);

    private protected override IReadOnlyDictionary<string, BrokenStore> BrokenStores()
    {
        S3SnapshotStoreOptions good = server.Options;
        string at = good.Endpoint!.Authority;
        string[] hides = [good.AccessKey!, good.SecretKey!];
        int nobody = StoreServer.FreePort();
        return new Dictionary<string, BrokenStore>
        {
            ["a bucket that is missing"] = new(new S3SnapshotStore(good with { Bucket = "no-such-bucket" }), ["no-such-bucket", at, "NoSuchBucket"], hides),
            ["a wrong secret key"] = new(new S3SnapshotStore(good with { SecretKey = "a-wrong-secret" }), [good.Bucket, at, "SignatureDoesNotMatch"], [.. hides, "a-wrong-secret"]),
            ["a wrong access key"] = new(new S3SnapshotStore(good with { AccessKey = "a-wrong-access" }), [good.Bucket, at], [.. hides, "a-wrong-access"]),
            ["a server that is not there"] = new(new S3SnapshotStore(good with { Endpoint = new Uri($"http://127.0.0.1:{nobody}") }), [good.Bucket, $"127.0.0.1:{nobody}", "refused"], hides),
        };
    }

    /// <summary>The first reading is for its hash.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(20_000_000)]
    public async Task ContentThatFailsWhileItIsSentLeavesTheOldObject(int failsAt)
    {
        await Put("old", "old");
        using BrokenContent content = new(30_000_000, failsAt, () => throw new IOException("the disk is broken"), reading: 2);
        IOException error = await Assert.ThrowsAsync<IOException>(() => Store.PutAsync(Name("old"), content, Stop));
        Assert.Contains("the disk is broken", error.ToString(), StringComparison.Ordinal);
        Assert.Equal("old", await Text("old"));
    }

    [Fact]
    public async Task ObjectsThatStandForFoldersAreNotListed()
    {
        await Put("shard/object", "kept");
        using AmazonS3Client client = new(server.Options.AccessKey, server.Options.SecretKey, new AmazonS3Config { ServiceURL = server.Options.Endpoint!.ToString(), ForcePathStyle = true });
        PutObjectRequest folder = new() { BucketName = server.Options.Bucket, Key = $"a-prefix/of/{Name("made-by-a-tool/")}", ContentBody = "" };
        await client.PutObjectAsync(folder, Stop);
        Assert.Equal(["shard/object"], await List(""));
        await client.DeleteObjectAsync(folder.BucketName, folder.Key, Stop);
    }
}
