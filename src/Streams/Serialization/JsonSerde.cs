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

    public JsonSerde(JsonSerializerOptions options) => _options = options;

    public override void Serialize(T value, IBufferWriter<byte> output, in SerdeContext context)
    {
        Utf8JsonWriter writer = Writer ??= new Utf8JsonWriter(output, new JsonWriterOptions { SkipValidation = true });
        writer.Reset(output);
        JsonSerializer.Serialize(writer, value, _options);
        writer.Flush();
    }

    public override T Deserialize(ReadOnlySpan<byte> data, in SerdeContext context) => JsonSerializer.Deserialize<T>(data, _options)!;

    internal override string? WhyNotRoundTrip() => Why(typeof(T), []);

    private string? Why(Type type, HashSet<Type> seen)
    {
        if (!seen.Add(type) || type == typeof(object) || typeof(System.Text.Json.Nodes.JsonNode).IsAssignableFrom(type))
        {
            return null;
        }

        JsonTypeInfo info;
        try
        {
            info = _options.GetTypeInfo(type);
        }
        catch (Exception error) when (error is NotSupportedException or InvalidOperationException)
        {
            return error.Message;
        }

        if (info.ElementType is { } element && Why(element, seen) is { } inside)
        {
            return inside;
        }

        if (info.Kind == JsonTypeInfoKind.Enumerable && type.IsGenericType && type.GetGenericTypeDefinition() == typeof(Stack<>))
        {
            return $"{type} comes back in reverse order";
        }

        if (typeof(Delegate).IsAssignableFrom(type) || typeof(Type).IsAssignableFrom(type) || type.IsPointer)
        {
            return $"{type} cannot be written as JSON";
        }

        if (info.Kind != JsonTypeInfoKind.Object)
        {
            return null;
        }

        bool constructed = info.Properties.Any(property => property.AssociatedParameter is not null);
        if (info.CreateObject is null && !constructed && info.PolymorphismOptions is null)
        {
            return $"{type} has no constructor that the JSON serializer can use";
        }

        foreach (JsonPropertyInfo property in info.Properties)
        {
            if (property is { Get: not null, Set: null, AssociatedParameter: null, IsExtensionData: false })
            {
                return $"{type}.{property.Name} is written but cannot be read back: it has no setter and is no constructor parameter";
            }

            if (Why(property.PropertyType, seen) is { } reason)
            {
                return reason;
            }
        }

        return null;
    }
}
