namespace KStreamSharp.Flows;

/// <summary>Rows as plain lines with aligned columns: the first column to the left, the others to the right.</summary>
internal static class TextTable
{
    public static void Write(TextWriter output, string[] head, IEnumerable<string[]> rows)
    {
        string[][] lines = [head, .. rows];
        int[] widths = [.. head.Select((_, column) => lines.Max(line => line[column].Length))];
        foreach (string[] line in lines)
        {
            output.WriteLine("  " + string.Join("  ", line.Select((cell, column) => column == 0 ? cell.PadRight(widths[column]) : cell.PadLeft(widths[column]))));
        }
    }
}
