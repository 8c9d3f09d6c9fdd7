using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace KStreamSharp.Tests;

/// <summary>Stands before a server: as it is, slow, or until the connection is cut, or nothing more comes through.</summary>
internal sealed class TcpProxy : IDisposable
{
    private readonly TcpListener _listener;
    private readonly CancellationTokenSource _cut = new();
    private readonly ConcurrentBag<TcpClient> _clients = [];
    private readonly string _host;
    private readonly int _port;
    private volatile bool _frozen;
    private volatile int _bytesPerSecond = int.MaxValue;

    /// <param name="host">Where the server is.</param>
    /// <param name="port">Its port.</param>
    /// <param name="frozen">Whether nothing comes through from the start.</param>
    /// <param name="at">Where to listen; null for any port of the loopback address.</param>
    public TcpProxy(string host, int port, bool frozen = false, IPEndPoint? at = null)
    {
        _listener = new TcpListener(at ?? new IPEndPoint(IPAddress.Loopback, 0));
        _host = host;
        _port = port;
        _frozen = frozen;
        _listener.Start();
        _ = Accept();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>What a connection hands out in a second of what the server says; any number at first.</summary>
    public int BytesPerSecond
    {
        set => _bytesPerSecond = value;
    }

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
                _ = Pass(near, far, () => int.MaxValue);
                _ = Pass(far, near, () => _bytesPerSecond);
            }
            catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    private async Task Pass(TcpClient from, TcpClient to, Func<int> bytesPerSecond)
    {
        byte[] buffer = new byte[4096];
        try
        {
            for (int count = 1; count > 0;)
            {
                count = await from.GetStream().ReadAsync(buffer, _cut.Token);
                if (_frozen)
                {
                    await Task.Delay(Timeout.Infinite, _cut.Token);
                }

                if (bytesPerSecond() is < int.MaxValue and int limit)
                {
                    await Task.Delay(TimeSpan.FromSeconds((double)count / limit), _cut.Token);
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
