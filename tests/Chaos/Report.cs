using System.Globalization;
using System.Text;

namespace KStreamSharp.Tests.Chaos;

/// <summary>What became of a planned fault.</summary>
internal sealed record FiredFault(PlannedFault Plan, IReadOnlyList<string> Evidence, string? Failure);

/// <summary>The two tables.</summary>
internal static class Report
{
    private const int BreachesShown = 10;

    public static void Faults(IReadOnlyList<FaultKind> kinds, IReadOnlyList<FiredFault> fired, Func<FaultKind, string?> whyLeftOut)
    {
        Console.WriteLine();
        Console.WriteLine("| fault | planned | fired | seen |");
        Console.WriteLine("|---|---|---|---|");
        foreach (FaultKind kind in kinds.Where(kind => fired.Any(one => one.Plan.Kind == kind) || whyLeftOut(kind) is not { } why || why != ChaosRun.OfAnotherScenario))
        {
            FiredFault[] all = [.. fired.Where(one => one.Plan.Kind == kind)];
            FiredFault[] shown = [.. all.Where(one => one.Evidence.Count > 0)];
            IEnumerable<string> evidence = shown.SelectMany(one => one.Evidence).GroupBy(text => text).Select(text => $"{text.Key} ×{text.Count()}")
                .Concat(all.Where(one => one.Failure is not null).Select(one => $"failed: {one.Failure}"));
            Console.WriteLine($"| {kind.Name} | {all.Length} | {shown.Length} | {(whyLeftOut(kind) is { } why && all.Length == 0 ? why : string.Join("; ", evidence))} |");
        }
    }

    public static void Sources(IReadOnlyList<SourceSeen> sources)
    {
        Console.WriteLine();
        Console.WriteLine("| application | partition | offsets | largest lag | looks with lag | of them moved on | longest still, its owner being well |");
        Console.WriteLine("|---|---|---|---|---|---|---|");
        foreach (SourceSeen source in sources)
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {source.App} | {(source.Partition.Topic == source.App.Input ? "input" : "repartition")} {source.Partition.Partition.Value} | {source.End} | {source.LagMost} | {source.Looks} | {source.Moves} | {source.LongestStill.TotalSeconds:0} s |"));
        }
    }

    public static void Invariants(IReadOnlyList<Invariant> invariants)
    {
        Console.WriteLine();
        Console.WriteLine("| invariant | what | looked at | breaches |");
        Console.WriteLine("|---|---|---|---|");
        foreach (Invariant invariant in invariants.Where(invariant => invariant.Looked > 0))
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {invariant.Id} | {invariant.What} | {invariant.Looked} | {invariant.Breaches.Count} |"));
        }

        StringBuilder notes = new();
        foreach (Invariant invariant in invariants)
        {
            if (invariant.Note.Length > 0)
            {
                notes.AppendLine(CultureInfo.InvariantCulture, $"{invariant.Id}: {invariant.Note}");
            }

            foreach (string breach in invariant.Breaches.Take(BreachesShown))
            {
                notes.AppendLine(CultureInfo.InvariantCulture, $"BREACH of {invariant.Id}: {breach}");
            }

            if (invariant.Breaches.Count > BreachesShown)
            {
                notes.AppendLine(CultureInfo.InvariantCulture, $"BREACH of {invariant.Id}: and {invariant.Breaches.Count - BreachesShown} more");
            }
        }

        Console.WriteLine();
        Console.Write(notes);
        int failed = invariants.Count(invariant => invariant.Breaches.Count > 0);
        int passed = invariants.Count(invariant => invariant.Looked > 0 && invariant.Breaches.Count == 0);
        Console.WriteLine($"{passed} passed, {failed} failed");
    }
}
