using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace KStreamSharp;

/// <summary>Makes up values of a type, and looks what becomes of them on their way through JSON.</summary>
internal sealed class JsonTrial(JsonSerializerOptions options)
{
    private const int DepthMax = 6;

    private static readonly Dictionary<Type, object[]> Samples = new object[][]
    {
        [true, true], ['a', 'b'], ["a", "b"], [(byte)1, (byte)2], [(sbyte)1, (sbyte)2], [(short)1, (short)2], [(ushort)1, (ushort)2], [1, 2], [1u, 2u],
        [1L, 2L], [1ul, 2ul], [1f, 2f], [1d, 2d], [1m, 2m], [(Half)1, (Half)2], [(Int128)1, (Int128)2], [(UInt128)1, (UInt128)2], [new byte[] { 1 }, new byte[] { 2 }],
        [new Guid(1, 0, 0, new byte[8]), new Guid(2, 0, 0, new byte[8])], [TimeSpan.FromHours(1), TimeSpan.FromHours(2)],
        [new DateTime(2001, 1, 1, 0, 0, 0, DateTimeKind.Utc), new DateTime(2002, 1, 1, 0, 0, 0, DateTimeKind.Utc)], [DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddDays(1)],
        [new DateOnly(2001, 1, 1), new DateOnly(2002, 1, 1)], [new TimeOnly(1, 0), new TimeOnly(2, 0)], [new Uri("urn:1"), new Uri("urn:2")], [new Version(1, 0), new Version(2, 0)],
    }.ToDictionary(pair => pair[0].GetType());

    /// <summary>Whether a collection comes back with other elements, or in another order. Collections of which no sample can be made up are taken.</summary>
    public bool ChangesElements(Type type)
    {
        try
        {
            if (Text(type, 0, 0) is not { } text)
            {
                return false;
            }

            string first = JsonSerializer.Serialize(JsonSerializer.Deserialize(text, type, options), type, options);
            return first is "[]" or "{}" || JsonSerializer.Serialize(JsonSerializer.Deserialize(first, type, options), type, options) != first;
        }
        catch (Exception)
        {
            // The code of elements throws at made-up values; their own types are looked at by themselves.
            return false;
        }
    }

    /// <summary>The first of some fields whose content is gone after a way through JSON; null when all are there.</summary>
    /// <param name="type">The type that has the fields.</param>
    /// <param name="all">All fields that are filled for the trial.</param>
    /// <param name="asked">Those that are looked at.</param>
    /// <exception cref="Exception">It cannot be tried: values of the fields cannot be made up, or the type's own code throws.</exception>
    public FieldInfo? Lost(Type type, IReadOnlyList<FieldInfo> all, IReadOnlyList<FieldInfo> asked)
    {
        object before = options.GetTypeInfo(type).CreateObject?.Invoke() ?? RuntimeHelpers.GetUninitializedObject(type);
        for (int i = 0; i < all.Count; i++)
        {
            if (Text(all[i].FieldType, i, 0) is { } text)
            {
                all[i].SetValue(before, JsonSerializer.Deserialize(text, all[i].FieldType, options));
            }
            else if (asked.Contains(all[i]))
            {
                throw new NotSupportedException();
            }
        }

        object back = ThereAndBack(before, type);
        object again = ThereAndBack(back, type);
        object fresh = options.GetTypeInfo(type).CreateObject?.Invoke() ?? RuntimeHelpers.GetUninitializedObject(type);
        return asked.FirstOrDefault(field =>
        {
            string came = Show(field, back);
            // A setter may make another value of it, but must not forget it, and must leave what it made.
            return came != Show(field, before) && (came == Show(field, fresh) || came is "null" or "0" or "false" or "\"\"" or "[]" or "{}" || came != Show(field, again));
        });
    }

    private object ThereAndBack(object value, Type type) =>
        JsonSerializer.Deserialize(JsonSerializer.Serialize(value, type, options), type, options) ?? throw new NotSupportedException();

    private string Show(FieldInfo field, object of) => JsonSerializer.Serialize(field.GetValue(of), field.FieldType, options);

    /// <summary>A value of a type as JSON, not the default; null when none can be made up.</summary>
    private string? Text(Type type, int which, int depth)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (depth > DepthMax || type == typeof(object))
        {
            return null;
        }

        if (Samples.TryGetValue(type, out object[]? samples))
        {
            return JsonSerializer.Serialize(samples[which % samples.Length], type, options);
        }

        if (type.IsEnum)
        {
            Array values = Enum.GetValues(type);
            return values.Length == 0 ? null : JsonSerializer.Serialize(values.GetValue(values.Length - 1), type, options);
        }

        JsonTypeInfo info = options.GetTypeInfo(type);
        return info.Kind switch
        {
            JsonTypeInfoKind.Enumerable => Elements(info.ElementType!, depth),
            JsonTypeInfoKind.Dictionary => Entries(info.KeyType!, info.ElementType!, depth),
            JsonTypeInfoKind.Object when info.PolymorphismOptions is null => Members(info, depth),
            _ => null,
        };
    }

    private string? Elements(Type element, int depth) =>
        Text(element, 0, depth + 1) is { } first && Text(element, 1, depth + 1) is { } second ? first == second ? $"[{first}]" : $"[{first},{second}]" : null;

    private string? Entries(Type key, Type element, int depth)
    {
        string?[] keys = [Text(key, 0, depth + 1), Text(key, 1, depth + 1)];
        string?[] values = [Text(element, 0, depth + 1), Text(element, 1, depth + 1)];
        return keys.Concat(values).Contains(null)
            ? null
            : $"{{{string.Join(',', keys.Select((text, i) => string.Create(CultureInfo.InvariantCulture, $"\"{text!.Trim('"')}\":{values[i]}")).Take(keys[0] == keys[1] ? 1 : 2))}}}";
    }

    private string? Members(JsonTypeInfo info, int depth)
    {
        IEnumerable<string> members = info.Properties
            .Where(property => !property.IsExtensionData && (property.Set is not null || property.AssociatedParameter is not null))
            .Select((property, i) => (property.Name, Text: Text(property.PropertyType, i, depth + 1)))
            .Where(member => member.Text is not null)
            .Select(member => $"{JsonSerializer.Serialize(member.Name, options)}:{member.Text}");
        return $"{{{string.Join(',', members)}}}";
    }
}
