using Azure.Core;
using Azure.Storage.Blobs;
using Azure.Storage.Sas;
using KStreamSharp.Snapshots.AzureBlob;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The contract, on Azure Blob Storage.</summary>
[Needs<AzuriteServer>]
public sealed class AzureBlobSnapshotStoreTests(AzuriteServer server) : RemoteStoreContract
{
    private const string Prefix = "a-prefix/of";

    private BlobContainerClient Client => new(server.ConnectionString, AzuriteServer.Container);

    private protected override (string Host, int Port) Address
    {
        get
        {
            Assert.SkipUnless(Client.Uri.Scheme == "http", "KSTREAM_AZURE_BLOB has https.");
            return (Client.Uri.Host, Client.Uri.Port);
        }
    }

    private protected override int ReadingThatIsSent => 1;

    private protected override ISnapshotStore CreateStore() => new AzureBlobSnapshotStore(server.ConnectionString, AzuriteServer.Container, Prefix);

    private protected override ISnapshotStore StoreAt(int port, TimeSpan patience) =>
        new AzureBlobSnapshotStore(new BlobContainerClient(AzuriteServer.At(port), AzuriteServer.Container, AzureBlobSnapshotStore.Options), Prefix, [], patience);

    private protected override IReadOnlyDictionary<string, BrokenStore> BrokenStores()
    {
        string key = server.ConnectionString.Split(';').Single(setting => setting.StartsWith("AccountKey=", StringComparison.Ordinal))["AccountKey=".Length..];
        string wrong = Convert.ToBase64String("a wrong key of the account"u8);
        int nobody = StoreServer.FreePort();
        Uri forged = new($"{Client.Uri}?sv=2024-05-04&sp=rwdl&sr=c&se=2099-01-01T00:00:00Z&sig=Zm9yZ2VkLXNpZ25hdHVyZQ%3D%3D");
        return new Dictionary<string, BrokenStore>
        {
            ["a container that is missing"] = new(new AzureBlobSnapshotStore(server.ConnectionString, "no-such-container"), ["no-such-container", Client.Uri.Authority, "ContainerNotFound"], [key]),
            ["a wrong key"] = new(
                new AzureBlobSnapshotStore(server.ConnectionString.Replace(key, wrong, StringComparison.Ordinal), AzuriteServer.Container), [AzuriteServer.Container, Client.Uri.Authority, "(403)"], [key, wrong]),
            ["a forged signature"] = new(new AzureBlobSnapshotStore(new BlobContainerClient(forged)), [AzuriteServer.Container, Client.Uri.Authority, "(403)"], [key, "Zm9yZ2VkLXNpZ25hdHVyZQ"]),
            ["a server that is not there"] = new(new AzureBlobSnapshotStore(AzuriteServer.At(nobody), AzuriteServer.Container), [AzuriteServer.Container, $"127.0.0.1:{nobody}", "refused"], ["Eby8vdM02xNOcqFl"]),
            ["a credential that fails"] = new(
                new AzureBlobSnapshotStore(new Uri($"https://127.0.0.1:{nobody}/account"), new FailingCredential(), AzuriteServer.Container), [AzuriteServer.Container, $"127.0.0.1:{nobody}", "nobody is logged in"], []),
        };
    }

    [Fact]
    public async Task ASharedAccessSignatureOpensTheStore()
    {
        _ = Store;
        Uri signed = Client.GenerateSasUri(BlobContainerSasPermissions.All, DateTimeOffset.UtcNow.AddHours(1));
        AzureBlobSnapshotStore store = new(new BlobContainerClient(signed), Prefix);
        await store.PutAsync(Name("object"), Bytes(9_000_000, seed: 1), Stop);
        Assert.Equal([new SnapshotObject(Name("object"), 9_000_000)], await store.ListAsync(Name(""), Stop));
        await store.DeleteAsync(Name("object"), Stop);
        Assert.Null(await store.OpenAsync(Name("object"), Stop));
    }

    /// <summary>As accounts with a hierarchical namespace show theirs.</summary>
    [Fact]
    public async Task BlobsThatStandForFoldersAreNotListed()
    {
        await Put("shard/object", "kept");
        BlobClient folder = Client.GetBlobClient($"{Prefix}/{Name("folder")}");
        await folder.UploadAsync(BinaryData.Empty, new Azure.Storage.Blobs.Models.BlobUploadOptions { Metadata = new Dictionary<string, string> { ["hdi_isfolder"] = "true" } }, Stop);
        Assert.Equal(["shard/object"], await List(""));
        await folder.DeleteAsync(cancellationToken: Stop);
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("AccountName=a;AccountKey=the secret")]
    [InlineData("AccountKey=dGhlIHNlY3JldA==")]
    public void AConnectionStringThatIsNoneIsRefusedAndNotShown(string connectionString)
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => new AzureBlobSnapshotStore(connectionString, "container"));
        Assert.Contains("connection string", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", error.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("dGhl", error.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../other")]
    [InlineData("/")]
    [InlineData("a b")]
    public void APrefixThatIsNoneIsRefused(string prefix) =>
        Assert.Throws<ArgumentException>(() => new AzureBlobSnapshotStore(new Uri("https://127.0.0.1/account"), new FailingCredential(), "container", prefix));

    private sealed class FailingCredential : TokenCredential
    {
        public override AccessToken GetToken(TokenRequestContext requestContext, CancellationToken cancellationToken) => throw new InvalidOperationException("nobody is logged in");

        public override ValueTask<AccessToken> GetTokenAsync(TokenRequestContext requestContext, CancellationToken cancellationToken) => throw new InvalidOperationException("nobody is logged in");
    }
}
