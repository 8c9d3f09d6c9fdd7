using Amazon.S3;
using KStreamSharp.Snapshots.S3;
using Xunit;

[assembly: AssemblyFixture(typeof(KStreamSharp.Tests.S3Server))]

namespace KStreamSharp.Tests;

/// <summary>The bucket of a test run: the one that <c>KSTREAM_S3</c> names, else one of a <c>versitygw</c> of its own.</summary>
public sealed class S3Server : IAsyncLifetime, IServer
{
    private const string Bucket = "snapshots";
    private StoreServer? _server;
    private S3SnapshotStoreOptions? _options;

    public static bool IsRequired => StoreServer.IsRequired;

    /// <summary>How to reach the bucket; fails the test when there is none.</summary>
    public S3SnapshotStoreOptions Options => _options ?? throw new InvalidOperationException(Versitygw.Missing);

    private static string? Given => Environment.GetEnvironmentVariable("KSTREAM_S3") is { Length: > 0 } given ? given : null;

    public static Task<string?> WhyMissing() => Given is null ? Versitygw.WhyMissing() : Task.FromResult<string?>(null);

    public async ValueTask InitializeAsync()
    {
        if (Given is { } given)
        {
            Uri address = new(given);
            string[] keys = [.. address.UserInfo.Split(':').Select(Uri.UnescapeDataString)];
            _options = new() { Endpoint = new Uri(address.GetLeftPart(UriPartial.Authority).Replace(address.UserInfo + "@", "", StringComparison.Ordinal)), Bucket = address.AbsolutePath.Trim('/'), AccessKey = keys[0], SecretKey = keys[1] };
            return;
        }

        if (Versitygw.Program is not { } program)
        {
            return;
        }

        string[] made = ["access-of-the-test", "secret-of-the-test"];
        _server = await StoreServer.Start(program, (folder, port) => ["--quiet", "--access", made[0], "--secret", made[1], "--port", $"127.0.0.1:{port}", "posix", folder]);
        _options = new() { Endpoint = new Uri($"http://127.0.0.1:{_server.Port}"), Bucket = Bucket, AccessKey = made[0], SecretKey = made[1] };
        using AmazonS3Client client = new(made[0], made[1], new AmazonS3Config { ServiceURL = _options.Endpoint.ToString(), ForcePathStyle = true });
        await client.PutBucketAsync(Bucket);
    }

    public ValueTask DisposeAsync() => _server?.DisposeAsync() ?? ValueTask.CompletedTask;
}

/// <summary>The program that serves S3 from a folder.</summary>
internal sealed class Versitygw : IServer
{
    public const string Missing =
        "No S3: KSTREAM_VERSITYGW names no program, and versitygw is not on the PATH. Get it from https://github.com/versity/versitygw/releases, or set KSTREAM_S3=http://ACCESS-KEY:SECRET-KEY@HOST:PORT/BUCKET.";

    private Versitygw()
    {
    }

    public static bool IsRequired => StoreServer.IsRequired;

    public static string? Program => StoreServer.Find("KSTREAM_VERSITYGW", "versitygw");

    public static Task<string?> WhyMissing() => Task.FromResult(Program is null ? Missing : null);
}
