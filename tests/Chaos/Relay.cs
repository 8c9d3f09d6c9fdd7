using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace KStreamSharp.Tests.Chaos;

/// <summary>The moments of a transaction's end at which a relay can cut the connection.</summary>
internal enum Cut
{
    None,

    /// <summary>The request to end a transaction never reaches the broker.</summary>
    BeforeEnd,

    /// <summary>The broker has ended the transaction; its answer never arrives.</summary>
    AfterEnd,

    /// <summary>The broker has taken the positions into the transaction; its answer never arrives.</summary>
    AfterPositions,
}

/// <summary>
/// Stands between one instance and the brokers. A broker tells its clients where it is to be reached; the relay puts the
/// proxies' addresses in the place of the brokers', so that an instance cannot go round them. It sees requests and answers,
/// so it can also cut a connection in the midst of a transaction's end.
/// </summary>
internal sealed class Relay : IDisposable
{
    private const short MetadataApi = 3;
    private const short FindCoordinatorApi = 10;
    private const short EndTransactionApi = 26;
    private const short PositionsApi = 28;

    private readonly List<TcpListener> _listeners = [];
    private readonly CancellationTokenSource _stopping = new();
    private readonly Dictionary<(string Host, int Port), int> _advertised = [];
    private int _connections;
    private int _armed;
    private int _cuts;

    /// <summary>Connections that were opened so far.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>Connections that were cut at the armed moment so far.</summary>
    public int Cuts => Volatile.Read(ref _cuts);

    /// <summary>Begins to listen for the connections to one broker; answers the port.</summary>
    public int Listen(string host, int port)
    {
        TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        _listeners.Add(listener);
        _ = AcceptAsync(listener, host, port);
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Tells clients to find a broker at a port of this machine.</summary>
    public void Advertise(string host, int port, int proxyPort) => _advertised[(host, port)] = proxyPort;

    /// <summary>Cuts the next connection that comes to this moment.</summary>
    public void Arm(Cut cut) => Volatile.Write(ref _armed, (int)cut);

    public void Dispose()
    {
        _stopping.Cancel();
        _listeners.ForEach(listener => listener.Dispose());
    }

    private async Task AcceptAsync(TcpListener listener, string host, int port)
    {
        try
        {
            while (true)
            {
                TcpClient client = await listener.AcceptTcpClientAsync(_stopping.Token);
                Interlocked.Increment(ref _connections);
                _ = ServeAsync(client, host, port);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The end of the run.
        }
    }

    private async Task ServeAsync(TcpClient client, string host, int port)
    {
        using TcpClient near = client;
        using TcpClient far = new();
        try
        {
            near.NoDelay = far.NoDelay = true;
            await far.ConnectAsync(host, port, _stopping.Token);
            ConcurrentDictionary<int, (short Api, short Version)> asked = [];
            await Task.WhenAny(
                PumpAsync(near.GetStream(), far.GetStream(), frame => Request(frame, asked)),
                PumpAsync(far.GetStream(), near.GetStream(), frame => Answer(frame, asked)));
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or IOException or ObjectDisposedException)
        {
            // The broker is away, or one side has closed: so does the other.
        }
    }

    /// <summary>Passes on frame by frame; null from <paramref name="pass"/> cuts the connection.</summary>
    private async Task PumpAsync(NetworkStream from, NetworkStream to, Func<byte[], byte[]?> pass)
    {
        try
        {
            byte[] size = new byte[4];
            while (true)
            {
                await from.ReadExactlyAsync(size, _stopping.Token);
                byte[] frame = new byte[BinaryPrimitives.ReadInt32BigEndian(size)];
                await from.ReadExactlyAsync(frame, _stopping.Token);
                if (pass(frame) is not { } passed)
                {
                    return;
                }

                BinaryPrimitives.WriteInt32BigEndian(size, passed.Length);
                await to.WriteAsync(size, _stopping.Token);
                await to.WriteAsync(passed, _stopping.Token);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or IOException or ObjectDisposedException)
        {
            // One side has closed.
        }
    }

    private byte[]? Request(byte[] frame, ConcurrentDictionary<int, (short Api, short Version)> asked)
    {
        short api = BinaryPrimitives.ReadInt16BigEndian(frame);
        asked[BinaryPrimitives.ReadInt32BigEndian(frame.AsSpan(4))] = (api, BinaryPrimitives.ReadInt16BigEndian(frame.AsSpan(2)));
        return api == EndTransactionApi && IsCut(Cut.BeforeEnd) ? null : frame;
    }

    private byte[]? Answer(byte[] frame, ConcurrentDictionary<int, (short Api, short Version)> asked)
    {
        if (!asked.TryRemove(BinaryPrimitives.ReadInt32BigEndian(frame), out (short Api, short Version) request))
        {
            return frame;
        }

        return request.Api switch
        {
            EndTransactionApi when IsCut(Cut.AfterEnd) => null,
            PositionsApi when IsCut(Cut.AfterPositions) => null,
            MetadataApi => Metadata(frame, request.Version),
            FindCoordinatorApi => Coordinator(frame, request.Version),
            _ => frame,
        };
    }

    private bool IsCut(Cut moment)
    {
        if (Interlocked.CompareExchange(ref _armed, (int)Cut.None, (int)moment) != (int)moment)
        {
            return false;
        }

        Interlocked.Increment(ref _cuts);
        return true;
    }

    private byte[] Metadata(byte[] frame, short version)
    {
        Rewriter rewriter = new(frame, isFlexible: version >= 9);
        rewriter.Header();
        rewriter.Copy(version >= 3 ? 4 : 0);
        for (int left = rewriter.Count(); left > 0; left--)
        {
            rewriter.Copy(4);
            rewriter.Broker(_advertised);
            if (version >= 1)
            {
                rewriter.Text();
            }

            rewriter.Tags();
        }

        return rewriter.End();
    }

    private byte[] Coordinator(byte[] frame, short version)
    {
        Rewriter rewriter = new(frame, isFlexible: version >= 3);
        rewriter.Header();
        rewriter.Copy(version >= 1 ? 4 : 0);
        if (version < 4)
        {
            rewriter.Copy(2);
            if (version >= 1)
            {
                rewriter.Text();
            }

            rewriter.Copy(4);
            rewriter.Broker(_advertised);
            return rewriter.End();
        }

        for (int left = rewriter.Count(); left > 0; left--)
        {
            rewriter.Text();
            rewriter.Copy(4);
            rewriter.Broker(_advertised);
            rewriter.Copy(2);
            rewriter.Text();
            rewriter.Tags();
        }

        return rewriter.End();
    }

    /// <summary>Copies an answer and changes the addresses in it, in the old encoding or in the one with variable lengths.</summary>
    private sealed class Rewriter(byte[] from, bool isFlexible)
    {
        private readonly MemoryStream _to = new(from.Length + 64);
        private int _at;

        public void Header()
        {
            Copy(4);
            Tags();
        }

        public void Copy(int bytes)
        {
            _to.Write(from, _at, bytes);
            _at += bytes;
        }

        public int Count()
        {
            int begin = _at;
            int count = isFlexible ? (int)Variable() - 1 : BinaryPrimitives.ReadInt32BigEndian(from.AsSpan(Skip(4)));
            _to.Write(from, begin, _at - begin);
            return count;
        }

        /// <summary>A text that may be null.</summary>
        public void Text()
        {
            int begin = _at;
            ReadText();
            _to.Write(from, begin, _at - begin);
        }

        /// <summary>Host and port.</summary>
        public void Broker(Dictionary<(string Host, int Port), int> advertised)
        {
            int begin = _at;
            string host = ReadText() ?? "";
            int port = BinaryPrimitives.ReadInt32BigEndian(from.AsSpan(Skip(4)));
            if (!advertised.TryGetValue((host, port), out int proxy))
            {
                _to.Write(from, begin, _at - begin);
                return;
            }

            byte[] here = Encoding.UTF8.GetBytes("127.0.0.1");
            if (isFlexible)
            {
                _to.WriteByte((byte)(here.Length + 1));
            }
            else
            {
                _to.Write([0, (byte)here.Length]);
            }

            _to.Write(here);
            byte[] number = new byte[4];
            BinaryPrimitives.WriteInt32BigEndian(number, proxy);
            _to.Write(number);
        }

        public void Tags()
        {
            if (!isFlexible)
            {
                return;
            }

            int begin = _at;
            for (uint left = Variable(); left > 0; left--)
            {
                Variable();
                uint size = Variable();
                Skip((int)size);
            }

            _to.Write(from, begin, _at - begin);
        }

        /// <summary>The answer with all that was not looked at.</summary>
        public byte[] End()
        {
            Copy(from.Length - _at);
            return _to.ToArray();
        }

        private string? ReadText()
        {
            int length = isFlexible ? (int)Variable() - 1 : BinaryPrimitives.ReadInt16BigEndian(from.AsSpan(Skip(2)));
            return length < 0 ? null : Encoding.UTF8.GetString(from, Skip(length), length);
        }

        private int Skip(int bytes)
        {
            _at += bytes;
            return _at - bytes;
        }

        private uint Variable()
        {
            uint value = 0;
            for (int shift = 0; ; shift += 7)
            {
                byte part = from[_at++];
                value |= (uint)(part & 0x7f) << shift;
                if (part < 0x80)
                {
                    return value;
                }
            }
        }
    }
}
