using System.Buffers;

namespace KStreamSharp;

/// <summary>
/// Lists of values inside a saved state: the number of values, then of each its length plus one (0: the value is null) and
/// its bytes. Numbers as 4 bytes, big-endian.
/// </summary>
internal static class ListFormat
{
    public static void Write<T>(IBufferWriter<byte> output, List<T> values, Serde<T> serde, in SerdeContext context)
    {
        WriteInt(output, values.Count);
        ByteBuffer scratch = new();
        foreach (T value in values)
        {
            if (value is null)
            {
                WriteInt(output, 0);
                continue;
            }

            scratch.Clear();
            serde.Serialize(value, scratch, context);
            WriteInt(output, scratch.Length + 1);
            output.Write(scratch.Written);
        }
    }

    public static List<T> Read<T>(ref ReadOnlySpan<byte> data, Serde<T> serde, in SerdeContext context)
    {
        int count = ReadInt(ref data);
        if (count < 0 || count > data.Length / 4)
        {
            throw NoList();
        }

        List<T> values = new(count);
        for (; count > 0; count--)
        {
            int length = ReadInt(ref data);
            if (length == 0)
            {
                values.Add(default!);
                continue;
            }

            if (length < 0 || length - 1 > data.Length)
            {
                throw NoList();
            }

            values.Add(serde.Deserialize(data[..(length - 1)], context));
            data = data[(length - 1)..];
        }

        return values;
    }

    /// <summary>A list as JSON.</summary>
    public static string Show<T>(ref ReadOnlySpan<byte> data, Serde<T> serde, in SerdeContext context) =>
        $"[{string.Join(',', Read(ref data, serde, context).Select(value => value is null ? "null" : serde.ToJson(value)))}]";

    private static void WriteInt(IBufferWriter<byte> output, int value)
    {
        System.Buffers.Binary.BinaryPrimitives.WriteInt32BigEndian(output.GetSpan(4), value);
        output.Advance(4);
    }

    private static FormatException NoList() => new("it is not a list of values: a step of another kind wrote it.");

    private static int ReadInt(ref ReadOnlySpan<byte> data)
    {
        if (data.Length < 4)
        {
            throw NoList();
        }

        int value = System.Buffers.Binary.BinaryPrimitives.ReadInt32BigEndian(data);
        data = data[4..];
        return value;
    }
}
