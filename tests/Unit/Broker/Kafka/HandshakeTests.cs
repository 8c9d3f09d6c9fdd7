using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Confluent.Kafka;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A broker that cuts a handshake has not refused anybody; one that says no has.</summary>
public sealed class HandshakeTests : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _over = new();
    private Task _serving = Task.CompletedTask;
    private int _handshakes;

    public void Dispose()
    {
        _over.Cancel();
        _listener.Dispose();
        _serving.GetAwaiter().GetResult();
        _over.Dispose();
    }

    [Theory]
    [InlineData("SASL_PLAINTEXT")]
    [InlineData("SSL")]
    public void AHandshakeThatIsCutIsTriedAgainUntilTheTimeIsUp(string protocol)
    {
        using KafkaBroker broker = Broker(protocol, answer: null, patience: TimeSpan.FromSeconds(3));

        BrokerException error = Assert.Throws<BrokerException>(() => broker.DescribeTopic("in"));

        Assert.True(_handshakes > 1, $"{_handshakes} handshakes");
        Assert.Contains("No broker answers at ", error.Message, StringComparison.Ordinal);
        Assert.Contains("handshake", error.Message, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("then the security settings (KafkaOptions.Settings).", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ABrokerThatSaysNoIsBelievedAtOnce()
    {
        using KafkaBroker broker = Broker("SASL_PLAINTEXT", UnsupportedMechanism, patience: TimeSpan.FromMinutes(5));

        BrokerException error = Assert.Throws<BrokerException>(() => broker.DescribeTopic("in"));

        Assert.Equal(Consequence.Stop, error.Consequence);
        Assert.Contains(" refuses the connection: ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ErrorCode.Local_Authentication, "SASL SCRAM-SHA-512 mechanism handshake failed: Local: Broker transport failure: broker's supported mechanisms: (n/a)", false)]
    [InlineData(ErrorCode.Local_Authentication, "Failed to acquire SASL OAUTHBEARER token: Failed to connect", false)]
    [InlineData(ErrorCode.Local_Authentication, "SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512", true)]
    [InlineData(ErrorCode.Local_Authentication, "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-512", true)]
    [InlineData(ErrorCode.Local_Ssl, "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed", false)]
    [InlineData(ErrorCode.SaslAuthenticationFailed, "no", true)]
    public void OnlyTheWordOfABrokerRefuses(ErrorCode code, string reason, bool refuses) =>
        Assert.Equal(refuses, KafkaErrors.IsRefusal(new Error(code, reason)));

    private KafkaBroker Broker(string protocol, Func<byte[], byte[]>? answer, TimeSpan patience)
    {
        _listener.Start();
        _serving = ServeAsync(answer);
        return new(new KafkaOptions
        {
            BootstrapServers = $"127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}",
            Settings = new Dictionary<string, string>
            {
                ["security.protocol"] = protocol,
                ["sasl.mechanism"] = "SCRAM-SHA-512",
                ["sasl.username"] = "user",
                ["sasl.password"] = "password",
            },
        })
        {
            Patience = patience,
        };
    }

    /// <summary>Answers what a client asks for before its handshake, and closes at the handshake, answered or not.</summary>
    private async Task ServeAsync(Func<byte[], byte[]>? answer)
    {
        try
        {
            while (true)
            {
                using Socket client = await _listener.AcceptSocketAsync(_over.Token);
                await AnswerAsync(client, answer);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task AnswerAsync(Socket client, Func<byte[], byte[]>? answer)
    {
        byte[] request = new byte[4096];
        while (await client.ReceiveAsync(request, _over.Token) > 0)
        {
            if (IsForApiVersions(request))
            {
                await client.SendAsync(ApiVersions(request), _over.Token);
                continue;
            }

            Interlocked.Increment(ref _handshakes);
            if (answer is null)
            {
                return;
            }

            await client.SendAsync(answer(request), _over.Token);
        }
    }

    private static bool IsForApiVersions(byte[] request) => request[0] == 0 && BinaryPrimitives.ReadInt16BigEndian(request.AsSpan(4)) == 18;

    /// <summary>ApiVersionsResponse 0: newer ones are not understood; of the others those that a handshake needs.</summary>
    private static byte[] ApiVersions(byte[] request)
    {
        bool isUnderstood = BinaryPrimitives.ReadInt16BigEndian(request.AsSpan(6)) == 0;
        (short Key, short Most)[] keys = isUnderstood ? [(3, 1), (17, 1), (18, 0), (36, 1)] : [];
        byte[] answer = new byte[4 + 4 + 2 + 4 + (6 * keys.Length)];
        BinaryPrimitives.WriteInt32BigEndian(answer, answer.Length - 4);
        request.AsSpan(8, 4).CopyTo(answer.AsSpan(4));
        BinaryPrimitives.WriteInt16BigEndian(answer.AsSpan(8), (short)(isUnderstood ? 0 : 35));
        BinaryPrimitives.WriteInt32BigEndian(answer.AsSpan(10), keys.Length);
        for (int i = 0; i < keys.Length; i++)
        {
            BinaryPrimitives.WriteInt16BigEndian(answer.AsSpan(14 + (6 * i)), keys[i].Key);
            BinaryPrimitives.WriteInt16BigEndian(answer.AsSpan(18 + (6 * i)), keys[i].Most);
        }

        return answer;
    }

    /// <summary>SaslHandshakeResponse: the request's correlation id, UNSUPPORTED_SASL_MECHANISM, and the mechanism that there is.</summary>
    private static byte[] UnsupportedMechanism(byte[] request)
    {
        byte[] answer = new byte[4 + 4 + 2 + 4 + 2 + 5];
        BinaryPrimitives.WriteInt32BigEndian(answer, answer.Length - 4);
        request.AsSpan(8, 4).CopyTo(answer.AsSpan(4));
        BinaryPrimitives.WriteInt16BigEndian(answer.AsSpan(8), 33);
        BinaryPrimitives.WriteInt32BigEndian(answer.AsSpan(10), 1);
        BinaryPrimitives.WriteInt16BigEndian(answer.AsSpan(14), 5);
        "PLAIN"u8.CopyTo(answer.AsSpan(16));
        return answer;
    }
}
