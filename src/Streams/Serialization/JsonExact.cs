using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace KStreamSharp;

/// <summary>
/// JSON for values that have to come back as they were: states, and items that cross a topic of the engine. What a type does not
/// show is looked at when a value is written: that nothing is of a derived type, no collection has a comparer that would be
/// forgotten, and no string has half a surrogate pair.
/// </summary>
internal static class JsonExact
{
    private static readonly ConditionalWeakTable<JsonSerializerOptions, JsonSerializerOptions> Known = new();

    /// <summary>Options that write the same bytes as others, or throw.</summary>
    public static JsonSerializerOptions Of(JsonSerializerOptions options) => Known.GetValue(options, Make);

    private static JsonSerializerOptions Make(JsonSerializerOptions options)
    {
        JsonSerializerOptions exact = new(options);
        exact.TypeInfoResolver = options.TypeInfoResolver!.WithAddedModifier(info => Watch(info, options));
        if (!exact.Converters.Any(converter => converter.CanConvert(typeof(string))))
        {
            exact.Converters.Add(new WholeStrings());
        }

        return exact;
    }

    private static void Watch(JsonTypeInfo info, JsonSerializerOptions options)
    {
        Type declared = info.Type;
        bool isCollection = info.Kind is JsonTypeInfoKind.Enumerable or JsonTypeInfoKind.Dictionary;
        bool mayBeDerived = !declared.IsSealed && !declared.IsInterface && !declared.IsAbstract && !declared.IsArray && info.PolymorphismOptions is null;
        if (info.Kind == JsonTypeInfoKind.None || (!isCollection && !mayBeDerived))
        {
            return;
        }

        Action<object>? own = info.OnSerializing;
        Lazy<Comparers> made = new(() => Comparers.Of(JsonSerializer.Deserialize(info.Kind == JsonTypeInfoKind.Dictionary ? "{}" : "[]", declared, options)));
        info.OnSerializing = value =>
        {
            own?.Invoke(value);
            if (mayBeDerived && value.GetType() != declared)
            {
                throw new NotSupportedException(
                    $"a {TypeName.Of(value.GetType())} is where the type says {TypeName.Of(declared)}, and would come back as that. Put [JsonDerivedType] on {TypeName.Of(declared)}, or name a serde for it.");
            }

            if (isCollection && Comparers.Of(value).Differ(made.Value) is { } comparer)
            {
                string name = TypeName.Of(value.GetType());
                string derived = value.GetType().IsSealed ? "Name" : "Use a class derived from it whose constructor sets the comparer, always the same object (a static field), or name";
                throw new NotSupportedException(
                    $"{(name[0] is 'A' or 'E' or 'I' or 'O' or 'U' ? "an" : "a")} {name} has a comparer of its own ({comparer}), which JSON does not keep. {derived} a serde for it.");
            }
        };
    }

    /// <summary>The comparers of a collection; the one of its keys or elements first.</summary>
    private readonly record struct Comparers(Part Key, Part Value)
    {
        private static readonly ConcurrentDictionary<Type, (PropertyInfo? Key, PropertyInfo? Value)> Properties = new();

        public static Comparers Of(object? collection)
        {
            if (collection is null)
            {
                return default;
            }

            (PropertyInfo? key, PropertyInfo? value) = Properties.GetOrAdd(
                collection.GetType(), static type => (Find(type, "Comparer") ?? Find(type, "KeyComparer"), Find(type, "ValueComparer")));
            return new(Part.Of(key, collection), Part.Of(value, collection));
        }

        /// <summary>How a comparer differs from another collection's; null when all are alike.</summary>
        public string? Differ(Comparers other) => !Key.IsLike(other.Key) ? Key.Name : Value.IsLike(other.Value) ? null : Value.Name;

        private static PropertyInfo? Find(Type type, string name) =>
            type.GetProperties(BindingFlags.Instance | BindingFlags.Public).FirstOrDefault(property => property.Name == name
                && property.PropertyType.IsGenericType
                && (property.PropertyType.GetGenericTypeDefinition() == typeof(IComparer<>) || property.PropertyType.GetGenericTypeDefinition() == typeof(IEqualityComparer<>)));
    }

    private readonly record struct Part(bool Sorts, object? Comparer)
    {
        public static Part Of(PropertyInfo? property, object collection)
        {
            if (property?.GetValue(collection) is not { } comparer)
            {
                return default;
            }

            bool sorts = property.PropertyType.GetGenericTypeDefinition() == typeof(IComparer<>);
            Type plain = (sorts ? typeof(Comparer<>) : typeof(EqualityComparer<>)).MakeGenericType(property.PropertyType.GenericTypeArguments);
            bool isPlain = comparer.Equals(plain.GetProperty("Default")!.GetValue(null)) || (!sorts && comparer.Equals(StringComparer.Ordinal));
            return new(sorts, isPlain ? null : comparer);
        }

        public string Name => Comparer is null ? Sorts ? "it sorts" : "the default" : TypeName.Of(Comparer.GetType());

        public bool IsLike(Part other) => Sorts == other.Sorts && (Equals(Comparer, other.Comparer)
            || (Comparer is not null && Comparer.GetType() == other.Comparer?.GetType() && !HasFields(Comparer.GetType())));

        private static bool HasFields(Type? type)
        {
            for (; type is not null; type = type.BaseType)
            {
                if (type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly).Length > 0)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>Strings as always, but for those that UTF-8 cannot hold: they would come back with U+FFFD in them.</summary>
    private sealed class WholeStrings : JsonConverter<string>
    {
        public override string? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetString();

        public override string ReadAsPropertyName(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetString()!;

        public override void Write(Utf8JsonWriter writer, string value, JsonSerializerOptions options) => writer.WriteStringValue(Checked(value));

        public override void WriteAsPropertyName(Utf8JsonWriter writer, string value, JsonSerializerOptions options) => writer.WritePropertyName(Checked(value));

        private static string Checked(string text)
        {
            int at = text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF');
            for (; at >= 0 && at < text.Length; at++)
            {
                if (char.IsHighSurrogate(text[at]) && at + 1 < text.Length && char.IsLowSurrogate(text[at + 1]))
                {
                    at++;
                }
                else if (char.IsSurrogate(text[at]))
                {
                    throw new NotSupportedException($"a string has half a surrogate pair at position {at}, which UTF-8 cannot hold: it was cut in the middle of a character.");
                }
            }

            return text;
        }
    }
}
