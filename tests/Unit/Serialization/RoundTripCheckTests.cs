using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Numerics;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Xunit;

namespace KStreamSharp.Tests.Serialization;

/// <summary>Types that would lose something on their way through JSON are refused when the flow is built; the others are not.</summary>
public class RoundTripCheckTests
{
    [Fact]
    public void WhatComesBackIsTaken()
    {
        Takes<int>();
        Takes<string>();
        Takes<byte[]>();
        Takes<decimal>();
        Takes<DateTimeOffset?>();
        Takes<Uri>();
        Takes<DayOfWeek>();
        Takes<JsonNode>();
        Takes<(int, string?, List<double>)>();
        Takes<(int, int, int, int, int, int, int, int, int)>();
        Takes<KeyValuePair<string, int>>();
        Takes<List<(int, string)?>>();
        Takes<int[][]>();
        Takes<HashSet<string>>();
        Takes<Queue<int>>();
        Takes<IReadOnlyList<int>>();
        Takes<ImmutableArray<int>>();
        Takes<Dictionary<string, Dictionary<int, Guid>>>();
        Takes<Dictionary<DayOfWeek, DateTimeOffset>>();
        Takes<Record>();
        Takes<WithComputed>();
        Takes<Tree>();
        Takes<Struct>();
        Takes<PublicFields>();
        Takes<WithOwnAccessors>();
        Takes<PrimaryConstructor>();
        Takes<Ignoring>();
        Takes<Included>();
        Takes<Shape>();
        Takes<Derived>();
    }

    [Fact]
    public void WhatWouldLoseSomethingIsRefused()
    {
        Refuses<object>("comes back as a JsonElement");
        Refuses<List<object>>("comes back as a JsonElement");
        Refuses<Dictionary<string, object>>("comes back as a JsonElement");
        Refuses<Stack<int>>("Stack<int> comes back in another order");
        Refuses<ConcurrentStack<int>>("comes back in another order");
        Refuses<ImmutableStack<int>>("comes back in another order");
        Refuses<Func<int>>("cannot be written as JSON");
        Refuses<Type>("cannot be written as JSON");
        Refuses<nint>("cannot be written as JSON");
        Refuses<GetOnly>("GetOnly.Count is written but cannot be read back");
        Refuses<PrivateSet>("PrivateSet.Count is written but cannot be read back");
        Refuses<ReadonlyField>("ReadonlyField.Count is written but cannot be read back");
        Refuses<PrivateField>("PrivateField keeps something in the field '_count'");
        Refuses<PrivateProperty>("PrivateProperty.Count is not written");
        Refuses<GetterOfAField>("GetterOfAField.Count is written but cannot be read back");
        Refuses<DerivedOfHidden>("_count");
        Refuses<List<PrivateField>>("'_count'");
        Refuses<(int, Dictionary<string, PrivateField?>)>("'_count'");
        Refuses<Outer>("'_count'");
        Refuses<NoConstructor>("no constructor that the JSON serializer can use");
        Refuses<System.IO.Stream>("no constructor that the JSON serializer can use");
        Refuses<BigInteger>("");
        Refuses<StringBuilder>("");
        Refuses<PriorityQueue<int, int>>("");
        Refuses<Dictionary<(int, int), int>>("(int, int) cannot be the key of a JSON object");
        Refuses<Dictionary<Record, int>>("Record cannot be the key of a JSON object");
        Refuses<int[,]>("");
    }

    [Fact]
    public void FieldsNeedTheirOption()
    {
        Serde<(int, int)> web = Serde.Json<(int, int)>(new System.Text.Json.JsonSerializerOptions { TypeInfoResolver = new System.Text.Json.Serialization.Metadata.DefaultJsonTypeInfoResolver() });
        Assert.Contains("Item1", web.WhyNotRoundTrip(), StringComparison.Ordinal);
    }

    private static void Takes<T>() => Assert.Null(Serde.For<T>().WhyNotRoundTrip());

    private static void Refuses<T>(string why)
    {
        string? reason = Serde.For<T>().WhyNotRoundTrip();
        Assert.True(reason is not null, $"{typeof(T)} was taken");
        Assert.Contains(why, reason, StringComparison.Ordinal);
    }

#pragma warning disable CA1822, CS0414, IDE0044, IDE0051, IDE0052, CA1823, CS0169, CS0649
    private sealed record Record(string Name, int? Count)
    {
        public List<string> Tags { get; init; } = [];
    }

    private sealed record WithComputed(int Count, decimal Price)
    {
        public decimal Total => Count * Price;

        public bool IsFree => Price == 0;
    }

    private sealed class Tree
    {
        public int Value { get; set; }

        public List<Tree>? Children { get; set; }
    }

    private struct Struct
    {
        public int X { get; set; }

        public int? Y;
    }

    private sealed class PublicFields
    {
        public int Count;
    }

    private sealed class WithOwnAccessors
    {
        private int _count;

        public int Count
        {
            get => _count;
            set => _count = Math.Max(0, value);
        }
    }

    private sealed class PrimaryConstructor(int count)
    {
        public int Count => count;
    }

    private sealed class Ignoring
    {
        [JsonIgnore]
        private int _cached;

        [JsonIgnore]
        public int Cached { get; set; }

        public int Count { get; set; }
    }

    private sealed class Included
    {
        [JsonInclude]
        private int _count;

        [JsonInclude]
        public int Total { get; private set; }
    }

    [JsonDerivedType(typeof(Circle), "circle")]
    private abstract record Shape;

    private sealed record Circle(double Radius) : Shape;

    private sealed record Derived(int Count, string Name) : Base(Count);

    private record Base(int Count);

    private sealed class GetOnly
    {
        public int Count { get; }
    }

    private sealed class PrivateSet
    {
        public int Count { get; private set; }
    }

    private sealed class ReadonlyField
    {
        public readonly int Count;
    }

    private class PrivateField
    {
        private int _count;

        public void Add() => _count++;
    }

    private sealed class PrivateProperty
    {
        public string Name { get; set; } = "";

        private int Count { get; set; }
    }

    private sealed class GetterOfAField
    {
        private int _count;

        public int Count => _count;
    }

    private sealed class DerivedOfHidden : PrivateField
    {
        public int Other { get; set; }
    }

    private sealed class Outer
    {
        public PrivateField? Inner { get; set; }
    }

    private sealed class NoConstructor
    {
        private NoConstructor()
        {
        }

        public static NoConstructor One { get; } = new();

        public int Count { get; set; }
    }
#pragma warning restore
}
