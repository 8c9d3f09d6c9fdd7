using System.Buffers;
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

    [ThreadStatic]
    private static Utf8JsonWriter? Writer;

    private readonly JsonSerializerOptions _options;

    public JsonSerde(JsonSerializerOptions options)
    {
        // The serializer would do so at the first use; the check of states comes before it.
        options.MakeReadOnly(populateMissingResolver: true);
        _options = options;
    }

    public override void Serialize(T value, IBufferWriter<byte> output, in SerdeContext context)
    {
        Utf8JsonWriter writer = Writer ??= new Utf8JsonWriter(output, new JsonWriterOptions { SkipValidation = true });
        writer.Reset(output);
        JsonSerializer.Serialize(writer, value, _options);
        writer.Flush();
    }

    public override T Deserialize(ReadOnlySpan<byte> data, in SerdeContext context) => JsonSerializer.Deserialize<T>(data, _options)!;

    internal override string? WhyNotRoundTrip() => new JsonRoundTrip(_options).WhyNot(typeof(T));
}
