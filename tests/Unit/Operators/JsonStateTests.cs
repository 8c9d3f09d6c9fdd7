using System.Collections.Immutable;
using System.Text.Json.Serialization;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>States by JSON come back as they were, or the step fails before anything of it is committed.</summary>
public class JsonStateTests
{
    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");
    private static readonly KeyedTopic<string, string> Out = Topic.Keyed<string, string>("out");

    [Fact]
    public void AComparerThatWouldBeForgottenIsRefused()
    {
        Fails(() => new Dictionary<string, int>(StringComparer.OrdinalIgnoreCase) { ["ann"] = 1 }, "a Dictionary<string, int> has a comparer of its own");
        Fails(() => new HashSet<string>(StringComparer.OrdinalIgnoreCase) { "ann" }, "a HashSet<string> has a comparer of its own");
        Fails(() => ImmutableDictionary.Create<string, int>(StringComparer.OrdinalIgnoreCase).Add("ann", 1), "an ImmutableDictionary<string, int> has a comparer of its own (OrdinalIgnoreCaseComparer), which JSON does not keep. Name a serde for it.");
        Fails(() => new SortedDictionary<string, int>(StringComparer.Ordinal) { ["ann"] = 1 }, "has a comparer of its own");
        Fails(() => new SortedSet<int>(Comparer<int>.Create((x, y) => y.CompareTo(x))) { 1, 2 }, "has a comparer of its own");
        Fails<IDictionary<string, int>>(() => new SortedDictionary<string, int> { ["b"] = 1, ["a"] = 2 }, "a SortedDictionary<string, int> has a comparer of its own");
        Fails(() => new Holder([], new HashSet<string>(StringComparer.OrdinalIgnoreCase)), "a HashSet<string> has a comparer of its own");
    }

    [Fact]
    public void AComparerThatComesBackIsTaken()
    {
        ComesBack(() => new Dictionary<string, int>(StringComparer.Ordinal) { ["ann"] = 1 }, names => $"{names.ContainsKey("ANN")}");
        ComesBack(() => new IgnoringCase { ["ann"] = 1 }, names => $"{names.ContainsKey("ANN")}");
        ComesBack(() => new Descending { 1, 2, 3 }, numbers => string.Join(",", numbers));
        ComesBack<ISet<int>>(() => new HashSet<int> { 3, 1 }, numbers => string.Join(",", numbers));
        ComesBack<IReadOnlyList<int>>(() => new[] { 3, 1 }, numbers => string.Join(",", numbers));
        ComesBack(() => ImmutableSortedSet.Create(3, 1), numbers => string.Join(",", numbers));
    }

    [Fact]
    public void AValueOfADerivedTypeIsRefused()
    {
        Fails(() => new List<Animal> { new Dog("rex", 3) }, "a Dog is where the type says Animal");
        Fails<Animal>(() => new Dog("rex", 3), "a Dog is where the type says Animal");
        Fails(() => new Holder([new Dog("rex", 3)], []), "a Dog is where the type says Animal");
        Fails<List<int>>(() => new Numbers { 1 }, "a Numbers is where the type says List<int>");
        ComesBack(() => new List<Animal> { new("rex") }, animals => $"{animals[0]}");
        ComesBack(() => new List<Shape> { new Circle(2) }, shapes => $"{shapes[0]}");
    }

    [Fact]
    public void HalfACharacterIsRefused()
    {
        Fails(() => new List<string> { "ab\U0001F600"[..3] }, "half a surrogate pair at position 2");
        Fails(() => new Dictionary<string, int> { ["\U0001F600"[1..]] = 1 }, "half a surrogate pair at position 0");
        ComesBack(() => new List<string> { "ab\U0001F600", "\u00E9" }, texts => string.Join(",", texts));
    }

    [Fact]
    public void WhatCrossesATopicOfTheEngineIsLookedAtToo()
    {
        Dataflow flow = new("travel");
        flow.Input("in", In).MapValue("dogs", Animal (n) => new Dog("rex", n)).Repartition("far").MapValue("show", animal => $"{animal}").Output("out", Out);
        using FlowDriver driver = new(flow);
        driver.Push(In, "k", 1);
        Exception error = Assert.ThrowsAny<Exception>(() => driver.Run());
        Assert.Contains("a Dog is where the type says Animal", error.ToString(), StringComparison.Ordinal);
    }

    private static void ComesBack<T>(Func<T> make, Func<T, string> show)
        where T : class
    {
        using FlowDriver driver = new(Flow(make, show));
        driver.Push(In, "k", 1);
        driver.Run();
        driver.Crash();
        driver.Restart();
        driver.Push(In, "k", 2);
        driver.Run();
        string[] shown = [.. driver.Outputs(Out).Select(record => record.Value)];
        Assert.Equal([shown[0], shown[0]], shown);
    }

    private static void Fails<T>(Func<T> make, string why)
        where T : class
    {
        using FlowDriver driver = new(Flow(make, _ => ""));
        driver.Push(In, "k", 1);
        StreamException error = Assert.Throws<StreamException>(() => driver.Run());
        Assert.Contains("failed to save the state of key 'k'", error.Message, StringComparison.Ordinal);
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Empty(driver.Outputs(Out));
    }

    private static Dataflow Flow<T>(Func<T> make, Func<T, string> show)
        where T : class
    {
        Dataflow flow = new("states");
        flow.Input("in", In).StatefulMap<T, string>("state", (ref T? state, int _) => show(state ??= make())).Output("out", Out);
        return flow;
    }

    private record Animal(string Name);

    private sealed record Dog(string Name, int Age) : Animal(Name);

    [JsonDerivedType(typeof(Circle), "circle")]
    private record Shape;

    private sealed record Circle(double Radius) : Shape;

    private sealed record Holder(List<Animal> Animals, HashSet<string> Names);

    private sealed class IgnoringCase() : Dictionary<string, int>(StringComparer.OrdinalIgnoreCase);

    private sealed class Descending() : SortedSet<int>(new Reverse());

    private sealed class Numbers : List<int>;

    private sealed class Reverse : IComparer<int>
    {
        public int Compare(int x, int y) => y.CompareTo(x);
    }
}
