using System.Buffers;
using System.Buffers.Binary;
using Azure;
using Azure.Core;
using Azure.Storage.Blobs;
using Azure.Storage.Blobs.Models;
using Azure.Storage.Blobs.Specialized;

namespace KStreamSharp.Snapshots.AzureBlob;

/// <summary>
/// A snapshot store in a container of Azure Blob Storage, which exists. It asks for the rights to list the container, and to
/// read, write and delete blobs (the role Storage Blob Data Contributor).
/// </summary>
/// <remarks>
/// An object is a block blob. A larger one is sent in blocks of 8 MB, of which nobody sees anything before the list of them is
/// committed; the service forgets blocks that never are. A call fails when nothing has moved for 100 seconds.
/// </remarks>
public sealed class AzureBlobSnapshotStore : ISnapshotStore
{
    private const int BlockBytes = 8 << 20;
    private const int AttemptsMax = 10;

    private readonly BlobContainerClient _container;
    private readonly RemoteCalls _calls;
    private readonly string _prefix;

    /// <summary>A store in a container, by a connection string. Nothing is asked of the service yet.</summary>
    /// <param name="connectionString">Names the account, and has its key or a shared access signature.</param>
    /// <param name="container">The container.</param>
    /// <param name="prefix">What the names of all blobs begin with, as a folder: letters, digits, <c>.</c>, <c>_</c>, <c>-</c> and <c>/</c>. Null: nothing.</param>
    /// <exception cref="ArgumentException">An argument cannot be used; the message says which and why.</exception>
    public AzureBlobSnapshotStore(string connectionString, string container, string? prefix = null)
        : this(Connect(connectionString, container), prefix, SecretsOf(connectionString), Patience)
    {
    }

    /// <summary>A store in a container, by the address of the account. Nothing is asked of the service yet.</summary>
    /// <param name="service">The account, as <c>https://account.blob.core.windows.net</c>.</param>
    /// <param name="credential">As whom, for example a <c>DefaultAzureCredential</c> of the package Azure.Identity.</param>
    /// <param name="container">The container.</param>
    /// <param name="prefix">What the names of all blobs begin with, as a folder: letters, digits, <c>.</c>, <c>_</c>, <c>-</c> and <c>/</c>. Null: nothing.</param>
    /// <exception cref="ArgumentException">An argument cannot be used; the message says which and why.</exception>
    public AzureBlobSnapshotStore(Uri service, TokenCredential credential, string container, string? prefix = null)
        : this(new BlobServiceClient(service, credential, Options).GetBlobContainerClient(Named(container)), prefix)
    {
    }

    /// <summary>A store in a container, by a client with options and credentials of one's own.</summary>
    /// <param name="container">The container.</param>
    /// <param name="prefix">What the names of all blobs begin with, as a folder: letters, digits, <c>.</c>, <c>_</c>, <c>-</c> and <c>/</c>. Null: nothing.</param>
    /// <exception cref="ArgumentException">The prefix cannot be used.</exception>
    public AzureBlobSnapshotStore(BlobContainerClient container, string? prefix = null)
        : this(container, prefix, [], Patience)
    {
    }

    internal AzureBlobSnapshotStore(BlobContainerClient container, string? prefix, IEnumerable<string> secrets, TimeSpan patience)
    {
        ArgumentNullException.ThrowIfNull(container);
        _container = container;
        _prefix = SnapshotName.Folder(prefix);
        // A shared access signature may be in the address.
        string address = container.Uri.GetLeftPart(UriPartial.Path);
        string query = container.Uri.Query.TrimStart('?');
        _calls = new RemoteCalls(
            $"Snapshot store in the container {container.Name} at {address[..^container.Name.Length].TrimEnd('/')}", patience, Cause, [.. secrets.Append(query).Where(secret => secret.Length > 0)]);
    }

    /// <summary>The client gives up after six seconds, rather than half a minute: the engine tries again, too.</summary>
    internal static BlobClientOptions Options => new() { Retry = { MaxRetries = 3 } };

    private static TimeSpan Patience => TimeSpan.FromSeconds(100);

    /// <inheritdoc/>
    public async Task PutAsync(string name, Stream content, CancellationToken stop)
    {
        SnapshotName.Check(name);
        ArgumentNullException.ThrowIfNull(content);
        BlockBlobClient blob = _container.GetBlockBlobClient(_prefix + name);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BlockBytes);
        try
        {
            await _calls.Make($"'{_prefix}{name}' cannot be written", stop, async limit =>
            {
                long start = content.Position;
                for (int attempt = 1; !await TryPut(blob, content, buffer, isLast: attempt == AttemptsMax, limit); attempt++)
                {
                    content.Position = start;
                }

                return true;
            });
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <inheritdoc/>
    public async Task<Stream?> OpenAsync(string name, CancellationToken stop)
    {
        SnapshotName.Check(name);
        string failure = $"'{_prefix}{name}' cannot be read";
        return await _calls.Make(failure, stop, async limit =>
        {
            try
            {
                BlobDownloadStreamingResult answer = await _container.GetBlobClient(_prefix + name).DownloadStreamingAsync(cancellationToken: limit.Token);
                return _calls.Reading(failure, answer.Content, answer);
            }
            catch (RequestFailedException error) when (error.ErrorCode == BlobErrorCode.BlobNotFound)
            {
                return null;
            }
        });
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<SnapshotObject>> ListAsync(string prefix, CancellationToken stop)
    {
        SnapshotName.CheckPrefix(prefix);
        return await _calls.Make($"the objects '{_prefix}{prefix}*' cannot be listed", stop, async limit =>
        {
            List<SnapshotObject> found = [];
            GetBlobsOptions options = new() { Prefix = _prefix + prefix, Traits = BlobTraits.Metadata };
            await foreach (Page<BlobItem> page in _container.GetBlobsAsync(options, limit.Token).AsPages())
            {
                limit.Moved();
                found.AddRange(from blob in page.Values where !IsFolder(blob) let name = blob.Name[_prefix.Length..] where SnapshotName.IsValid(name) select new SnapshotObject(name, blob.Properties.ContentLength ?? 0));
            }

            found.Sort((one, other) => string.CompareOrdinal(one.Name, other.Name));
            return found;
        });
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(string name, CancellationToken stop)
    {
        SnapshotName.Check(name);
        await _calls.Make($"'{_prefix}{name}' cannot be deleted", stop, async limit =>
        {
            try
            {
                await _container.GetBlobClient(_prefix + name).DeleteAsync(DeleteSnapshotsOption.IncludeSnapshots, cancellationToken: limit.Token);
                return true;
            }
            catch (RequestFailedException error) when (error.ErrorCode == BlobErrorCode.BlobNotFound)
            {
                return false;
            }
        });
    }

    /// <summary>False when another writer of this blob has committed its own meanwhile, which drops all blocks that are not committed.</summary>
    private static async Task<bool> TryPut(BlockBlobClient blob, Stream content, byte[] buffer, bool isLast, RemoteCalls.Limit limit)
    {
        int count = await Fill();
        if (count < BlockBytes)
        {
            await blob.UploadAsync(Block(), cancellationToken: limit.Token);
            return true;
        }

        // Names of blocks are of this attempt alone: the client's own upload names them by their place, and so would mix two writers.
        byte[] id = new byte[20];
        Guid.NewGuid().TryWriteBytes(id);
        List<string> blocks = [];
        try
        {
            for (; count > 0; count = await Fill())
            {
                BinaryPrimitives.WriteInt32BigEndian(id.AsSpan(16), blocks.Count);
                blocks.Add(Convert.ToBase64String(id));
                await blob.StageBlockAsync(blocks[^1], Block(), cancellationToken: limit.Token);
            }

            limit.Moved();
            await blob.CommitBlockListAsync(blocks, cancellationToken: limit.Token);
            return true;
        }
        catch (RequestFailedException error) when (error.ErrorCode == BlobErrorCode.InvalidBlockList && !isLast)
        {
            return false;
        }

        MemoryStream Block() => new(buffer, 0, count, writable: false);

        async Task<int> Fill()
        {
            int filled = 0;
            for (int read = 1; read > 0 && filled < BlockBytes; filled += read)
            {
                read = await content.ReadAsync(buffer.AsMemory(filled, BlockBytes - filled), limit.Token);
                limit.Moved();
            }

            return filled;
        }
    }

    /// <summary>Accounts with a hierarchical namespace list folders, too.</summary>
    private static bool IsFolder(BlobItem blob) => blob.Metadata is not null && blob.Metadata.TryGetValue("hdi_isfolder", out string? value) && value == "true";

    private static string Named(string container)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(container);
        return container;
    }

    private static BlobContainerClient Connect(string connectionString, string container)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);
        try
        {
            return new BlobContainerClient(connectionString, Named(container), Options);
        }
        catch (FormatException)
        {
            // Without the cause, which may show what is in the string.
            throw new ArgumentException("The connection string is not one of Azure Storage. Copy it from the account's access keys.", nameof(connectionString));
        }
    }

    private static IEnumerable<string> SecretsOf(string connectionString) =>
        from setting in connectionString.Split(';', StringSplitOptions.TrimEntries)
        where setting.StartsWith("AccountKey=", StringComparison.OrdinalIgnoreCase) || setting.StartsWith("SharedAccessSignature=", StringComparison.OrdinalIgnoreCase)
        select setting[(setting.IndexOf('=') + 1)..].TrimStart('?');

    private static string Cause(Exception error) => error switch
    {
        AggregateException several => Cause(several.InnerExceptions[^1]),
        RequestFailedException { ErrorCode.Length: > 0 } refusal => $"{refusal.ErrorCode} ({refusal.Status}): {refusal.Message}",
        RequestFailedException { Status: > 0 } refusal => refusal.Message,
        _ => error.GetBaseException().Message,
    };
}
