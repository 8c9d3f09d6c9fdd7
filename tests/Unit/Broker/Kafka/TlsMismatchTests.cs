using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A client that speaks TLS where the broker does not, and the reverse: the message says which, and the setting.</summary>
public sealed class TlsMismatchTests : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

    public TlsMismatchTests() => _listener.Start();

    public void Dispose() => _listener.Dispose();

    [Fact]
    public void ABrokerThatWantsTlsIsToldOfAPlainClient()
    {
        using RSA key = RSA.Create(2048);
        using X509Certificate2 certificate = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        Serve(stream =>
        {
            using SslStream tls = new(stream);
            tls.AuthenticateAsServer(certificate);
        });
        string message = Ask([]);
        Assert.Contains("The broker speaks TLS there, and security.protocol is PLAINTEXT: set it to SSL or SASL_SSL", message, StringComparison.Ordinal);
    }

    [Fact]
    public void ABrokerWithoutTlsIsToldOfAClientThatWantsIt()
    {
        Serve(stream =>
        {
            byte[] request = new byte[14];
            stream.ReadExactly(request);

            // As Kafka does it: the first bytes of TLS are the length of a request that is too large.
            if (request[0] == 0)
            {
                stream.Write([0, 0, 0, 10, .. request[8..12], 0, 0, 0, 0, 0, 0]);
            }
        });
        string message = Ask(new() { ["security.protocol"] = "SSL" });
        Assert.Contains("The broker speaks without TLS there, and security.protocol is SSL: set it to PLAINTEXT or SASL_PLAINTEXT", message, StringComparison.Ordinal);
    }

    [Fact]
    public void OfABrokerThatSaysNothingNothingIsSaid()
    {
        Serve(_ => { });
        Assert.EndsWith("Check the address, and that the broker runs.", Ask([]), StringComparison.Ordinal);
    }

    private string Ask(Dictionary<string, string> settings)
    {
        using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = _listener.LocalEndpoint.ToString()!, Settings = settings }) { Patience = TimeSpan.FromSeconds(3) };
        return Assert.Throws<BrokerException>(() => broker.DescribeTopic("any")).Message;
    }

    private void Serve(Action<NetworkStream> talk) => new Thread(() =>
    {
        while (true)
        {
            try
            {
                using TcpClient client = _listener.AcceptTcpClient();
                talk(client.GetStream());
            }
            catch (Exception error) when (error is SocketException or ObjectDisposedException or InvalidOperationException)
            {
                return;
            }
            catch (Exception)
            {
                // The other side has gone, or speaks another protocol: that is what is tested.
            }
        }
    })
    { IsBackground = true }.Start();
}
