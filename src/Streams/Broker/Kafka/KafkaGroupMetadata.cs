using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;
using Confluent.Kafka;

namespace KStreamSharp;

/// <summary>
/// The client's form of a <see cref="GroupToken"/>. The client keeps member and generation to itself, in the bytes that
/// librdkafka writes; a commit has to look at them, since the broker lets an empty member of generation −1 pass unchecked.
/// </summary>
/// <remarks>
/// Bytes: magic, generation (4, the machine's order), group, member, each ended by 0, then 1 or (0 and the instance id ended
/// by 0). The instance id is left out on the way back: a member that is fenced has lost its member id too.
/// </remarks>
internal static class KafkaGroupMetadata
{
    private const string TypeName = "Confluent.Kafka.ConsumerGroupMetadata, Confluent.Kafka";

    private static ReadOnlySpan<byte> Magic => "CGMDv2:"u8;

    public static GroupToken Read(IConsumerGroupMetadata metadata)
    {
        ReadOnlySpan<byte> bytes = Bytes(metadata);
        if (!bytes.StartsWith(Magic))
        {
            throw new StreamException(ExitCode.Internal, "The Kafka client in use writes group metadata in an unknown form. Use the version of Confluent.Kafka that this package names.");
        }

        int generation = BitConverter.ToInt32(bytes[Magic.Length..]);
        bytes = bytes[(Magic.Length + sizeof(int))..];
        bytes = bytes[(bytes.IndexOf((byte)0) + 1)..];
        return new(Encoding.UTF8.GetString(bytes[..bytes.IndexOf((byte)0)]), generation);
    }

    public static IConsumerGroupMetadata Write(string group, GroupToken token)
    {
        byte[] generation = new byte[sizeof(int)];
        if (BitConverter.IsLittleEndian)
        {
            BinaryPrimitives.WriteInt32LittleEndian(generation, token.Generation);
        }
        else
        {
            BinaryPrimitives.WriteInt32BigEndian(generation, token.Generation);
        }

        object metadata = New();
        Bytes(metadata) = [.. Magic, .. generation, .. Encoding.UTF8.GetBytes(group), 0, .. Encoding.UTF8.GetBytes(token.MemberId ?? ""), 0, 1];
        return (IConsumerGroupMetadata)metadata;
    }

    [UnsafeAccessor(UnsafeAccessorKind.Constructor)]
    [return: UnsafeAccessorType(TypeName)]
    private static extern object New();

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "serializedMetadata")]
    private static extern ref byte[] Bytes([UnsafeAccessorType(TypeName)] object metadata);
}
