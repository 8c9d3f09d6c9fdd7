using System.Collections.Specialized;
using System.Web;
using Azure.Identity;
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
        NameValueCollection query = Parameters(uri, "endpoint", "region");
        Uri? endpoint = null;
        if (query["endpoint"] is { } text && (!Uri.TryCreate(text, UriKind.Absolute, out endpoint) || endpoint.Scheme is not ("http" or "https")))
        {
            throw new ArgumentException("its endpoint is no http:// or https:// address.");
        }

        return new S3SnapshotStore(new S3SnapshotStoreOptions { Bucket = uri.Host, Prefix = Prefix(uri), Endpoint = endpoint, Region = query["region"] });
    }

    /// <summary>
    /// <c>azblob://CONTAINER/PREFIX</c>; the account and its key in the variable <c>AZURE_STORAGE_CONNECTION_STRING</c>. With
    /// <c>?account=NAME</c> (or the account's whole address) no key: as whom the environment says, for example the workload identity
    /// of a pod.
    /// </summary>
    /// <exception cref="ArgumentException">Neither the account nor the variable is there, or a part of the URI cannot be used.</exception>
    public static ISnapshotStore AzureBlob(Uri uri)
    {
        NameValueCollection query = Parameters(uri, "account");
        if (query["account"] is { Length: > 0 } account)
        {
            return new AzureBlobSnapshotStore(ServiceOf(account), new DefaultAzureCredential(), uri.Host, Prefix(uri));
        }

        return Environment.GetEnvironmentVariable(AzureVariable) is { Length: > 0 } connection
            ? new AzureBlobSnapshotStore(connection, uri.Host, Prefix(uri))
            : throw new ArgumentException($"the environment variable {AzureVariable} is not set. Set it, or name the account (?account=NAME) and let the process have an identity that may use it.");
    }

    private static NameValueCollection Parameters(Uri uri, params string[] known)
    {
        NameValueCollection query = HttpUtility.ParseQueryString(uri.Query);
        return query.AllKeys.FirstOrDefault(name => !known.Contains(name)) is { } odd
            ? throw new ArgumentException($"it has no parameter '{odd}'. There {(known.Length == 1 ? "is" : "are")}: {string.Join(", ", known)}.")
            : query;
    }

    private static Uri ServiceOf(string account)
    {
        Uri? service = null;
        return account.Contains("://", StringComparison.Ordinal) && (!Uri.TryCreate(account, UriKind.Absolute, out service) || service.Scheme != "https")
            ? throw new ArgumentException("its account is no https:// address.")
            : service ?? new Uri($"https://{account}.blob.core.windows.net");
    }

    private static string? Prefix(Uri uri) => uri.AbsolutePath.Trim('/') is { Length: > 0 } prefix ? prefix : null;
}
