using BenchmarkDotNet.Running;
using KStreamSharp.Tests.Benchmarks;

if (args is ["alloc", ..])
{
    AllocationRun.Print(byType: args.Contains("--types"));
}
else
{
    BenchmarkSwitcher.FromAssembly(typeof(RecordPath).Assembly).Run(args);
}
