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
/// Whether values of a type come back from JSON as they were: by the type, and by trying where the type does not tell. What it
/// refuses would lose something silently, or is not known to come back. What only a value shows (<see cref="JsonExact"/>) and
/// what a converter of the user's own does, it cannot see.
/// </summary>
internal sealed class JsonRoundTrip(JsonSerializerOptions options)
{
    private const BindingFlags OwnMembers = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private static readonly Type[] Reversed = [typeof(Stack<>), typeof(ConcurrentStack<>), typeof(ConcurrentBag<>), typeof(ImmutableStack<>), typeof(IImmutableStack<>)];

    private readonly HashSet<Type> _seen = [];
    private readonly JsonTrial _trial = new(options);

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
            JsonTypeInfoKind.Enumerable => WhyNot(info.ElementType!) ?? WhyNotCollection(type, "[]"),
            JsonTypeInfoKind.Dictionary => WhyNotKeys(info.KeyType!) ?? WhyNot(info.KeyType!) ?? WhyNot(info.ElementType!) ?? WhyNotCollection(type, "{}"),
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
        List<FieldInfo> hidden = [];
        foreach (FieldInfo field in Fields(type).Where(field => !written.Contains(field) && !IsIgnored(field)))
        {
            if (PropertyOf(field) is not { } property)
            {
                hidden.Add(field);
            }
            else if (!written.Contains(property))
            {
                return $"{name}.{property.Name} is not written: it is not public";
            }
        }

        foreach (JsonPropertyInfo property in info.Properties.Where(property => !property.IsExtensionData))
        {
            bool comesBack = property.Set is not null || property.AssociatedParameter is not null;
            bool isComputed = property.AttributeProvider is PropertyInfo member && !IsAuto(member);
            if (property.Get is not null && !comesBack && (!isComputed || hidden.Count > 0))
            {
                return $"{name}.{property.Name} is written but cannot be read back: it has no setter and is no constructor parameter";
            }

            if (comesBack && (WhyNot(property.PropertyType) ?? WhyNotLeftOut(name, info, property)) is { } reason)
            {
                return reason;
            }
        }

        return hidden.Count == 0 ? null : WhyNotFields(type, hidden, "Put [JsonInclude] on it, or [JsonIgnore] where it may be forgotten");
    }

    /// <summary>A collection has to be one that the serializer fills again, in the same order, and must have nothing beside its elements.</summary>
    private string? WhyNotCollection(Type type, string empty)
    {
        try
        {
            JsonSerializer.Deserialize(empty, type, options);
        }
        catch (NotSupportedException)
        {
            return $"{TypeName.Of(type)} is written but cannot be read back: the JSON serializer has no way to fill it";
        }
        catch (Exception error)
        {
            return $"{TypeName.Of(type)} cannot be read back: {error.Message.TrimEnd('.')}";
        }

        if (_trial.ChangesElements(type))
        {
            return $"{TypeName.Of(type)} does not come back with the same elements in the same order";
        }

        FieldInfo[] own = [.. Fields(type).Where(field => !IsOfTheFramework(field.DeclaringType!) && !IsIgnored(field))];
        return own.Length == 0 || IsOfTheFramework(type) || type.IsArray
            ? null
            : WhyNotFields(type, own, "JSON writes only the elements of a collection: put [JsonIgnore] on it if it may be lost");
    }

    /// <summary>Fields that are not written have to come back by something else that is.</summary>
    private string? WhyNotFields(Type type, IReadOnlyList<FieldInfo> fields, string wayOut)
    {
        string name = TypeName.Of(type);
        FieldInfo? lost;
        try
        {
            lost = _trial.Lost(type, [.. Fields(type).Where(field => !IsOfTheFramework(field.DeclaringType!) || IsOfTheFramework(type))], fields);
        }
        catch (Exception)
        {
            // Constructors, getters and setters of the user's may throw anything at made-up values.
            return $"{name} keeps something in the field '{Shown(fields[0])}', of which it cannot be told whether it comes back. {wayOut}";
        }

        return lost is null ? null : $"{name} keeps something in the field '{Shown(lost)}', which is not written. {wayOut}";
    }

    /// <summary>A member that is left out at its type's default has to be made with that default.</summary>
    private string? WhyNotLeftOut(string name, JsonTypeInfo info, JsonPropertyInfo property)
    {
        JsonIgnoreCondition condition = (property.AttributeProvider as MemberInfo)?.GetCustomAttribute<JsonIgnoreAttribute>()?.Condition ?? options.DefaultIgnoreCondition;
        if (condition is not (JsonIgnoreCondition.WhenWritingDefault or JsonIgnoreCondition.WhenWritingNull) || property.Get is null)
        {
            return null;
        }

        object? left = property.PropertyType.IsValueType ? RuntimeHelpers.GetUninitializedObject(property.PropertyType) : null;
        if (condition == JsonIgnoreCondition.WhenWritingNull && (left is not null && Nullable.GetUnderlyingType(property.PropertyType) is null))
        {
            return null;
        }

        left = Nullable.GetUnderlyingType(property.PropertyType) is null ? left : null;
        try
        {
            object? made = JsonSerializer.Deserialize("{}", info);
            return made is null || Equals(property.Get(made), left) ? null : $"{name}.{property.Name} is left out when it is {left ?? "null"}, and comes back as {property.Get(made)}";
        }
        catch (Exception)
        {
            // As above: it is the user's code.
            return $"{name}.{property.Name} is left out when it is {left ?? "null"}, and it cannot be told as what it comes back";
        }
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

    /// <summary>Whether the user says that a field, or the property that it is of, may be forgotten.</summary>
    private static bool IsIgnored(FieldInfo field) =>
        (PropertyOf(field) ?? (MemberInfo)field).GetCustomAttribute<JsonIgnoreAttribute>() is { Condition: JsonIgnoreCondition.Always };

    private static bool IsOfTheFramework(Type type) => type.Assembly.GetName().Name is { } name && name.StartsWith("System.", StringComparison.Ordinal);

    private static string Shown(FieldInfo field) => PropertyOf(field)?.Name ?? field.Name;

    private static bool IsAuto(PropertyInfo property) => property.DeclaringType!.GetField($"<{property.Name}>k__BackingField", OwnMembers) is not null;
}
