using System.Net;
using System.Net.Sockets;

namespace KStreamSharp.Tests;

/// <summary>Stands before a broker, and closes connections in their handshakes when it is told to: after the client's first bytes.</summary>
internal sealed class CuttingRelay : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _over = new();
    private readonly Task _accepting;
    private int _toCut;
    private int _wereCut;

    public CuttingRelay()
    {
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Where the broker is; connections that come before it is known are closed.</summary>
    public int? To { get; set; }

    public int WereCut => Volatile.Read(ref _wereCut);

    /// <summary>The next connections are cut.</summary>
    public void Cut(int connections) => Interlocked.Add(ref _toCut, connections);

    public void Dispose()
    {
        _over.Cancel();
        _listener.Dispose();
        _accepting.GetAwaiter().GetResult();
        _over.Dispose();
    }

    private async Task AcceptAsync()
    {
        List<Task> relays = [];
        try
        {
            while (true)
            {
                relays.Add(RelayAsync(await _listener.AcceptTcpClientAsync(_over.Token)));
            }
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }

        await Task.WhenAll(relays);
    }

    private async Task RelayAsync(TcpClient client)
    {
        using TcpClient here = client;
        using TcpClient there = new();
        try
        {
            byte[] first = new byte[16 << 10];
            int read = await here.GetStream().ReadAsync(first, _over.Token);
            if (Interlocked.Decrement(ref _toCut) >= 0)
            {
                Interlocked.Increment(ref _wereCut);
                return;
            }

            Interlocked.Increment(ref _toCut);
            if (To is not { } port || read == 0)
            {
                return;
            }

            await there.ConnectAsync(IPAddress.Loopback, port, _over.Token);
            await there.GetStream().WriteAsync(first.AsMemory(0, read), _over.Token);
            await Task.WhenAny(here.GetStream().CopyToAsync(there.GetStream(), _over.Token), there.GetStream().CopyToAsync(here.GetStream(), _over.Token));
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or IOException)
        {
        }
    }
}
