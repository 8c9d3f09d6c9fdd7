using System.Buffers.Binary;
using KStreamSharp.Testing;

namespace KStreamSharp.Tests.Benchmarks;

/// <summary>A flow over numbers (its own items cost no memory) that is driven turn by turn.</summary>
public sealed class Workload : IDisposable
{
    private const int KeyCount = 1_000;

    private static readonly KeyedTopic<long, long> Input = Topic.Keyed<long, long>("input");
    private static readonly KeyedTopic<long, long> Output = Topic.Keyed<long, long>("output");

    private readonly FlowDriver _driver;
    private long _pushed;

    private Workload(Action<KeyedStream<long, long>> steps)
    {
        Dataflow flow = new("workload");
        steps(flow.Input("in", Input));
        _driver = new FlowDriver(flow);
    }

    /// <summary>The workloads by name: nothing written, so that what is seen is the engine's alone; then with an output.</summary>
    public static IReadOnlyDictionary<string, Func<Workload>> All { get; } = new Dictionary<string, Func<Workload>>
    {
        ["map"] = () => new(input => See(Map(input))),
        ["count"] = () => new(input => See(Count(input))),
        ["map, output"] = () => new(input => Map(input).Output("out", Output)),
        ["count, output"] = () => new(input => Count(input).Output("out", Output)),
    };

    /// <summary>Appends records to the input, keys in an order that is mixed and always the same.</summary>
    public void Push(int records)
    {
        byte[] value = new byte[sizeof(long)];
        for (int i = 0; i < records; i++, _pushed++)
        {
            byte[] key = new byte[sizeof(long)];
            BinaryPrimitives.WriteInt64BigEndian(key, _pushed * 7919 % KeyCount);
            _driver.PushBytes(Input.Name, key, value);
        }
    }

    /// <summary>A turn: up to 1,000 records through the flow.</summary>
    public void Turn() => _driver.Turn();

    public void Commit() => _driver.Commit();

    public void Dispose() => _driver.Dispose();

    private static KeyedStream<long, long> Map(KeyedStream<long, long> input) => input.MapValue("map", static value => value + 1);

    private static KeyedStream<long, long> Count(KeyedStream<long, long> input) =>
        input.StatefulMap("count", static (ref long? count, long _) => (count = (count ?? 0) + 1).Value);

    private static void See(KeyedStream<long, long> stream) => stream.Inspect("see", static (_, _, _) => { });
}
