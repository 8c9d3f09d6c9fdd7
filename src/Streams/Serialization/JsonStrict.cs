using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace KStreamSharp;

/// <summary>
/// JSON that others have written: what is missing, null where the type has no null, or there twice is refused, where the
/// serializer by itself would make a default of it. The message says what is known of such bytes, and what to change.
/// </summary>
internal static class JsonStrict
{
    private static readonly ConditionalWeakTable<JsonSerializerOptions, JsonSerializerOptions> Known = new();
    private static readonly ConditionalWeakTable<JsonSerializerOptions, JsonSerializerOptions> RefuseGaps = new();
    private static readonly ConditionalWeakTable<JsonSerializerOptions, JsonSerializerOptions> RefuseNulls = new();

    public static JsonSerializerOptions Of(JsonSerializerOptions options) => Known.GetValue(options, static options => new(options)
    {
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
        AllowDuplicateProperties = false,
    });

    /// <exception cref="FormatException">It does not fit.</exception>
    public static T Read<T>(ReadOnlySpan<byte> data, JsonSerializerOptions strict, JsonSerializerOptions lenient)
    {
        T? read;
        try
        {
            read = JsonSerializer.Deserialize<T>(data, strict);
        }
        catch (JsonException error)
        {
            throw new FormatException($"{error.Message.TrimEnd('.')}.{Hint<T>(data, lenient)}", error);
        }

        return read is null && Nullable.GetUnderlyingType(typeof(T)) is null
            ? throw new FormatException($"it is the JSON value null, where {TypeName.Of(typeof(T))} is needed. {Lenient<T>()} hands null to the flow.")
            : read!;
    }

    private static string Hint<T>(ReadOnlySpan<byte> data, JsonSerializerOptions lenient)
    {
        if (data is [0xEF, 0xBB, 0xBF, ..])
        {
            return " It begins with a byte order mark (EF BB BF), which JSON does not allow. Have the producer leave it out, or name a serde that passes over it.";
        }

        if (data is [0, _, _, _, _, _, ..])
        {
            string id = BinaryPrimitives.ReadInt32BigEndian(data[1..]).ToString(CultureInfo.InvariantCulture);
            return $" It begins like Confluent's frame (0, then schema id {id}). Have the producer write plain JSON, or name a serde that passes over the first 5 bytes.";
        }

        if (!Fits<T>(data, lenient))
        {
            return "";
        }

        if (!Fits<T>(data, RefuseGaps.GetValue(lenient, static options => new(options) { RespectRequiredConstructorParameters = true })))
        {
            return $" Names are compared with their case: Serde.Json<{TypeName.Of(typeof(T))}>(JsonSerializerOptions.Web) reads camelCase. {Lenient<T>()} takes what is missing as the default.";
        }

        return Fits<T>(data, RefuseNulls.GetValue(lenient, static options => new(options) { RespectNullableAnnotations = true }))
            ? $" {Lenient<T>()} takes the last value."
            : $" Make the member nullable; {Lenient<T>()} accepts the null.";
    }

    private static bool Fits<T>(ReadOnlySpan<byte> data, JsonSerializerOptions options)
    {
        try
        {
            JsonSerializer.Deserialize<T>(data, options);
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static string Lenient<T>() => $"Serde.Json<{TypeName.Of(typeof(T))}>(strict: false)";
}
