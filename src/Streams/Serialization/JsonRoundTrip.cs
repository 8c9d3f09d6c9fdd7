using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace KStreamSharp;

/// <summary>
/// Whether values of a type come back from JSON as they were, by the type alone. What it refuses would lose something
/// silently; what a subclass or a converter of the user's own does, it cannot see.
/// </summary>
internal sealed class JsonRoundTrip(JsonSerializerOptions options)
{
    private const BindingFlags OwnMembers = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private static readonly Type[] Reversed = [typeof(Stack<>), typeof(ConcurrentStack<>), typeof(ConcurrentBag<>), typeof(ImmutableStack<>), typeof(IImmutableStack<>)];

    private readonly HashSet<Type> _seen = [];

    /// <summary>The reason why a type does not come back, or null.</summary>
    public string? WhyNot(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (!_seen.Add(type) || typeof(JsonNode).IsAssignableFrom(type) || options.Converters.Any(converter => converter.CanConvert(type)))
        {
            return null;
        }

        if (type == typeof(object))
        {
            return "an object comes back as a JsonElement, whatever it was";
        }

        if (typeof(Delegate).IsAssignableFrom(type) || typeof(MemberInfo).IsAssignableFrom(type) || type.IsPointer
            || type == typeof(nint) || type == typeof(nuint) || (type.IsArray && type.GetArrayRank() > 1))
        {
            return $"{TypeName.Of(type)} cannot be written as JSON";
        }

        if (type.IsGenericType && Reversed.Contains(type.GetGenericTypeDefinition()))
        {
            return $"{TypeName.Of(type)} comes back in another order";
        }

        JsonTypeInfo info;
        try
        {
            info = options.GetTypeInfo(type);
        }
        catch (Exception error) when (error is NotSupportedException or InvalidOperationException)
        {
            return error.Message;
        }

        return info.Kind switch
        {
            JsonTypeInfoKind.Enumerable => WhyNot(info.ElementType!),
            JsonTypeInfoKind.Dictionary => WhyNotKeys(info.KeyType!) ?? WhyNot(info.KeyType!) ?? WhyNot(info.ElementType!),
            JsonTypeInfoKind.Object => WhyNotObject(type, info),
            _ => null,
        };
    }

    private string? WhyNotObject(Type type, JsonTypeInfo info)
    {
        string name = TypeName.Of(type);
        if (info.PolymorphismOptions is { } polymorphism)
        {
            return polymorphism.DerivedTypes.Select(derived => WhyNot(derived.DerivedType)).FirstOrDefault(reason => reason is not null);
        }

        if (info.CreateObject is null && !info.Properties.Any(property => property.AssociatedParameter is not null))
        {
            return $"{name} has no constructor that the JSON serializer can use";
        }

        HashSet<MemberInfo> written = [.. info.Properties.Select(property => property.AttributeProvider).OfType<MemberInfo>()];
        FieldInfo? hidden = null;
        foreach (FieldInfo field in Fields(type).Where(field => !written.Contains(field) && !field.IsDefined(typeof(JsonIgnoreAttribute))))
        {
            if (PropertyOf(field) is not { } property)
            {
                hidden ??= field;
            }
            else if (!written.Contains(property) && !property.IsDefined(typeof(JsonIgnoreAttribute)))
            {
                return $"{name}.{property.Name} is not written: it is not public";
            }
        }

        bool reachable = false;
        foreach (JsonPropertyInfo property in info.Properties.Where(property => !property.IsExtensionData))
        {
            bool comesBack = property.Set is not null || property.AssociatedParameter is not null;
            bool isComputed = property.AttributeProvider is PropertyInfo member && !IsAuto(member);
            reachable |= comesBack && isComputed;
            if (property.Get is not null && !comesBack && (!isComputed || hidden is not null))
            {
                return $"{name}.{property.Name} is written but cannot be read back: it has no setter and is no constructor parameter";
            }

            if (comesBack && WhyNot(property.PropertyType) is { } reason)
            {
                return reason;
            }
        }

        return hidden is not null && !reachable ? $"{name} keeps something in the field '{hidden.Name}', which is not written" : null;
    }

    /// <summary>Only types that have a text form can be the keys of a JSON object; the serializer says which when it writes one.</summary>
    private string? WhyNotKeys(Type key)
    {
        if (key.IsAbstract || key == typeof(string))
        {
            return null;
        }

        System.Collections.IDictionary sample = (System.Collections.IDictionary)Activator.CreateInstance(typeof(Dictionary<,>).MakeGenericType(key, typeof(int)))!;
        try
        {
            sample[RuntimeHelpers.GetUninitializedObject(key)] = 0;
            JsonSerializer.Serialize(sample, sample.GetType(), options);
            return null;
        }
        catch (NotSupportedException)
        {
            return $"{TypeName.Of(key)} cannot be the key of a JSON object";
        }
        catch (Exception error) when (error is NullReferenceException or InvalidOperationException or ArgumentException)
        {
            return null; // The sample was too empty to tell.
        }
    }

    private static IEnumerable<FieldInfo> Fields(Type? type)
    {
        for (; type is not null && type != typeof(object) && type != typeof(ValueType); type = type.BaseType)
        {
            foreach (FieldInfo field in type.GetFields(OwnMembers))
            {
                yield return field;
            }
        }
    }

    /// <summary>The property that the compiler made a field for, or null.</summary>
    private static PropertyInfo? PropertyOf(FieldInfo field) => field.Name.StartsWith('<') && field.Name.EndsWith(">k__BackingField", StringComparison.Ordinal)
        ? field.DeclaringType!.GetProperty(field.Name[1..field.Name.IndexOf('>', StringComparison.Ordinal)], OwnMembers)
        : null;

    private static bool IsAuto(PropertyInfo property) => property.DeclaringType!.GetField($"<{property.Name}>k__BackingField", OwnMembers) is not null;
}
