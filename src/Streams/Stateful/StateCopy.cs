using System.Buffers;
using System.Collections.Concurrent;
using System.Reflection;

namespace KStreamSharp;

/// <summary>
/// What a step puts out may be its state itself, which its next calls change. Whoever keeps what was put out, a batch or the
/// state of a step behind it, would see that, and only until one of the two is read back from the store. So a copy goes out
/// instead, made as a restart would make it: by the serde of the state.
/// </summary>
internal static class StateCopy
{
    private static readonly ConcurrentDictionary<Type, bool> CanChangeByType = new();

    /// <summary>
    /// Whether an object of a type can be changed: not a string, a value type, or a class all of whose fields are read-only
    /// and of types that cannot be changed either. A list, an array, or anything else can.
    /// </summary>
    public static bool CanChange(Type type) => CanChangeByType.GetOrAdd(type, static type => CanChange(type, isExact: true, []));

    /// <summary>A value that is put out, or a copy of it when it is the state itself and can be changed.</summary>
    public static TOut Apart<TState, TOut>(TOut value, TState state, Serde<TState> serde, in SerdeContext context)
    {
        if (!ReferenceEquals(value, state) || value is null || !CanChange(value.GetType()))
        {
            return value;
        }

        ArrayBufferWriter<byte> buffer = new();
        serde.Serialize(state, buffer, context);
        TState copy = serde.Deserialize(buffer.WrittenSpan, context);
        return copy is TOut made
            ? made
            : throw new InvalidOperationException($"the state is put out as {TypeName.Of(typeof(TOut))}, and its serde gives it back as {(copy is null ? "null" : TypeName.Of(copy.GetType()))}");
    }

    private static bool CanChange(Type type, bool isExact, HashSet<Type> seen)
    {
        if (type == typeof(string) || type.IsPrimitive || type.IsEnum || (isExact && type.IsValueType))
        {
            // A value that is boxed is taken out by a copy.
            return false;
        }

        // What is declared as a class that others derive from may be one of those.
        if (type.IsArray || type.IsInterface || type.IsPointer || (!isExact && !type.IsSealed))
        {
            return true;
        }

        return seen.Add(type) && FieldsOf(type).Any(field => (!field.IsInitOnly && !type.IsValueType) || CanChange(field.FieldType, isExact: false, seen));
    }

    private static IEnumerable<FieldInfo> FieldsOf(Type type)
    {
        for (Type? declaring = type; declaring is not null; declaring = declaring.BaseType)
        {
            foreach (FieldInfo field in declaring.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
            {
                yield return field;
            }
        }
    }
}

/// <summary>Whether a step of certain types can put out its state at all: known when the code is compiled.</summary>
internal static class StateCopy<TState, TOut>
{
    public static readonly bool IsPossible = !typeof(TState).IsValueType && !typeof(TOut).IsValueType && typeof(TState) != typeof(string) && typeof(TOut) != typeof(string);
}

/// <summary>A logic that knows what its state is.</summary>
internal interface IStateOwner<TOut>
{
    /// <summary>A value that is put out, or a copy of it when it is the state itself.</summary>
    TOut Apart(TOut value, in SerdeContext context);
}
