using System.Buffers;
using System.Buffers.Binary;

namespace KStreamSharp;

/// <summary>
/// What surrounds a saved state, in RocksDB as in the changelog: version (1), flags (bit 0: a notify time follows; bit 1:
/// the state is null), the largest timestamp that the key has seen (8 bytes, ms), the notify time (8 bytes, UTC ticks) if
/// any, then the state as its serde wrote it. All numbers big-endian.
/// </summary>
internal readonly ref struct Envelope
{
    public const byte Version = 1;

    /// <summary>No notification is asked for.</summary>
    public const long Never = long.MaxValue;

    private const byte HasNotify = 1;
    private const byte IsNull = 2;

    private Envelope(long timestamp, long notifyAt, bool isNull, ReadOnlySpan<byte> payload)
    {
        Timestamp = timestamp;
        NotifyAt = notifyAt;
        StateIsNull = isNull;
        Payload = payload;
    }

    public long Timestamp { get; }

    public long NotifyAt { get; }

    public bool StateIsNull { get; }

    public ReadOnlySpan<byte> Payload { get; }

    /// <exception cref="StreamException">Another version wrote it.</exception>
    public static Envelope Read(ReadOnlySpan<byte> data, string step)
    {
        if (data.IsEmpty || data[0] != Version)
        {
            throw new StreamException(
                ExitCode.State,
                $"A saved state of step '{step}' has format {(data.IsEmpty ? 0 : data[0])}; this version reads format {Version}. Run the version that wrote it, or a newer one.");
        }

        bool hasNotify = data.Length > 1 && (data[1] & HasNotify) != 0;
        if (data.Length < (hasNotify ? 18 : 10))
        {
            throw new StreamException(
                ExitCode.State,
                $"A saved state of step '{step}' has only {data.Length} bytes: it is damaged. Remove the state folder: the changelog has the state.");
        }

        return new(
            BinaryPrimitives.ReadInt64BigEndian(data[2..]),
            hasNotify ? BinaryPrimitives.ReadInt64BigEndian(data[10..]) : Never,
            (data[1] & IsNull) != 0,
            data[(hasNotify ? 18 : 10)..]);
    }

    /// <summary>Writes what precedes the state.</summary>
    public static void WriteHead(IBufferWriter<byte> output, long timestamp, long notifyAt, bool stateIsNull)
    {
        bool hasNotify = notifyAt != Never;
        int length = hasNotify ? 18 : 10;
        Span<byte> head = output.GetSpan(length);
        head[0] = Version;
        head[1] = (byte)((hasNotify ? HasNotify : 0) | (stateIsNull ? IsNull : 0));
        BinaryPrimitives.WriteInt64BigEndian(head[2..], timestamp);
        if (hasNotify)
        {
            BinaryPrimitives.WriteInt64BigEndian(head[10..], notifyAt);
        }

        output.Advance(length);
    }
}
