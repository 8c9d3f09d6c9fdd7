using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using KStreamSharp;
using KStreamSharp.Testing;
using KStreamSharp.Tests.Simulations;

const string Usage = "usage: [--seeds N] [--from N] [--seed N] [--shrink N] [--guarantee exactly-once|at-least-once] [--wrong LETTER]";

int seeds = 1000;
int from = 0;
int shrinkRuns = 200;
int? single = null;
Guarantee? only = null;
WrongEngine? wrong = null;
for (int i = 0; i < args.Length; i += 2)
{
    string value = i + 1 < args.Length ? args[i + 1] : "";
    bool isNumber = int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number);
    switch (args[i])
    {
        case "--seeds" when isNumber:
            seeds = number;
            break;
        case "--from" when isNumber:
            from = number;
            break;
        case "--shrink" when isNumber:
            shrinkRuns = number;
            break;
        case "--seed" when isNumber:
            single = number;
            break;
        case "--guarantee" when value is "exactly-once" or "at-least-once":
            only = value == "exactly-once" ? Guarantee.ExactlyOnce : Guarantee.AtLeastOnce;
            break;
        case "--wrong" when WrongEngines.All.TryGetValue(value, out WrongEngine? engine):
            wrong = engine;
            break;
        default:
            Console.Error.WriteLine($"'{args[i]} {value}' is not understood; {Usage}");
            return 2;
    }
}

Stopwatch watch = Stopwatch.StartNew();
SortedDictionary<string, int> faults = new(StringComparer.Ordinal);
SortedDictionary<string, int> operators = new(StringComparer.Ordinal);
int schedules = 0;
int breaches = 0;
using CancellationTokenSource found = new();
Guarantee[] guarantees = only is null ? [Guarantee.ExactlyOnce, Guarantee.AtLeastOnce] : [only.Value];
int[] numbers = single is null ? [.. Enumerable.Range(from, seeds)] : [single.Value];
IEnumerable<(Guarantee Guarantee, int Seed)> all = guarantees.SelectMany(_ => numbers, (guarantee, seed) => (guarantee, seed));
try
{
    // No two seeds share anything: as many at a time as there are cores.
    Parallel.ForEach(
        Partitioner.Create(all, EnumerablePartitionerOptions.NoBuffering),
        new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = found.Token },
        schedule => Play(schedule.Guarantee, schedule.Seed));
}
catch (OperationCanceledException)
{
    return 1;
}

Console.WriteLine($"{schedules} schedules in {watch.Elapsed.TotalSeconds:0} s, {breaches} breaches; schedules by operator:");
foreach ((string name, int count) in operators)
{
    Console.WriteLine($"{count,9}  {name}");
}

Console.WriteLine("faults by kind and step:");
foreach ((string fault, int count) in faults)
{
    Console.WriteLine($"{count,9}  {fault}");
}

return breaches == 0 ? 0 : 1;

void Play(Guarantee guarantee, int seed)
{
    Simulation simulation = RandomSimulation.Of(seed, guarantee, wrong, shrinkRuns: 0);
    SimulationReport report = simulation.Run(seed, single is null ? null : Console.WriteLine);
    if (wrong is not null && report.Breach is not null && RandomSimulation.Of(seed, guarantee, shrinkRuns: 0).Run(seed).Breach is not null)
    {
        // It is no worse than the right one here.
        return;
    }

    lock (faults)
    {
        schedules++;
        foreach (string name in simulation.Flow.Steps.Select(step => step.Operator).Distinct())
        {
            operators[name] = operators.GetValueOrDefault(name) + 1;
        }

        foreach ((string fault, int count) in report.Faults)
        {
            faults[fault] = faults.GetValueOrDefault(fault) + count;
        }

        if (report.Breach is null)
        {
            return;
        }

        breaches++;
        Console.WriteLine($"seed {seed}, {guarantee}: {report.Breach}");
        if (wrong is not null && single is null)
        {
            // One is enough to show that it is found.
            found.Cancel();
            return;
        }
    }

    if (shrinkRuns == 0)
    {
        return;
    }

    report = RandomSimulation.Of(seed, guarantee, wrong, shrinkRuns).Run(seed);
    lock (faults)
    {
        Console.WriteLine($"seed {seed}, {guarantee}: the shortest list of events found that fails ({report.Events.Count}), with: {report.Breach}");
        foreach (string happening in report.Events)
        {
            Console.WriteLine($"    {happening}");
        }
    }
}
