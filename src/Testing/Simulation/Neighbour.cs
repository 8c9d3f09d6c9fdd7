using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace KStreamSharp.Testing;

/// <summary>
/// A second application on the broker of the first: it counts the records of each key, behind a repartition. Where its names
/// join with each other like those of the first, it must be refused; else neither may notice the other.
/// </summary>
internal sealed class Neighbour : IDisposable
{
    private const string RepartitionEnd = ".repartition";
    private const int Keys = 5;

    private readonly Cluster _cluster;
    private readonly Action<string> _count;
    private readonly KeyedTopic<string, int> _input;
    private readonly KeyedTopic<string, int> _output;
    private readonly bool _isAlike;
    private int _pushed;
    private bool _isRefused;

    public Neighbour(Cluster first, Func<StreamOptions, StreamOptions> adjust, int number, Action<string> count)
    {
        _count = count;
        string app = first.Flow.Id;
        string[] alike =
        [
            .. from other in first.Flow.Steps
               where other.IsRepartition && other.Id.EndsWith(RepartitionEnd, StringComparison.Ordinal)
               where other.Id.IndexOf('-', StringComparison.Ordinal) > 0
               select other.Id[..^RepartitionEnd.Length],
        ];
        _isAlike = alike.Length > 0 && number % 4 != 0;
        string step = _isAlike ? alike[number % alike.Length] : "neighbour-count";
        int dash = step.IndexOf('-', StringComparison.Ordinal);
        string name = $"{app}-{step[..dash]}";
        _input = Topic.Keyed<string, int>($"{name}.in");
        _output = Topic.Keyed<string, int>($"{name}.out");
        Dataflow flow = new(name);
        flow.Input("neighbour-input", _input)
            .KeyOn("neighbour-key", (key, _) => key[1..])
            .StatefulMap(step[(dash + 1)..], (ref int? all, int _) => all = (all ?? 0) + 1)
            .MapValue("neighbour-value", all => all!.Value)
            .Output("neighbour-output", _output);
        _cluster = new Cluster(flow, first)
        {
            Adjust = options => adjust(options) with { Snapshots = null, StoreFaults = null },
            Steps = first.Steps,
            Between = first.Between,
            RecordsPerTurnMax = first.RecordsPerTurnMax,
            EngineClock = first.EngineClock,
            MayEndBy = (_, error) => _isAlike && IsRefusal(error, app),
        };
        _cluster.HasEndedBy = (_, _) =>
        {
            _isRefused = true;
            count("Neighbour: refused, its names join like those of the first");
        };
        Push(number);
        _cluster.Add("neighbour");
        CountStart();
    }

    /// <summary>Its memberships go on while code takes time.</summary>
    public void TurnMemberships() => _cluster.Members.ForEach(member => member.TurnPart(0));

    /// <summary>What happens to it beside an event of the first: records come, it crashes, it starts again.</summary>
    public void Live(in SimulationEvent e)
    {
        Cluster.Member member = _cluster.Members[0];
        switch ((e.A + e.D) % 40)
        {
            case < 6:
                Push(e.B);
                break;
            case < 24:
                member.Turn();
                break;
            case 24 when member is { IsUp: true, IsBusy: false }:
                _count("Neighbour: crashes");
                member.Crash();
                break;
            case < 30 when !member.IsUp:
                Open(member);
                break;
            default:
                break;
        }
    }

    /// <summary>Brings it to where its input ends, and looks at what it has put out.</summary>
    public void CheckEnd()
    {
        Cluster.Member member = _cluster.Members[0];
        if (!member.IsUp)
        {
            Open(member);
        }

        if (_isRefused && !member.IsUp)
        {
            return;
        }

        Dictionary<string, int> expected = _cluster.Broker.ReadAll(_input.Name)
            .GroupBy(record => Encoding.UTF8.GetString(record.Key!)[1..])
            .ToDictionary(group => group.Key, group => group.Count());
        _cluster.Until(
            () => Counts().Values.Sum(counts => counts.Distinct().Count()) >= expected.Values.Sum(),
            $"application '{_cluster.Flow.Id}' has counted all");
        foreach ((string key, List<int> counts) in Counts())
        {
            IEnumerable<int> all = _cluster.Guarantee == Guarantee.AtLeastOnce ? counts.Distinct().Order() : counts;
            if (!all.SequenceEqual(Enumerable.Range(1, expected.GetValueOrDefault(key))))
            {
                throw new SimulationBreach(
                    $"application '{_cluster.Flow.Id}' has counted {string.Join(", ", counts)} for key {key}, "
                    + $"there are {expected.GetValueOrDefault(key)} records");
            }
        }

        _count("Neighbour: its outputs compared with its inputs");
    }

    public void Dispose() => _cluster.Dispose();

    private static bool IsRefusal(StreamException error, string owner) =>
        error.Code == ExitCode.Usage
        && (error.Message.Contains($"belongs to application '{owner}'", StringComparison.Ordinal)
            || error.Message.Contains("has records that application", StringComparison.Ordinal));

    private void Open(Cluster.Member member)
    {
        member.Open();
        CountStart();
    }

    private void CountStart()
    {
        if (_cluster.Members[0].IsUp)
        {
            _count(_isAlike ? "Neighbour: starts, though its names join like those of the first" : "Neighbour: starts");
        }
    }

    private Dictionary<string, List<int>> Counts() => _cluster.Outputs(_output)
        .GroupBy(output => output.Key, output => output.Value)
        .ToDictionary(group => group.Key, group => group.ToList());

    private void Push(int number)
    {
        byte[] value = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(value, _pushed++);
        string key = string.Create(CultureInfo.InvariantCulture, $"{(char)('a' + (number % Keys))}{number % 7 % 3}");
        _cluster.Broker.Produce(_input.Name, Encoding.UTF8.GetBytes(key), value);
    }
}
