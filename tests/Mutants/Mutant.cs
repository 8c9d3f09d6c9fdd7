using System.Text.RegularExpressions;

namespace KStreamSharp.Tests.Mutants;

/// <summary>One plausible mistake in the engine's sources, and what it means.</summary>
/// <param name="Name">Its name, unique in the list.</param>
/// <param name="File">The file, below src/Streams.</param>
/// <param name="Find">The text that is replaced; it must be there exactly once. Any white space in it stands for any other.</param>
/// <param name="Replacement">What is put in its place.</param>
/// <param name="Meaning">What the engine does wrongly with it.</param>
/// <param name="Equivalent">Why nothing can find it: it changes nothing that anybody could see; null for one that must be found.</param>
internal sealed record Mutant(string Name, string File, string Find, string Replacement, string Meaning, string? Equivalent = null)
{
    /// <summary>The source with the mistake in it.</summary>
    /// <exception cref="FormatException">The text is not there exactly once: the source has moved on, and the list must follow.</exception>
    public string Apply(string source)
    {
        MatchCollection found = Regex.Matches(source, string.Join(@"\s+", Find.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(Regex.Escape)));
        return found.Count == 1
            ? source[..found[0].Index] + Replacement + source[(found[0].Index + found[0].Length)..]
            : throw new FormatException($"mutant '{Name}': its text is {found.Count} times in src/Streams/{File}, not once: {Find}");
    }
}
