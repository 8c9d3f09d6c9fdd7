namespace KStreamSharp.Hosting;

/// <summary>Which of the known names somebody meant.</summary>
internal static class Nearest
{
    /// <summary>The known name that looks most like a given one; null when none does.</summary>
    /// <param name="given">What was written.</param>
    /// <param name="known">The names that there are; parts are separated by colons.</param>
    public static string? Of(string given, IEnumerable<string> known)
    {
        (string Name, double Distance)[] names = [.. known.Select(name => (name, Distance(given, name))).OrderBy(name => name.Item2)];
        return names.Length > 0 && names[0].Distance <= Math.Max(2, Last(given).Trim('-').Length / 2.0) ? names[0].Name : null;
    }

    /// <summary>The last part decides; what stands before it, between two names that are as near.</summary>
    private static double Distance(string given, string name)
    {
        string a = Last(given).Trim('-').ToUpperInvariant();
        string b = Last(name).Trim('-').ToUpperInvariant();
        bool holds = Math.Min(a.Length, b.Length) >= 3 && (a.Contains(b, StringComparison.Ordinal) || b.Contains(a, StringComparison.Ordinal));
        double last = holds ? Math.Abs(a.Length - b.Length) / 100.0 : Edits(a, b);
        return last + (First(given).Equals(First(name), StringComparison.OrdinalIgnoreCase) ? 0 : 0.5);
    }

    private static string Last(string name) => name[(name.LastIndexOf(':') + 1)..];

    private static string First(string name) => name[..(name.LastIndexOf(':') + 1)];

    /// <summary>The letters to change, add, drop or swap.</summary>
    private static int Edits(string a, string b)
    {
        int[,] edits = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++)
        {
            for (int j = 0; j <= b.Length; j++)
            {
                edits[i, j] = i == 0 ? j
                    : j == 0 ? i
                    : Math.Min(Math.Min(edits[i - 1, j], edits[i, j - 1]) + 1, edits[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1));
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    edits[i, j] = Math.Min(edits[i, j], edits[i - 2, j - 2] + 1);
                }
            }
        }

        return edits[a.Length, b.Length];
    }
}
