using System.Net;
using System.Net.Sockets;

namespace KStreamSharp.Tests.Kubernetes;

/// <summary>Brings connections to another port of this machine, fast or slow.</summary>
internal sealed class Relay : IDisposable
{
    private const int BufferBytes = 1024;

    private readonly TcpListener _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly int _target;
    private volatile int _bytesPerSecond = int.MaxValue;

    public Relay(IPEndPoint at, int target)
    {
        _target = target;
        _listener = new TcpListener(at);
        _listener.Start();
        _ = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>What a connection hands out in a second.</summary>
    public int BytesPerSecond
    {
        set => _bytesPerSecond = value;
    }

    public void Dispose()
    {
        _stop.Cancel();
        _listener.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                TcpClient near = await _listener.AcceptTcpClientAsync(_stop.Token);
                TcpClient far = new("127.0.0.1", _target);
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
