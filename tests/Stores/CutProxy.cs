using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace KStreamSharp.Tests;

/// <summary>Stands before a server, until the connection is cut, or nothing more comes through.</summary>
internal sealed class CutProxy : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _cut = new();
    private readonly ConcurrentBag<TcpClient> _clients = [];
    private readonly string _host;
    private readonly int _port;
    private volatile bool _frozen;

    public CutProxy(string host, int port, bool frozen = false)
    {
        _host = host;
        _port = port;
        _frozen = frozen;
        _listener.Start();
        _ = Accept();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Ends all connections and takes no new ones.</summary>
    public void Cut()
    {
        _cut.Cancel();
        _listener.Dispose();
        foreach (TcpClient client in _clients)
        {
            client.Dispose();
        }
    }

    /// <summary>From now on nothing comes through, and nobody is told.</summary>
    public void Freeze() => _frozen = true;

    public void Dispose() => Cut();

    private async Task Accept()
    {
        while (!_cut.IsCancellationRequested)
        {
            try
            {
                TcpClient near = await _listener.AcceptTcpClientAsync(_cut.Token);
                TcpClient far = new(_host, _port);
                _clients.Add(near);
                _clients.Add(far);
                _ = Pass(near, far);
                _ = Pass(far, near);
            }
            catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    private async Task Pass(TcpClient from, TcpClient to)
    {
        byte[] buffer = new byte[16_384];
        try
        {
            for (int count = 1; count > 0;)
            {
                count = await from.GetStream().ReadAsync(buffer, _cut.Token);
                if (_frozen)
                {
                    await Task.Delay(Timeout.Infinite, _cut.Token);
                }

                await to.GetStream().WriteAsync(buffer.AsMemory(0, count), _cut.Token);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or IOException or ObjectDisposedException or InvalidOperationException)
        {
        }

        from.Dispose();
        to.Dispose();
    }
}
