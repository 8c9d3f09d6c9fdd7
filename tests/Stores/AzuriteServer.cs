using Azure.Storage.Blobs;
using Xunit;

[assembly: AssemblyFixture(typeof(KStreamSharp.Tests.AzuriteServer))]

namespace KStreamSharp.Tests;

/// <summary>The account of a test run: the one that <c>KSTREAM_AZURE_BLOB</c> connects to, else one of an <c>azurite-blob</c> of its own.</summary>
public sealed class AzuriteServer : IAsyncLifetime
{
    private StoreServer? _server;
    private string? _connectionString;

    /// <summary>The container that tests share.</summary>
    public static string Container => "snapshots";

    /// <summary>How to reach the account; skips or fails the test when there is none.</summary>
    public string ConnectionString => Requirement.Of(
        _connectionString,
        "No Azure Blob: KSTREAM_AZURITE names no program, and azurite-blob is not on the PATH. Run 'npm install -g azurite', or set KSTREAM_AZURE_BLOB to a connection string.");

    public async ValueTask InitializeAsync()
    {
        _connectionString = Environment.GetEnvironmentVariable("KSTREAM_AZURE_BLOB") is { Length: > 0 } given ? given : null;
        if (_connectionString is null && StoreServer.Find("KSTREAM_AZURITE", "azurite-blob") is { } program)
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
