using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A broker with SASL over TLS that restarts under load, and handshakes that are cut: nobody ends, nothing is lost.</summary>
[Needs<DockerEngine>]
public sealed class SaslSslTests : IDisposable
{
    private const string KeyStore = "/tmp/broker.pem";
    private const string Password = "pass-of-user";

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-sasl-ssl-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task InstancesGoOnWhenTheBrokerRestartsAndHandshakesAreCut()
    {
        using CuttingRelay relay = new();
        (string certificate, string key) = MakeCertificate();
        string ca = Path.Combine(_folder, "ca.pem");
        await File.WriteAllTextAsync(ca, certificate, TestContext.Current.CancellationToken);
        Dictionary<string, string> settings = new()
        {
            ["security.protocol"] = "SASL_SSL",
            ["sasl.mechanism"] = "PLAIN",
            ["sasl.username"] = "user",
            ["sasl.password"] = Password,
            ["ssl.ca.location"] = ca,
        };
        await using OwnBroker broker = await OwnBroker.Start(
            "SASL_SSL",
            relay.Port,
            [(KeyStore, Encoding.ASCII.GetBytes(key + "\n" + certificate))],
            ("KAFKA_SASL_ENABLED_MECHANISMS", "PLAIN"),
            ("KAFKA_LISTENER_NAME_CLIENTS_SSL_KEYSTORE_TYPE", "PEM"),
            ("KAFKA_LISTENER_NAME_CLIENTS_SSL_KEYSTORE_LOCATION", KeyStore),
            ("KAFKA_LISTENER_NAME_CLIENTS_PLAIN_SASL_JAAS_CONFIG", $"org.apache.kafka.common.security.plain.PlainLoginModule required user_user=\"{Password}\";"));
        string address = $"127.0.0.1:{relay.Port}";
        relay.To = int.Parse(broker.Address.Split(':')[1], System.Globalization.CultureInfo.InvariantCulture);
        broker.AwaitAnswer(settings);

        // The first words of a start are cut, too.
        relay.Cut(2);
        using CountTopics topics = new(address, partitions: 2, settings);
        InstanceProcess[] processes =
        [
            .. ((string[])["a", "b"]).Select(name => new InstanceProcess(
                topics, address, name, Path.Combine(_folder, name), [.. settings.SelectMany(setting => (string[])["--set", $"{setting.Key}={setting.Value}"])])),
        ];
        try
        {
            topics.Until(Limit, () => Array.TrueForAll(processes, process => process.Shards is { Length: 3 }), () => "the two do not share the shards", processes);
            topics.Load(10_000);
            topics.Until(Limit, () => topics.Counted > 0, () => "nothing is counted", processes);
            await broker.Kill();
            topics.ReadOn();
            Assert.True(topics.Counted < topics.Loaded, "the load was over before the outage");
            await broker.StartAgain();
            relay.Cut(5);
            broker.AwaitAnswer(settings);
            topics.AwaitAll(Limit, processes);
            topics.Load(300);
            topics.AwaitAll(Limit, processes);

            Assert.Equal(7, relay.WereCut);
            Assert.All(processes, process => Assert.False(process.HasExited, process.ToString()));
            Array.ForEach(processes, process => process.Terminate());
            Assert.All(processes, process => Assert.True(process.AwaitExit(Limit) == 0, process.ToString()));
            topics.AssertExact();
        }
        finally
        {
            Array.ForEach(processes, process => process.Dispose());
        }
    }

    /// <summary>A certificate that is its own authority, for the addresses of the tests, and its key.</summary>
    private static (string Certificate, string Key) MakeCertificate()
    {
        using RSA key = RSA.Create(2048);
        CertificateRequest request = new("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        SubjectAlternativeNameBuilder names = new();
        names.AddDnsName("localhost");
        names.AddIpAddress(System.Net.IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        using X509Certificate2 certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(2));
        return (certificate.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem());
    }
}
