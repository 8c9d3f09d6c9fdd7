namespace KStreamSharp.Snapshots.S3;

/// <summary>Where an <see cref="S3SnapshotStore"/> keeps its objects, and as whom.</summary>
public sealed record S3SnapshotStoreOptions
{
    /// <summary>The bucket, which exists.</summary>
    public required string Bucket { get; init; }

    /// <summary>What the keys of all objects begin with, as a folder: letters, digits, <c>.</c>, <c>_</c>, <c>-</c> and <c>/</c>. Null: nothing.</summary>
    public string? Prefix { get; init; }

    /// <summary>The server, as <c>https://host:port</c>. Null: AWS, in the region.</summary>
    public Uri? Endpoint { get; init; }

    /// <summary>
    /// The region. Null: with an endpoint <c>us-east-1</c>, which most servers other than AWS expect; else the one that the SDK
    /// finds in the environment, in the profile or on the machine.
    /// </summary>
    public string? Region { get; init; }

    /// <summary>Whether the bucket is in the path of an address, rather than in its host name. Null: if an endpoint is given.</summary>
    public bool? PathStyle { get; init; }

    /// <summary>The access key. Null, as is <see cref="SecretKey"/>: what the SDK finds in the environment, in the profile or on the machine.</summary>
    public string? AccessKey { get; init; }

    /// <summary>The secret key of <see cref="AccessKey"/>.</summary>
    public string? SecretKey { get; init; }

    /// <summary>The options without the keys.</summary>
    public override string ToString() => $"{nameof(S3SnapshotStoreOptions)} {{ Bucket = {Bucket}, Prefix = {Prefix}, Endpoint = {Endpoint}, Region = {Region}, PathStyle = {PathStyle} }}";
}
