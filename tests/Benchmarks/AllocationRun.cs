using System.Globalization;

namespace KStreamSharp.Tests.Benchmarks;

/// <summary>
/// Measures the bytes that the worker's thread allocates per record, in a steady state: after a warm-up, over a million
/// records. Producing the input is left out. <em>Turn</em> is reading a batch, decoding, the steps, appending outputs, and
/// the driver's look at membership (two thirds of the constant cost of a turn); <em>commit</em> is everything that a commit
/// of 10,000 records does. Both contain what the embedded broker keeps (about 240 bytes for each record that is written, an
/// output or a changelog record), which a broker elsewhere would not allocate here: the workloads without an output show
/// the engine's own turn.
/// </summary>
internal static class AllocationRun
{
    private const int RecordsPerTurn = 1_000;
    private const int TurnsPerCommit = 10;
    private const int WarmUpCommits = 20;
    private const int Commits = 100;

    /// <param name="byType">Also show which types the bytes go to; sampled, so the shares are rough.</param>
    public static void Print(bool byType)
    {
        Console.WriteLine($"{"bytes per record",-16} {"turn",8} {"commit",8}");
        foreach ((string name, Func<Workload> make) in Workload.All)
        {
            using Workload workload = make();
            Measure(workload, WarmUpCommits, out _, out _);
            using AllocatedTypes? types = byType ? new AllocatedTypes() : null;
            Measure(workload, Commits, out long turns, out long commits);
            double records = Commits * TurnsPerCommit * RecordsPerTurn;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-16} {turns / records,8:F1} {commits / records,8:F1}"));
            types?.Print();
        }
    }

    private static void Measure(Workload workload, int commits, out long turnBytes, out long commitBytes)
    {
        turnBytes = 0;
        commitBytes = 0;
        for (int commit = 0; commit < commits; commit++)
        {
            workload.Push(TurnsPerCommit * RecordsPerTurn);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int turn = 0; turn < TurnsPerCommit; turn++)
            {
                workload.Turn();
            }

            long between = GC.GetAllocatedBytesForCurrentThread();
            workload.Commit();
            turnBytes += between - before;
            commitBytes += GC.GetAllocatedBytesForCurrentThread() - between;
        }
    }
}
