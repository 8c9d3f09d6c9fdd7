namespace KStreamSharp.Hosting;

/// <summary>Rows as plain lines with aligned columns: words to the left, numbers to the right.</summary>
internal static class TextTable
{
    /// <param name="output">Where to write.</param>
    /// <param name="head">The names of the columns; those that begin with a blank hold numbers.</param>
    /// <param name="rows">The rows.</param>
    public static void Write(TextWriter output, string[] head, IEnumerable<string[]> rows)
    {
        bool[] numbers = [.. head.Select(name => name.StartsWith(' '))];
        string[][] lines = [[.. head.Select(name => name.Trim())], .. rows];
        int[] widths = [.. head.Select((_, column) => lines.Max(line => line[column].Length))];
        foreach (string[] line in lines)
        {
            output.WriteLine(string.Join("  ", line.Select((cell, column) => numbers[column] ? cell.PadLeft(widths[column]) : cell.PadRight(widths[column]))).TrimEnd());
        }
    }
}
