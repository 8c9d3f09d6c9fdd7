using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Amazon.Runtime;
using Amazon.S3;
using KStreamSharp.Snapshots.S3;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>As with AWS, with TLS: there the SDK has other ways to send content.</summary>
[Needs<Versitygw>]
public sealed class S3OverTlsTests : IAsyncLifetime
{
    private StoreServer? _server;
    private S3SnapshotStore? _store;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private S3SnapshotStore Store => _store ?? throw new InvalidOperationException(Versitygw.Missing);

    public async ValueTask InitializeAsync()
    {
        if (Versitygw.Program is not { } program)
        {
            return;
        }

        using RSA key = RSA.Create(2048);
        using X509Certificate2 certificate = new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        _server = await StoreServer.Start(program, (folder, port) =>
        {
            string beside = Path.GetDirectoryName(folder)!;
            File.WriteAllText(Path.Combine(beside, "cert"), certificate.ExportCertificatePem());
            File.WriteAllText(Path.Combine(beside, "key"), key.ExportPkcs8PrivateKeyPem());
            return ["--quiet", "--access", "the-access", "--secret", "the-secret", "--port", $"127.0.0.1:{port}", "--cert", Path.Combine(beside, "cert"), "--key", Path.Combine(beside, "key"), "posix", folder];
        });
        S3SnapshotStoreOptions options = new() { Bucket = "snapshots", Endpoint = new Uri($"https://127.0.0.1:{_server.Port}"), AccessKey = "the-access", SecretKey = "the-secret" };
        Trusting trusting = new(certificate.GetCertHashString(HashAlgorithmName.SHA256));
        using AmazonS3Client client = new(options.AccessKey, options.SecretKey, new AmazonS3Config { ServiceURL = options.Endpoint.ToString(), ForcePathStyle = true, HttpClientFactory = trusting });
        await client.PutBucketAsync(options.Bucket);
        _store = new S3SnapshotStore(options, TimeSpan.FromSeconds(100), trusting);
    }

    public async ValueTask DisposeAsync()
    {
        _store?.Dispose();
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(20_000_000)]
    public async Task AnObjectIsReadAsItWasWritten(int bytes)
    {
        byte[] content = RandomNumberGenerator.GetBytes(bytes);
        await Store.PutAsync("shard/object", new MemoryStream(content), Stop);
        await using Stream? read = await Store.OpenAsync("shard/object", Stop);
        Assert.Equal(SHA256.HashData(content), await SHA256.HashDataAsync(read!, Stop));
        Assert.Equal([new SnapshotObject("shard/object", bytes)], await Store.ListAsync("", Stop));
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(20_000_000, 1)]
    [InlineData(0, 2)]
    [InlineData(20_000_000, 2)]
    public async Task ContentThatFailsLeavesNothing(int failsAt, int reading)
    {
        using BrokenContent content = new(30_000_000, failsAt, () => throw new IOException("the disk is broken"), reading);
        await Assert.ThrowsAsync<IOException>(() => Store.PutAsync("shard/object", content, Stop));
        Assert.Empty(await Store.ListAsync("", Stop));
    }

    [Fact]
    public async Task AStrangerIsRefused()
    {
        _ = Store;
        using S3SnapshotStore strict = new(new() { Bucket = "snapshots", Endpoint = new Uri($"https://127.0.0.1:{_server!.Port}"), AccessKey = "the-access", SecretKey = "the-secret" });
        IOException error = await Assert.ThrowsAsync<IOException>(() => strict.ListAsync("", Stop));
        Assert.Contains("certificate", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Takes the certificate of the test's server, which no authority has signed, and no other.</summary>
    private sealed class Trusting(string hash) : HttpClientFactory
    {
        public override HttpClient CreateHttpClient(IClientConfig clientConfig)
        {
            HttpClientHandler handler = new() { ServerCertificateCustomValidationCallback = (_, certificate, _, _) => certificate?.GetCertHashString(HashAlgorithmName.SHA256) == hash };
            return new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        }
    }
}
