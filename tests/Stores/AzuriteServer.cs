using Azure.Storage.Blobs;
using Xunit;

[assembly: AssemblyFixture(typeof(KStreamSharp.Tests.AzuriteServer))]

namespace KStreamSharp.Tests;

/// <summary>The account of a test run: the one that <c>KSTREAM_AZURE_BLOB</c> connects to, else one of an <c>azurite-blob</c> of its own.</summary>
public sealed class AzuriteServer : IAsyncLifetime, IServer
{
    private const string Missing =
        "No Azure Blob: KSTREAM_AZURITE names no program, and azurite-blob is not on the PATH. Run 'npm install -g azurite', or set KSTREAM_AZURE_BLOB to a connection string.";

    private StoreServer? _server;
    private string? _connectionString;

    /// <summary>The container that tests share.</summary>
    public static string Container => "snapshots";

    public static bool IsRequired => StoreServer.IsRequired;

    /// <summary>How to reach the account; fails the test when there is none.</summary>
    public string ConnectionString => _connectionString ?? throw new InvalidOperationException(Missing);

    private static string? Given => Environment.GetEnvironmentVariable("KSTREAM_AZURE_BLOB") is { Length: > 0 } given ? given : null;

    private static string? Program => StoreServer.Find("KSTREAM_AZURITE", "azurite-blob");

    public static Task<string?> WhyMissing() => Task.FromResult(Given is null && Program is null ? Missing : null);

    public async ValueTask InitializeAsync()
    {
        _connectionString = Given;
        if (_connectionString is null && Program is { } program)
        {
            // The client may be newer than the server knows; and the server sends figures home unless told.
            _server = await StoreServer.Start(program, (folder, port) =>
                ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", folder, "--blobHost", "127.0.0.1", "--blobPort", $"{port}"]);
            _connectionString = At(_server.Port);
        }

        if (_connectionString is not null)
        {
            await new BlobContainerClient(_connectionString, Container).CreateIfNotExistsAsync();
        }
    }

    /// <summary>The account that every azurite has, and whose key everybody knows.</summary>
    public static string At(int port, string key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==") =>
        $"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={key};BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;";

    public ValueTask DisposeAsync() => _server?.DisposeAsync() ?? ValueTask.CompletedTask;
}
