using System.Net;
using Amazon;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;

namespace KStreamSharp.Snapshots.S3;

/// <summary>
/// A snapshot store in a bucket of S3, or of any server that speaks its protocol. It asks for the rights to list the bucket,
/// and to get, put and delete objects.
/// </summary>
/// <remarks>
/// An object is written by one request, which S3 keeps whole or not at all, and of 5 GB at most; files of a snapshot are far
/// smaller. An upload in parts would leave parts behind wherever a process ends in the midst. The request is signed with the
/// SHA-256 of the content, which the server compares with what has come; so the content is read twice. A call fails when
/// nothing has moved for 100 seconds.
/// </remarks>
public sealed class S3SnapshotStore : ISnapshotStore, IDisposable
{
    private readonly AmazonS3Client _client;
    private readonly RemoteCalls _calls;
    private readonly string _bucket;
    private readonly string _prefix;

    /// <summary>A store in a bucket. Nothing is asked of the server yet.</summary>
    /// <param name="options">Where, and as whom.</param>
    /// <exception cref="ArgumentException">The options cannot be used; the message says which and why.</exception>
    public S3SnapshotStore(S3SnapshotStoreOptions options)
        : this(options, patience: TimeSpan.FromSeconds(100))
    {
    }

    internal S3SnapshotStore(S3SnapshotStoreOptions options, TimeSpan patience, HttpClientFactory? http = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        Check(options);
        _bucket = options.Bucket;
        _prefix = SnapshotName.Folder(options.Prefix);
        AmazonS3Config config = new()
        {
            ForcePathStyle = options.PathStyle ?? options.Endpoint is not null,
            HttpClientFactory = http,
            ConnectTimeout = TimeSpan.FromSeconds(10),
            // Servers other than AWS refuse checksums that come after the content, or send none.
            RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
            ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
        };
        if (options.Endpoint is not null)
        {
            config.ServiceURL = options.Endpoint.ToString();
            config.AuthenticationRegion = options.Region ?? "us-east-1";
        }
        else if (options.Region is not null)
        {
            config.RegionEndpoint = RegionEndpoint.GetBySystemName(options.Region);
        }

        try
        {
            _client = options.AccessKey is null ? new AmazonS3Client(config) : new AmazonS3Client(new BasicAWSCredentials(options.AccessKey, options.SecretKey), config);
        }
        catch (AmazonClientException error)
        {
            throw new ArgumentException($"The options of the snapshot store cannot be used: {error.Message} Set {nameof(options.Region)}, or {nameof(options.Endpoint)}.", nameof(options), error);
        }

        string at = options.Endpoint?.GetLeftPart(UriPartial.Authority) ?? $"AWS{(options.Region is null ? "" : $" ({options.Region})")}";
        _calls = new RemoteCalls($"Snapshot store in the bucket {_bucket} at {at}", patience, Cause, options.AccessKey is null ? [] : [options.SecretKey!, options.AccessKey]);
    }

    /// <inheritdoc/>
    public async Task PutAsync(string name, Stream content, CancellationToken stop)
    {
        SnapshotName.Check(name);
        ArgumentNullException.ThrowIfNull(content);
        await _calls.Make($"'{_prefix}{name}' cannot be written", stop, limit => _client.PutObjectAsync(
            new PutObjectRequest
            {
                BucketName = _bucket,
                Key = _prefix + name,
                InputStream = new WatchedContent(content, limit.Moved, limit.Token),
                AutoCloseStream = false,
                AutoResetStreamPosition = false,
                // Signed as a whole. Many servers know no signatures of chunks; and of what is not signed, some keep as much as
                // had come before the connection broke.
                UseChunkEncoding = false,
            },
            limit.Token));
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
                GetObjectResponse answer = await _client.GetObjectAsync(new GetObjectRequest { BucketName = _bucket, Key = _prefix + name }, limit.Token);
                return _calls.Reading(failure, answer.ResponseStream, answer);
            }
            catch (AmazonS3Exception error) when (error is { StatusCode: HttpStatusCode.NotFound, ErrorCode: "NoSuchKey" })
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
            ListObjectsV2Request request = new() { BucketName = _bucket, Prefix = _prefix + prefix };
            ListObjectsV2Response page;
            do
            {
                page = await _client.ListObjectsV2Async(request, limit.Token);
                limit.Moved();
                request.ContinuationToken = page.NextContinuationToken;
                // Tools that show folders put objects with a slash at the end there.
                found.AddRange(from one in page.S3Objects ?? [] let name = one.Key[_prefix.Length..] where SnapshotName.IsValid(name) select new SnapshotObject(name, one.Size ?? 0));
            }
            while (page.IsTruncated == true);
            found.Sort((one, other) => string.CompareOrdinal(one.Name, other.Name));
            return found;
        });
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(string name, CancellationToken stop)
    {
        SnapshotName.Check(name);
        await _calls.Make($"'{_prefix}{name}' cannot be deleted", stop, limit => _client.DeleteObjectAsync(new DeleteObjectRequest { BucketName = _bucket, Key = _prefix + name }, limit.Token));
    }

    /// <summary>Closes the connections.</summary>
    public void Dispose() => _client.Dispose();

    private static void Check(S3SnapshotStoreOptions options)
    {
        Require(!string.IsNullOrWhiteSpace(options.Bucket), $"{nameof(options.Bucket)} is missing");
        Require(options.Endpoint is null or { IsAbsoluteUri: true, Scheme: "http" or "https" }, $"{nameof(options.Endpoint)} must be as https://host:port");
        Require(options.Endpoint is null or { UserInfo: "", Query: "" }, $"{nameof(options.Endpoint)} must be as https://host:port; the keys go to {nameof(options.AccessKey)} and {nameof(options.SecretKey)}");
        Require(string.IsNullOrEmpty(options.AccessKey) == string.IsNullOrEmpty(options.SecretKey), $"{nameof(options.AccessKey)} and {nameof(options.SecretKey)} go together: set both, or none");

        void Require(bool holds, string otherwise)
        {
            if (!holds)
            {
                throw new ArgumentException($"The options of the snapshot store cannot be used: {otherwise}.", nameof(options));
            }
        }
    }

    private static string Cause(Exception error) => error switch
    {
        AmazonServiceException { ErrorCode.Length: > 0 } refusal => $"{refusal.ErrorCode} ({(int)refusal.StatusCode}): {refusal.Message}",
        _ => (error.GetBaseException() ?? error).Message,
    };
}
