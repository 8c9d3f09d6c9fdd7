namespace KStreamSharp.Tests.Mutants;

/// <summary>Who found what, and how many were found.</summary>
internal static class Table
{
    public const string Nobody = "not found";

    /// <returns>The part that was found of those that can be.</returns>
    public static double Print(IReadOnlyList<Mutant> mutants, IReadOnlyDictionary<string, string> finders)
    {
        int width = mutants.Max(mutant => mutant.Name.Length);
        Console.WriteLine();
        foreach (Mutant mutant in mutants)
        {
            string finder = finders[mutant.Name];
            Console.WriteLine($"{mutant.Name.PadRight(width)}  {(finder == Nobody && mutant.Equivalent is { } why ? $"equivalent: {why}" : finder)}");
        }

        Mutant[] counted = [.. mutants.Where(mutant => mutant.Equivalent is null || finders[mutant.Name] != Nobody)];
        int found = counted.Count(mutant => finders[mutant.Name] != Nobody);
        double part = counted.Length == 0 ? 1 : (double)found / counted.Length;
        Console.WriteLine();
        Console.WriteLine($"{found} of {counted.Length} found ({100 * part:0.0} %)");
        return part;
    }
}
