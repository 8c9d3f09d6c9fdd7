using BenchmarkDotNet.Attributes;

namespace KStreamSharp.Tests.Benchmarks;

/// <summary>Time per record through a flow on the embedded broker, commits included.</summary>
[MemoryDiagnoser]
public class RecordPath
{
    private const int Records = 100_000;
    private const int RecordsPerTurn = 1_000;
    private const int TurnsPerCommit = 10;

    private Workload _workload = null!;

    [ParamsSource(nameof(Names))]
    public string Name { get; set; } = "";

    public static IEnumerable<string> Names => Workload.All.Keys;

    [GlobalSetup]
    public void Start() => _workload = Workload.All[Name]();

    [IterationSetup]
    public void Push() => _workload.Push(Records);

    [Benchmark(OperationsPerInvoke = Records)]
    public void Record()
    {
        for (int turn = 1; turn <= Records / RecordsPerTurn; turn++)
        {
            _workload.Turn();
            if (turn % TurnsPerCommit == 0)
            {
                _workload.Commit();
            }
        }
    }

    [GlobalCleanup]
    public void Stop() => _workload.Dispose();
}
