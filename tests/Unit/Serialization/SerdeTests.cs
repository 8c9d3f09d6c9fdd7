using System.Buffers;
using System.Text;
using CsCheck;
using Xunit;

namespace KStreamSharp.Tests.Serialization;

/// <summary>The bytes of keys, values and states.</summary>
public class SerdeTests
{
    private static readonly SerdeContext Context = new("topic", RecordPart.Value);

    [Fact]
    public void PrimitivesAreFixedAndBigEndian()
    {
        Assert.Equal("00", Hex(false));
        Assert.Equal("01", Hex(true));
        Assert.Equal("FE", Hex((byte)254));
        Assert.Equal("FE", Hex((sbyte)-2));
        Assert.Equal("0102", Hex((short)0x0102));
        Assert.Equal("FFFE", Hex((short)-2));
        Assert.Equal("FFFE", Hex((ushort)0xFFFE));
        Assert.Equal("20AC", Hex('€'));
        Assert.Equal("01020304", Hex(0x01020304));
        Assert.Equal("FFFFFFFF", Hex(-1));
        Assert.Equal("FFFFFFFE", Hex(0xFFFFFFFE));
        Assert.Equal("0102030405060708", Hex(0x0102030405060708L));
        Assert.Equal("8000000000000000", Hex(long.MinValue));
        Assert.Equal("FFFFFFFFFFFFFFFF", Hex(ulong.MaxValue));
        Assert.Equal("3FC00000", Hex(1.5f));
        Assert.Equal("BFF8000000000000", Hex(-1.5));
        Assert.Equal("00112233445566778899AABBCCDDEEFF", Hex(new Guid("00112233-4455-6677-8899-aabbccddeeff")));
    }

    [Fact]
    public void StringsAreUtf8AndBytesAreThemselves()
    {
        Assert.Equal("", Hex(""));
        Assert.Equal("61C3A9E282ACF09F9880", Hex("aé€😀"));
        Assert.Equal("00FF", Hex(new byte[] { 0, 255 }));
        Assert.ThrowsAny<ArgumentException>(() => Hex("\ud800"));
        Assert.ThrowsAny<ArgumentException>(() => Serde.Utf8.Deserialize([0xC3, 0x28], Context));
        Assert.Equal("\ufeffx", Back("\ufeffx"));
    }

    [Fact]
    public void TheRestIsJson()
    {
        Assert.Equal("""{"Name":"a","Price":1.50,"Tags":["x",null]}""", Encoding.UTF8.GetString(Bytes(new Item("a", 1.50m, ["x", null]))));
        Assert.Equal("""{"Item1":1,"Item2":"b"}""", Encoding.UTF8.GetString(Bytes((1, "b"))));
        Assert.Equal("1.50", Encoding.UTF8.GetString(Bytes(1.50m)));
        Assert.Equal("\"NaN\"", Encoding.UTF8.GetString(Bytes<object>(double.NaN)));
        Assert.Equal("6", Encoding.UTF8.GetString(Bytes(DayOfWeek.Saturday)));
    }

    [Fact]
    public void ANullableIsWrittenAsItsValue()
    {
        Assert.Equal("00000007", Hex<int?>(7));
        Assert.Equal(7, Back<int?>(7));
        Assert.Equal((1, "x"), Back<(int, string)?>((1, "x")));
    }

    [Fact]
    public void NegativeNumbersSortAfterPositiveOnesByTheirBytes()
    {
        int[] numbers = [int.MinValue, -1, 0, 1, int.MaxValue];
        Assert.Equal([0, 1, int.MaxValue, int.MinValue, -1], numbers.OrderBy(Hex, StringComparer.Ordinal));
    }

    [Fact]
    public void ValuesOfAnotherLengthAreRefused()
    {
        Assert.Equal("Int32 takes 4 bytes; there are 8.", Assert.Throws<FormatException>(() => Serde.Int32.Deserialize(new byte[8], Context)).Message);
        Assert.Equal("Int64 takes 8 bytes; there are 4.", Assert.Throws<FormatException>(() => Serde.Int64.Deserialize(new byte[4], Context)).Message);
        Assert.Throws<FormatException>(() => Serde.Boolean.Deserialize([], Context));
    }

    [Fact]
    public void EverythingComesBack()
    {
        RoundTrip(Gen.Bool);
        RoundTrip(Gen.Byte);
        RoundTrip(Gen.SByte);
        RoundTrip(Gen.Short);
        RoundTrip(Gen.UShort);
        RoundTrip(Gen.Char);
        RoundTrip(Gen.Int);
        RoundTrip(Gen.UInt);
        RoundTrip(Gen.Long);
        RoundTrip(Gen.ULong);
        RoundTrip(Gen.Float);
        RoundTrip(Gen.Double);
        RoundTrip(Gen.Guid);
        RoundTrip(Gen.Decimal);
        RoundTrip(Gen.Char[' ', '\ud7ff'].Array.Select(letters => new string(letters)));
        RoundTrip(Gen.DateTimeOffset);
        RoundTrip(Gen.TimeSpan);
        RoundTrip(Gen.Select(Gen.Int, Gen.Double, Gen.Bool));
        Gen.Byte.Array.Sample(bytes => Back(bytes).AsSpan().SequenceEqual(bytes), iter: 100);
        Gen.Dictionary(Gen.Int, Gen.Int.List).Sample(map => Back(map).OrderBy(entry => entry.Key).SelectMany(entry => entry.Value).SequenceEqual(map.OrderBy(entry => entry.Key).SelectMany(entry => entry.Value)), iter: 50);
    }

    [Fact]
    public void JsonTakesOptions()
    {
        Serde<Item> web = Serde.Json<Item>(new System.Text.Json.JsonSerializerOptions(System.Text.Json.JsonSerializerDefaults.Web));
        ArrayBufferWriter<byte> output = new();
        web.Serialize(new Item("a", 1, []), output, Context);
        Assert.Equal("""{"name":"a","price":1,"tags":[]}""", Encoding.UTF8.GetString(output.WrittenSpan));
    }

    [Fact]
    public void OneSerdeServesSeveralThreads()
    {
        Serde<Item> serde = Serde.Json<Item>();
        Parallel.For(0, 200, i =>
        {
            ArrayBufferWriter<byte> output = new();
            serde.Serialize(new Item($"{i}", i, []), output, Context);
            Assert.Equal($"{i}", serde.Deserialize(output.WrittenSpan, Context).Name);
        });
    }

    private static void RoundTrip<T>(Gen<T> values) => values.Sample(value => EqualityComparer<T>.Default.Equals(Back(value), value), iter: 100);

    private static T Back<T>(T value) => Serde.For<T>().Deserialize(Bytes(value), Context);

    private static string Hex<T>(T value) => Convert.ToHexString(Bytes(value));

    private static byte[] Bytes<T>(T value)
    {
        ArrayBufferWriter<byte> output = new();
        Serde.For<T>().Serialize(value, output, Context);
        return output.WrittenSpan.ToArray();
    }

    private sealed record Item(string Name, decimal Price, string?[] Tags);
}
