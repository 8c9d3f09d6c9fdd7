using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace KStreamSharp;

/// <summary>Values as JSON.</summary>
internal sealed class JsonSerde<T> : Serde<T>
{
    public static readonly JsonSerde<T> Default = new(new JsonSerializerOptions
    {
        IncludeFields = true,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        TypeInfoResolver = new DefaultJsonTypeInfoResolver(),
    });

    public static readonly JsonSerde<T> Lenient = new(Default._options, isStrict: false);

    [ThreadStatic]
    private static Utf8JsonWriter? Writer;

    private readonly JsonSerializerOptions _options;
    private readonly Lazy<JsonSerializerOptions>? _strict;
    private readonly Lazy<JsonSerializerOptions> _shown;
    private readonly Lazy<JsonSerde<T>> _exact;

    public JsonSerde(JsonSerializerOptions options, bool isStrict = true, bool isExact = false)
    {
        // The serializer would do so at the first use; the check of states comes before it.
        options.MakeReadOnly(populateMissingResolver: true);
        _options = options;
        _strict = isStrict ? new(() => JsonStrict.Of(_options)) : null;
        _shown = new(() => new JsonSerializerOptions(_options) { WriteIndented = false, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        _exact = new(() => isExact ? this : new JsonSerde<T>(JsonExact.Of(_options), isStrict: false, isExact: true));
    }

    internal override Serde<T> Exact => _exact.Value;

    public override void Serialize(T value, IBufferWriter<byte> output, in SerdeContext context)
    {
        Utf8JsonWriter writer = Writer ??= new Utf8JsonWriter(output, new JsonWriterOptions { SkipValidation = true });
        writer.Reset(output);
        JsonSerializer.Serialize(writer, value, _options);
        writer.Flush();
    }

    public override T Deserialize(ReadOnlySpan<byte> data, in SerdeContext context) =>
        _strict is null ? JsonSerializer.Deserialize<T>(data, _options)! : JsonStrict.Read<T>(data, _strict.Value, _options);

    internal override string? WhyNotRoundTrip() => new JsonRoundTrip(_options).WhyNot(typeof(T));

    internal override string ToJson(T value) => JsonSerializer.Serialize(value, _shown.Value);

    internal override T FromText(string text)
    {
        if (typeof(T) == typeof(string))
        {
            return (T)(object)text;
        }

        try
        {
            return JsonSerializer.Deserialize<T>(text, _options) ?? throw new FormatException("it is null.");
        }
        catch (JsonException first)
        {
            try
            {
                return JsonSerializer.Deserialize<T>(JsonSerializer.Serialize(text), _options)!;
            }
            catch (JsonException)
            {
                throw new FormatException($"a value of type {TypeName.Of(typeof(T))} as JSON{(typeof(T) == typeof(byte[]) ? " (base64)" : "")} is needed.", first);
            }
        }
    }
}
