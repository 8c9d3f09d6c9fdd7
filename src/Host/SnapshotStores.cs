using System.Web;
using KStreamSharp.Snapshots.AzureBlob;
using KStreamSharp.Snapshots.S3;

namespace KStreamSharp.Flows;

/// <summary>The snapshot stores that <c>--snapshots</c> of this host may name by a URI. Keys come from the environment, never from the URI.</summary>
internal static class SnapshotStores
{
    private const string AzureVariable = "AZURE_STORAGE_CONNECTION_STRING";

    /// <summary><c>s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&amp;region=REGION</c>; keys as the AWS SDK finds them (<c>AWS_ACCESS_KEY_ID</c>, …).</summary>
    /// <exception cref="ArgumentException">A part of the URI cannot be used.</exception>
    public static ISnapshotStore S3(Uri uri)
    {
        System.Collections.Specialized.NameValueCollection query = HttpUtility.ParseQueryString(uri.Query);
        string[] known = ["endpoint", "region"];
        if (query.AllKeys.FirstOrDefault(name => !known.Contains(name)) is { } odd)
        {
            throw new ArgumentException($"it has no parameter '{odd}'. There are: {string.Join(", ", known)}.");
        }

        Uri? endpoint = null;
        if (query["endpoint"] is { } text && (!Uri.TryCreate(text, UriKind.Absolute, out endpoint) || endpoint.Scheme is not ("http" or "https")))
        {
            throw new ArgumentException("its endpoint is no http:// or https:// address.");
        }

        return new S3SnapshotStore(new S3SnapshotStoreOptions { Bucket = uri.Host, Prefix = Prefix(uri), Endpoint = endpoint, Region = query["region"] });
    }

    /// <summary><c>azblob://CONTAINER/PREFIX</c>; the account and its key in the variable <c>AZURE_STORAGE_CONNECTION_STRING</c>.</summary>
    /// <exception cref="ArgumentException">The variable is missing, or a part of the URI cannot be used.</exception>
    public static ISnapshotStore AzureBlob(Uri uri) => Environment.GetEnvironmentVariable(AzureVariable) is { Length: > 0 } connection
        ? new AzureBlobSnapshotStore(connection, uri.Host, Prefix(uri))
        : throw new ArgumentException($"the environment variable {AzureVariable} is not set.");

    private static string? Prefix(Uri uri) => uri.AbsolutePath.Trim('/') is { Length: > 0 } prefix ? prefix : null;
}
