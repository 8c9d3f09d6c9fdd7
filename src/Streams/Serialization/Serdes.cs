using System.Buffers;
using System.Text;

namespace KStreamSharp;

internal sealed class Utf8Serde : Serde<string>
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public override void Serialize(string value, IBufferWriter<byte> output, in SerdeContext context)
    {
        Span<byte> buffer = output.GetSpan(Strict.GetMaxByteCount(value.Length));
        output.Advance(Strict.GetBytes(value, buffer));
    }

    public override string Deserialize(ReadOnlySpan<byte> data, in SerdeContext context) => Strict.GetString(data);
}

internal sealed class BytesSerde : Serde<byte[]>
{
    public override void Serialize(byte[] value, IBufferWriter<byte> output, in SerdeContext context) => output.Write(value);

    public override byte[] Deserialize(ReadOnlySpan<byte> data, in SerdeContext context) => data.ToArray();
}

/// <summary>Values of a fixed number of bytes.</summary>
internal sealed class FixedSerde<T>(int size, SpanAction<T> write, FixedSerde<T>.Reader read) : Serde<T>
{
    public delegate T Reader(ReadOnlySpan<byte> data);

    public override void Serialize(T value, IBufferWriter<byte> output, in SerdeContext context)
    {
        write(value, output.GetSpan(size));
        output.Advance(size);
    }

    public override T Deserialize(ReadOnlySpan<byte> data, in SerdeContext context) =>
        data.Length == size ? read(data) : throw new FormatException($"{typeof(T).Name} takes {size} bytes; there are {data.Length}.");
}

internal delegate void SpanAction<in T>(T value, Span<byte> destination);

/// <summary>A nullable value type by the serde of its underlying type; null stays outside, as everywhere.</summary>
internal sealed class NullableSerde<T>(Serde<T> inner) : Serde<T?>
    where T : struct
{
    private NullableSerde<T>? _exact;

    public override void Serialize(T? value, IBufferWriter<byte> output, in SerdeContext context) => inner.Serialize(value!.Value, output, context);

    public override T? Deserialize(ReadOnlySpan<byte> data, in SerdeContext context) => inner.Deserialize(data, context);

    internal override string? WhyNotRoundTrip() => inner.WhyNotRoundTrip();

    internal override Serde<T?> Exact => LazyInitializer.EnsureInitialized(ref _exact, () => inner.Exact == inner ? this : new NullableSerde<T>(inner.Exact));

    internal override string ToJson(T? value) => inner.ToJson(value!.Value);

    internal override T? FromText(string text) => inner.FromText(text);
}
