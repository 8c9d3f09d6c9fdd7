using System.Globalization;
using System.IO.Compression;
using KStreamSharp.Flows.Flights;

namespace KStreamSharp.Tests;

/// <summary>The table per airline computed straight from the file, by other code than the flow's.</summary>
internal static class PlainSummary
{
    public static SortedDictionary<string, AirlineSummary> OfJanuary() => Of(FlightData.DefaultPath);

    public static SortedDictionary<string, AirlineSummary> Of(string path)
    {
        using StreamReader reader = new(new GZipStream(File.OpenRead(path), CompressionMode.Decompress));
        string[] head = reader.ReadLine()!.Split(',');
        int carrier = Array.IndexOf(head, "carrier");
        int delay = Array.IndexOf(head, "dep_delay");
        int distance = Array.IndexOf(head, "distance");
        List<(string Carrier, int? Delay, int Distance)> rows = [];
        while (reader.ReadLine() is { } line)
        {
            string[] fields = line.Split(',');
            rows.Add((fields[carrier], fields[delay] == "NA" ? null : int.Parse(fields[delay], CultureInfo.InvariantCulture), int.Parse(fields[distance], CultureInfo.InvariantCulture)));
        }

        return new(rows.GroupBy(row => row.Carrier).ToDictionary(
            group => group.Key,
            group => new AirlineSummary(
                group.Count(),
                group.Count(row => row.Delay is not null),
                group.Sum(row => row.Delay ?? 0),
                group.Max(row => row.Delay),
                group.Min(row => row.Delay),
                group.Sum(row => row.Distance))), StringComparer.Ordinal);
    }
}
