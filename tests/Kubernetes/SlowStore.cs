using System.Net;

namespace KStreamSharp.Tests.Kubernetes;

/// <summary>A bucket of this machine, behind a port that can be made slow: <c>versitygw</c>, named by KSTREAM_VERSITYGW or on the PATH.</summary>
internal sealed class SlowStore : IAsyncDisposable
{
    public const string AccessKey = "access-of-the-test";
    public const string SecretKey = "secret-of-the-test";

    private readonly StoreServer _server;
    private readonly TcpProxy _proxy;

    private SlowStore(StoreServer server)
    {
        _server = server;
        _proxy = new TcpProxy("127.0.0.1", server.Port, at: new IPEndPoint(IPAddress.Any, 0));
    }

    public int Port => _proxy.Port;

    /// <summary>What a connection hands out in a second.</summary>
    public int BytesPerSecond
    {
        set => _proxy.BytesPerSecond = value;
    }

    /// <summary>Null where there is no such program.</summary>
    public static async Task<SlowStore?> StartAsync(string bucket)
    {
        if (StoreServer.Find("KSTREAM_VERSITYGW", "versitygw") is not { } program)
        {
            return null;
        }

        return new(await StoreServer.Start(program, (folder, port) =>
        {
            Directory.CreateDirectory(Path.Combine(folder, bucket));
            return ["--quiet", "--access", AccessKey, "--secret", SecretKey, "--port", $"127.0.0.1:{port}", "posix", folder];
        }));
    }

    public async ValueTask DisposeAsync()
    {
        _proxy.Dispose();
        await _server.DisposeAsync();
    }
}
