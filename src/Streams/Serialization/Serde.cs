using System.Buffers;
using System.Buffers.Binary;
using System.Text.Json;

namespace KStreamSharp;

/// <summary>
/// Turns values of one type into bytes and back. One object serves every shard, so it must be safe to call from several
/// threads. A null never reaches a serde: a null key or value is an absent one.
/// </summary>
/// <typeparam name="T">The type of the values.</typeparam>
public abstract class Serde<T>
{
    /// <summary>Writes the bytes of a value.</summary>
    /// <param name="value">The value, never null.</param>
    /// <param name="output">Where the bytes go.</param>
    /// <param name="context">For which topic, and which part of a record.</param>
    public abstract void Serialize(T value, IBufferWriter<byte> output, in SerdeContext context);

    /// <summary>Reads a value from its bytes. Anything it throws makes the record a bad record.</summary>
    /// <param name="data">The bytes, valid during the call only.</param>
    /// <param name="context">Of which topic, and which part of a record.</param>
    public abstract T Deserialize(ReadOnlySpan<byte> data, in SerdeContext context);

    /// <summary>Why values of this type would not come back as they were, or null: asked when the flow is built.</summary>
    internal virtual string? WhyNotRoundTrip() => null;

    /// <summary>The same, for values that have to come back as they were: throws at one that would not, where this would write something else.</summary>
    internal virtual Serde<T> Exact => this;

    /// <summary>A value as JSON in one line, for a person to read.</summary>
    internal virtual string ToJson(T value) => JsonSerde<T>.Default.ToJson(value);

    /// <summary>A value as a person writes it: strings as they are, anything else as JSON, whose quotes may be left out.</summary>
    /// <exception cref="FormatException">There is no such value.</exception>
    internal virtual T FromText(string text) => JsonSerde<T>.Default.FromText(text);
}

/// <summary>For which topic a serde works, and on which part of its records.</summary>
/// <param name="Topic">The topic's name; for states, the changelog topic.</param>
/// <param name="Part">The part of the record.</param>
public readonly record struct SerdeContext(string Topic, RecordPart Part);

/// <summary>The part of a record that a serde works on.</summary>
public enum RecordPart
{
    /// <summary>The key.</summary>
    Key,

    /// <summary>The value.</summary>
    Value,

    /// <summary>The state of a key in a stateful step.</summary>
    State,
}

/// <summary>The serdes that come with the engine.</summary>
public static class Serde
{
    /// <summary>Strings as UTF-8, as Kafka's StringSerializer writes them. Bytes that are no UTF-8 are refused.</summary>
    public static Serde<string> Utf8 { get; } = new Utf8Serde();

    /// <summary>Bytes as they are.</summary>
    public static Serde<byte[]> Bytes { get; } = new BytesSerde();

    /// <summary>One byte, 0 or 1.</summary>
    public static Serde<bool> Boolean { get; } = new FixedSerde<bool>(1, static (v, b) => b[0] = v ? (byte)1 : (byte)0, static b => b[0] != 0);

    /// <summary>16-bit integers, 2 bytes, big-endian, as Kafka's ShortSerializer writes them. The bytes of negative numbers sort after those of positive ones.</summary>
    public static Serde<short> Int16 { get; } = new FixedSerde<short>(2, static (v, b) => BinaryPrimitives.WriteInt16BigEndian(b, v), BinaryPrimitives.ReadInt16BigEndian);

    /// <summary>32-bit integers, 4 bytes, big-endian, as Kafka's IntegerSerializer writes them. The bytes of negative numbers sort after those of positive ones.</summary>
    public static Serde<int> Int32 { get; } = new FixedSerde<int>(4, static (v, b) => BinaryPrimitives.WriteInt32BigEndian(b, v), BinaryPrimitives.ReadInt32BigEndian);

    /// <summary>64-bit integers, 8 bytes, big-endian, as Kafka's LongSerializer writes them. The bytes of negative numbers sort after those of positive ones.</summary>
    public static Serde<long> Int64 { get; } = new FixedSerde<long>(8, static (v, b) => BinaryPrimitives.WriteInt64BigEndian(b, v), BinaryPrimitives.ReadInt64BigEndian);

    /// <summary>32-bit floating point numbers, 4 bytes, big-endian, as Kafka's FloatSerializer writes them.</summary>
    public static Serde<float> Single { get; } = new FixedSerde<float>(4, static (v, b) => BinaryPrimitives.WriteSingleBigEndian(b, v), BinaryPrimitives.ReadSingleBigEndian);

    /// <summary>64-bit floating point numbers, 8 bytes, big-endian, as Kafka's DoubleSerializer writes them.</summary>
    public static Serde<double> Double { get; } = new FixedSerde<double>(8, static (v, b) => BinaryPrimitives.WriteDoubleBigEndian(b, v), BinaryPrimitives.ReadDoubleBigEndian);

    /// <summary>Identifiers, 16 bytes, in the order of their text form.</summary>
    public static Serde<Guid> Guid { get; } = new FixedSerde<Guid>(16, static (v, b) => v.TryWriteBytes(b, bigEndian: true, out _), static b => new Guid(b, bigEndian: true));

    /// <summary>
    /// Any type as JSON by System.Text.Json, fields included, so that tuples keep their items. Names are compared with their
    /// case; give <see cref="JsonSerializerOptions.Web"/> for the camelCase of most other programs.
    /// </summary>
    /// <typeparam name="T">The type of the values.</typeparam>
    /// <param name="options">Settings of the serializer; null for fields included and names as they are in C#.</param>
    /// <param name="strict">
    /// Whether these are bad records, which is the default: a parameter of the constructor is missing that has no default value,
    /// a member is null that has no null, a member is there twice, the whole value is the JSON value null. If not, the
    /// serializer's own rules count: the default of the type, null, the last one. Members without a parameter are optional
    /// unless they are <c>required</c>. What the engine has written itself, as states, is read in any case.
    /// </param>
    public static Serde<T> Json<T>(JsonSerializerOptions? options = null, bool strict = true) =>
        options is not null ? new JsonSerde<T>(options, strict) : strict ? JsonSerde<T>.Default : JsonSerde<T>.Lenient;

    /// <summary>The serde that a step uses when none is named: booleans, numbers and characters in a fixed number of bytes, big-endian; strings as UTF-8; bytes; identifiers; else JSON.</summary>
    /// <typeparam name="T">The type of the values; a nullable value type uses the serde of its underlying type.</typeparam>
    public static Serde<T> For<T>() => Defaults<T>.Serde;

    private static class Defaults<T>
    {
        public static readonly Serde<T> Serde = Choose();

        private static Serde<T> Choose()
        {
            object[] known =
            [
                Utf8, Bytes, Boolean, Int16, Int32, Int64, Single, Double, Guid,
                new FixedSerde<byte>(1, static (v, b) => b[0] = v, static b => b[0]),
                new FixedSerde<sbyte>(1, static (v, b) => b[0] = (byte)v, static b => (sbyte)b[0]),
                new FixedSerde<char>(2, static (v, b) => BinaryPrimitives.WriteUInt16BigEndian(b, v), static b => (char)BinaryPrimitives.ReadUInt16BigEndian(b)),
                new FixedSerde<ushort>(2, static (v, b) => BinaryPrimitives.WriteUInt16BigEndian(b, v), BinaryPrimitives.ReadUInt16BigEndian),
                new FixedSerde<uint>(4, static (v, b) => BinaryPrimitives.WriteUInt32BigEndian(b, v), BinaryPrimitives.ReadUInt32BigEndian),
                new FixedSerde<ulong>(8, static (v, b) => BinaryPrimitives.WriteUInt64BigEndian(b, v), BinaryPrimitives.ReadUInt64BigEndian),
            ];
            if (known.OfType<Serde<T>>().FirstOrDefault() is { } serde)
            {
                return serde;
            }

            if (Nullable.GetUnderlyingType(typeof(T)) is not { } underlying)
            {
                return JsonSerde<T>.Default;
            }

            object inner = typeof(Serde).GetMethod(nameof(For))!.MakeGenericMethod(underlying).Invoke(null, null)!;
            return (Serde<T>)Activator.CreateInstance(typeof(NullableSerde<>).MakeGenericType(underlying), inner)!;
        }
    }
}
