using System.Buffers.Binary;
using System.Text;

namespace KStreamSharp;

/// <summary>
/// The key of a timer hint: length of the step id (2 bytes), step id, time in UTC ticks (8 bytes, sign flipped, so that
/// bytes sort as times), key. A hint says "look at this key then"; the envelope of the key says whether it is so.
/// </summary>
internal static class TimerKey
{
    public static ReadOnlySpan<byte> Write(ref byte[] buffer, string step, long time, ReadOnlySpan<byte> key)
    {
        int stepLength = Encoding.UTF8.GetByteCount(step);
        int length = 2 + stepLength + 8 + key.Length;
        if (buffer.Length < length)
        {
            buffer = new byte[Math.Max(length, buffer.Length * 2)];
        }

        BinaryPrimitives.WriteUInt16BigEndian(buffer, (ushort)stepLength);
        Encoding.UTF8.GetBytes(step, buffer.AsSpan(2));
        BinaryPrimitives.WriteUInt64BigEndian(buffer.AsSpan(2 + stepLength), (ulong)time ^ (1UL << 63));
        key.CopyTo(buffer.AsSpan(2 + stepLength + 8));
        return buffer.AsSpan(0, length);
    }

    public static bool IsOf(ReadOnlySpan<byte> hint, ReadOnlySpan<byte> stepPrefix) => hint.StartsWith(stepPrefix);

    public static byte[] Prefix(string step)
    {
        byte[] buffer = new byte[2 + Encoding.UTF8.GetByteCount(step)];
        BinaryPrimitives.WriteUInt16BigEndian(buffer, (ushort)(buffer.Length - 2));
        Encoding.UTF8.GetBytes(step, buffer.AsSpan(2));
        return buffer;
    }

    public static long Time(ReadOnlySpan<byte> hint, int prefixLength) =>
        (long)(BinaryPrimitives.ReadUInt64BigEndian(hint[prefixLength..]) ^ (1UL << 63));

    public static ReadOnlySpan<byte> Key(ReadOnlySpan<byte> hint, int prefixLength) => hint[(prefixLength + 8)..];
}
