namespace KStreamSharp.Flows.Flights;

/// <summary>Airlines as a person knows them.</summary>
internal static class AirlineName
{
    private static readonly Dictionary<string, string> ByCode = Read();

    /// <summary>The code and, where it is known, the name.</summary>
    public static string Of(string code) => ByCode.TryGetValue(code, out string? name) ? $"{code}  {name}" : code;

    private static Dictionary<string, string> Read()
    {
        using CsvFile file = new(Path.Combine(AppContext.BaseDirectory, "Data", "airlines.csv"), "carrier", "name");
        Dictionary<string, string> names = [];
        while (file.Read())
        {
            names[file.Text(0)] = file.Text(1);
        }

        return names;
    }
}
