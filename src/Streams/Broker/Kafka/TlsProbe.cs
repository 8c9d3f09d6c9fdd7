using System.Buffers.Binary;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text.RegularExpressions;

namespace KStreamSharp;

/// <summary>
/// Whether a broker that does not answer speaks TLS where the client does not, or the reverse: of that the client says nothing,
/// or something else. Asked when the client has given up; no user and no password is sent.
/// </summary>
internal static partial class TlsProbe
{
    private const int ApiVersions = 18;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>What is wrong and what to change, for an error, with a space before; empty when nothing is known.</summary>
    /// <param name="bootstrapServers">The addresses; the first is asked.</param>
    /// <param name="protocol">The client's <c>security.protocol</c>; null for its default.</param>
    public static string Mismatch(string bootstrapServers, string? protocol)
    {
        bool isTls = protocol?.EndsWith("ssl", StringComparison.OrdinalIgnoreCase) == true;
        if (Address().Match(bootstrapServers.Split(',')[0].Trim()) is not { Success: true } address)
        {
            return "";
        }

        try
        {
            using CancellationTokenSource over = new(Patience);
            using TcpClient client = new();
            client.ConnectAsync(address.Groups["host"].Value, int.Parse(address.Groups["port"].Value, null), over.Token).AsTask().GetAwaiter().GetResult();
            client.ReceiveTimeout = client.SendTimeout = (int)Patience.TotalMilliseconds;
            return isTls && AnswersPlainly(client.GetStream())
                ? $" The broker speaks without TLS there, and security.protocol is {protocol}: set it to PLAINTEXT or SASL_PLAINTEXT (KafkaOptions.Settings), or name the broker's TLS listener."
                : !isTls && SpeaksTls(client.GetStream(), address.Groups["host"].Value, over.Token)
                    ? $" The broker speaks TLS there, and security.protocol is {protocol ?? "PLAINTEXT"}: set it to SSL or SASL_SSL (KafkaOptions.Settings), or name the broker's listener without TLS."
                    : "";
        }
        catch (Exception error) when (error is IOException or SocketException or AuthenticationException or OperationCanceledException or OverflowException)
        {
            return "";
        }
    }

    private static bool SpeaksTls(NetworkStream stream, string host, CancellationToken over)
    {
        // Whose certificate it is does not matter: nothing is said over it.
        using SslStream tls = new(stream, leaveInnerStreamOpen: true, (_, _, _, _) => true);
        tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = host }, over).GetAwaiter().GetResult();
        return true;
    }

    /// <summary>Asks for the versions that the broker knows, which it answers to anybody.</summary>
    private static bool AnswersPlainly(NetworkStream stream)
    {
        const int Id = 0x4B535348;
        Span<byte> request = stackalloc byte[14];
        BinaryPrimitives.WriteInt32BigEndian(request, request.Length - 4);
        BinaryPrimitives.WriteInt16BigEndian(request[4..], ApiVersions);
        BinaryPrimitives.WriteInt32BigEndian(request[8..], Id);
        BinaryPrimitives.WriteInt16BigEndian(request[12..], -1);
        stream.Write(request);
        Span<byte> answer = stackalloc byte[8];
        stream.ReadExactly(answer);
        return BinaryPrimitives.ReadInt32BigEndian(answer[4..]) == Id;
    }

    [GeneratedRegex(@"^(?:[A-Za-z_]+://)?\[?(?<host>[^\[\]/]+?)\]?:(?<port>\d+)$")]
    private static partial Regex Address();
}
