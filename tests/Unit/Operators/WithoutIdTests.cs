using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>Steps that keep nothing need no id; what is stored is never named after a made one.</summary>
public class WithoutIdTests
{
    private static readonly ValueTopic<string> Lines = Topic.Values<string>("lines");
    private static readonly KeyedTopic<string, int> Numbers = Topic.Keyed<string, int>("numbers");
    private static readonly KeyedTopic<string, long> Counts = Topic.Keyed<string, long>("counts");

    [Fact]
    public void EveryStepWithoutStateGoesWithoutId()
    {
        Dataflow flow = new("plain");
        Stream<string> words = flow.Input("lines", Lines).Map(line => line.Split(' ')).Flatten().Filter(word => word.Length > 0);
        (Stream<string> longs, Stream<string> shorts) = words.Branch(word => word.Length > 3);
        Stream<string> all = longs.FlatMap(word => new[] { word, word }).Merge(shorts, words.FlatMapBatch(_ => Array.Empty<string>()));
        KeyedStream<string, int> lengths = all
            .EnrichCached<string, int, (string Word, int Length)>(word => word.Length, (cache, word) => (word, cache.Get(word)))
            .KeyOn(pair => pair.Word)
            .MapValue(pair => pair.Length)
            .FilterValue(length => length < 9)
            .FilterMapValue(length => length == 8 ? null : (int?)length)
            .FlatMapValue(length => new[] { length })
            .Filter((word, _) => word != "skip");
        (KeyedStream<string, int> a, KeyedStream<string, int> rest) = lengths.Branch((word, _) => word[0] == 'a');
        rest.KeyOn((word, _) => word.ToUpperInvariant()).Merge(a).Output("numbers", Numbers);
        a.KeyRemove().FilterMap(length => length > 5 ? $"{length}" : null).Output("long", Topic.Values<string>("long"));
        a.FlatMap((word, length) => new[] { $"{word}{length}" }).Merge(a.Map((word, _) => word), a.FilterMap((word, _) => word == "" ? word : null))
            .Output("words", Topic.Values<string>("words"));

        using FlowDriver driver = new(flow);
        driver.Push(Lines, "abacus bee  skip");
        driver.Run();
        Assert.Equal([("BEE", 3), ("abacus", 6), ("abacus", 6)], driver.Pairs(Numbers).Order());
        Assert.Equal(["6", "6"], driver.Outputs(Topic.Values<string>("long")));
        Assert.Equal(["abacus", "abacus", "abacus6", "abacus6"], driver.Outputs(Topic.Values<string>("words")).Order());
    }

    [Fact]
    public void TheIdIsTheOperatorAndThePlaceAndNobodyElses()
    {
        Dataflow flow = new("ids");
        Stream<string> lines = flow.Input("lines", Lines);
        lines.Map(line => line).Filter("map-2", _ => true).Map(line => line).Raises("none");
        Assert.Equal(["lines", "map.2", "map-2", "map.4", "none"], flow.Describe().Steps.Select(step => step.Id));
        Assert.Throws<FlowException>(() => lines.Map("map.9", line => line));
    }

    /// <summary>A step more before a stateful one: what is stored keeps its name, and goes on.</summary>
    [Fact]
    public void StatesAndTopicsKeepTheirNamesWhenPlacesMove()
    {
        static Dataflow Flow(bool more)
        {
            Dataflow flow = new("moves");
            Stream<string> lines = flow.Input("lines", Lines);
            lines = more ? lines.Filter(_ => true).Map(line => line) : lines;
            lines.KeyOn(line => line).MapValue(_ => 1).StatefulMap("count", (ref long? count, int one) => (count = (count ?? 0) + one).Value).Output("counts", Counts);
            return flow;
        }

        Assert.Equal(Stored(Flow(more: false)), Stored(Flow(more: true)));
        using FlowDriver driver = new(Flow(more: false));
        driver.Push(Lines, "a");
        driver.Run();
        driver.Stop();
        driver.Restart(Flow(more: true));
        driver.Push(Lines, "a");
        driver.Run();
        Assert.Equal([("a", 1L), ("a", 2L)], driver.Pairs(Counts));

        static string[] Stored(Dataflow flow) =>
            [.. flow.Describe().Steps.Where(step => step.State is not null || step.Topic is not null).Select(step => $"{step.Id} {step.Topic}")];
    }
}
