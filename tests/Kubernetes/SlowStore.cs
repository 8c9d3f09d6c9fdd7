using System.Net;
using System.Net.Sockets;

namespace KStreamSharp.Tests.Kubernetes;

/// <summary>A bucket of this machine, behind a port that can be made slow: <c>versitygw</c>, named by KSTREAM_VERSITYGW or on the PATH.</summary>
internal sealed class SlowStore : IAsyncDisposable
{
    public const string AccessKey = "access-of-the-test";
    public const string SecretKey = "secret-of-the-test";

    private const int BufferBytes = 1024;

    private readonly StoreServer _server;
    private readonly TcpListener _listener = new(IPAddress.Any, 0);
    private readonly CancellationTokenSource _stop = new();
    private volatile int _bytesPerSecond = int.MaxValue;

    private SlowStore(StoreServer server)
    {
        _server = server;
        _listener.Start();
        _ = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>What a connection hands out in a second.</summary>
    public int BytesPerSecond
    {
        set => _bytesPerSecond = value;
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
        await _stop.CancelAsync();
        _listener.Dispose();
        await _server.DisposeAsync();
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                TcpClient near = await _listener.AcceptTcpClientAsync(_stop.Token);
                TcpClient far = new("127.0.0.1", _server.Port);
                _ = PassAsync(near, far, () => int.MaxValue);
                _ = PassAsync(far, near, () => _bytesPerSecond);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException)
        {
        }
    }

    /// <summary>Ends both when one of them ends.</summary>
    private async Task PassAsync(TcpClient from, TcpClient to, Func<int> bytesPerSecond)
    {
        byte[] buffer = new byte[BufferBytes];
        try
        {
            while (await from.GetStream().ReadAsync(buffer, _stop.Token) is > 0 and int count)
            {
                if (bytesPerSecond() is < int.MaxValue and int limit)
                {
                    await Task.Delay(TimeSpan.FromSeconds((double)count / limit), _stop.Token);
                }

                await to.GetStream().WriteAsync(buffer.AsMemory(0, count), _stop.Token);
            }
        }
        catch (Exception error) when (error is IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
        }
        finally
        {
            from.Dispose();
            to.Dispose();
        }
    }
}
