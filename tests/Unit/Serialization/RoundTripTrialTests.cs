using System.Collections;
using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Collections.ObjectModel;
using System.Text.Json;
using System.Text.Json.Serialization;
using Xunit;

namespace KStreamSharp.Tests.Serialization;

/// <summary>Where the type alone does not tell whether values come back, it is tried; what cannot be shown to come back is refused.</summary>
public class RoundTripTrialTests
{
    [Fact]
    public void CollectionsThatCannotBeFilledAgainAreRefused()
    {
        Refuses<FrozenDictionary<string, int>>("FrozenDictionary<string, int> is written but cannot be read back");
        Refuses<FrozenSet<string>>("FrozenSet<string> is written but cannot be read back");
        Refuses<WithFrozen>("FrozenSet<string> is written but cannot be read back");
        Refuses<ReadOnlyCollection<int>>("ReadOnlyCollection<int> is written but cannot be read back");
        Refuses<ReadOnlyDictionary<string, int>>("cannot be read back");
        Refuses<IReadOnlySet<int>>("cannot be read back");
        Refuses<ILookup<int, int>>("cannot be read back");
        Refuses<BlockingCollection<int>>("cannot be read back");
        Refuses<ArraySegment<int>>("cannot be read back");
        Refuses<WithAddOnly>("WithAddOnly is written but cannot be read back");
    }

    [Fact]
    public void CollectionsThatAreFilledAgainAreTaken()
    {
        Takes<LinkedList<int>>();
        Takes<ISet<string>>();
        Takes<IDictionary<string, int[]>>();
        Takes<ImmutableSortedDictionary<string, ImmutableList<double>>>();
        Takes<ConcurrentDictionary<Guid, ConcurrentQueue<DateTimeOffset>>>();
        Takes<OrderedDictionary<string, WithFieldsBehindProperties>>();
        Takes<ObservableCollection<(int, string)>>();
        Takes<SortedSet<DateOnly>>();
        Takes<Lower>();
        Takes<OwnCollection>();
    }

    [Fact]
    public void CollectionsWithSomethingBesideTheirElementsAreRefused()
    {
        Refuses<OwnedList>("OwnedList keeps something in the field 'Owner', which is not written. JSON writes only the elements of a collection: put [JsonIgnore] on it if it may be lost");
        Refuses<OwnedDictionary>("OwnedDictionary keeps something in the field '_owner'");
        Refuses<Dictionary<string, OwnedList>>("'Owner'");
        Refuses<BackwardsCollection>("does not come back with the same elements in the same order");
        Takes<ListWithACache>();
    }

    [Fact]
    public void FieldsHaveToComeBackEachOfThem()
    {
        Refuses<HalfHidden>("HalfHidden keeps something in the field '_sum'");
        Refuses<SetterThatForgets>("SetterThatForgets keeps something in the field '_seen'");
        Refuses<ThrowsAtMadeUpValues>("ThrowsAtMadeUpValues keeps something in the field '_items', of which it cannot be told");
        Refuses<WithAFunction>("WithAFunction keeps something in the field '_clock', of which it cannot be told");
        Takes<WithFieldsBehindProperties>();
        Takes<SetterThatNormalizes>();
        Takes<ForgetsKnowingly>();
        Takes<Tuple<int, string>>();
    }

    [Fact]
    public void MembersThatAreLeftOutAtTheirDefaultMustBeMadeWithIt()
    {
        Refuses<LeftOutAtZero>("LeftOutAtZero.Retries is left out when it is 0, and comes back as 3");
        Refuses<LeftOutParameter>("LeftOutParameter.Name is left out when it is null, and comes back as none");
        Takes<LeftOutAndMadeSo>();
        JsonSerializerOptions options = new() { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault };
        Assert.Contains("Retries", Serde.Json<Retrying>(options).WhyNotRoundTrip(), StringComparison.Ordinal);
    }

    private static void Takes<T>() => Assert.Null(Serde.For<T>().WhyNotRoundTrip());

    private static void Refuses<T>(string why)
    {
        string? reason = Serde.For<T>().WhyNotRoundTrip();
        Assert.True(reason is not null, $"{typeof(T)} was taken");
        Assert.Contains(why, reason, StringComparison.Ordinal);
    }

#pragma warning disable CA1822, CS0414, IDE0044, IDE0051, IDE0052, CA1823, CS0169, CS0649, CA1812
    private sealed record WithFrozen(FrozenSet<string> Names);

    private sealed class WithAddOnly : IEnumerable<int>
    {
        private readonly List<int> _items = [];

        public void Add(int item) => _items.Add(item);

        public IEnumerator<int> GetEnumerator() => _items.GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }

    private sealed class Lower() : Dictionary<string, int>(StringComparer.OrdinalIgnoreCase);

    private class OwnCollection : ICollection<int>
    {
        private readonly List<int> _items = [];

        public int Count => _items.Count;

        public bool IsReadOnly => false;

        public virtual void Add(int item) => _items.Add(item);

        public void Clear() => _items.Clear();

        public bool Contains(int item) => _items.Contains(item);

        public void CopyTo(int[] array, int arrayIndex) => _items.CopyTo(array, arrayIndex);

        public bool Remove(int item) => _items.Remove(item);

        public IEnumerator<int> GetEnumerator() => _items.GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

        protected void AddFirst(int item) => _items.Insert(0, item);
    }

    private sealed class BackwardsCollection : OwnCollection
    {
        public override void Add(int item) => AddFirst(item);
    }

    private sealed class OwnedList : List<int>
    {
        public string Owner { get; set; } = "";
    }

    private sealed class OwnedDictionary : Dictionary<string, int>
    {
        private string _owner = "";

        public void SetOwner(string owner) => _owner = owner;
    }

    private sealed class ListWithACache : List<int>
    {
        [JsonIgnore]
        private int _sum;
    }

    private sealed class HalfHidden
    {
        private int _n;
        private int _sum;

        public int N
        {
            get => _n;
            set => _n = value;
        }

        public void Add(int value) => (_n, _sum) = (_n + 1, _sum + value);
    }

    private sealed class SetterThatForgets
    {
        private readonly Dictionary<string, int> _seen = [];

        public int Count
        {
            get => _seen.Count;
            set { }
        }
    }

    private sealed class ThrowsAtMadeUpValues
    {
        private int[] _items = new int[8];
        private int _count;

        public int[] Items
        {
            get => _count > 0 ? _items[..100] : [];
            set => _items = value;
        }
    }

    private sealed class WithAFunction
    {
        private readonly Func<int> _clock = () => 1;
        private int _n;

        public int N
        {
            get => _n;
            set => _n = value;
        }
    }

    private sealed class WithFieldsBehindProperties
    {
        private int _count;
        private List<string> _names = [];

        public int Count
        {
            get => _count;
            set => _count = Math.Max(0, value);
        }

        public IReadOnlyList<string> Names
        {
            get => _names;
            set => _names = [.. value];
        }
    }

    private sealed class SetterThatNormalizes
    {
        private string _name = "";

        public string Name
        {
            get => _name;
            set => _name = value.ToUpperInvariant();
        }
    }

    private sealed class ForgetsKnowingly
    {
        [JsonIgnore]
        private readonly Func<int> _clock = () => 1;

        [JsonInclude]
        private int _n;
    }

    private sealed class LeftOutAtZero
    {
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
        public int Retries { get; set; } = 3;
    }

    private sealed record LeftOutParameter([property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Name = "none");

    private sealed record LeftOutAndMadeSo([property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Name)
    {
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
        public int Retries { get; set; }
    }

    private sealed class Retrying
    {
        public int Retries { get; set; } = 3;
    }
#pragma warning restore
}
