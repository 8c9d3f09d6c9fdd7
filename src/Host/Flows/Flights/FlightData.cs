using System.Text.Json;
using KStreamSharp.Hosting;

namespace KStreamSharp.Flows.Flights;

/// <summary>The rows of a data file, in the order of their scheduled departure, and what tells this file from another.</summary>
internal sealed record FlightData(string Name, string Hash, IReadOnlyList<FlightRow> Rows)
{
    /// <summary>The flights of January 2013, which come with the host.</summary>
    public static string DefaultPath { get; } = Path.Combine(AppContext.BaseDirectory, "Data", "flights-2013-01.csv.gz");

    /// <exception cref="UsageException">The file is missing or malformed; the message has its name and the line.</exception>
    public static FlightData Read(string path, Progress? progress = null)
    {
        string name = Path.GetFileName(path);
        using CsvFile file = new(
            path,
            "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay", "carrier",
            "flight", "tailnum", "origin", "dest", "air_time", "distance", "hour", "minute", "time_hour");
        List<FlightRow> rows = [];
        while (file.Read())
        {
            rows.Add(new FlightRow(
                file.Int(0), file.Int(1), file.Int(2), file.OptionalInt(3), file.Int(4), file.OptionalInt(5), file.OptionalInt(6), file.Int(7),
                file.OptionalInt(8), file.Text(9), file.Int(10), file.OptionalText(11), file.Text(12), file.Text(13), file.OptionalInt(14),
                file.Int(15), file.Int(16), file.Int(17), file.Utc(18)));
            progress?.Say($"Reading {name}: {rows.Count:N0} flights");
        }

        return new FlightData(name, file.Hash, [.. rows.OrderBy(row => row.Scheduled())]);
    }

    public static IReadOnlyList<PlaneRow> ReadPlanes()
    {
        using CsvFile file = new(Path.Combine(AppContext.BaseDirectory, "Data", "planes.csv.gz"), "tailnum", "year", "manufacturer", "model", "seats");
        List<PlaneRow> planes = [];
        while (file.Read())
        {
            planes.Add(new PlaneRow(file.Text(0), file.OptionalInt(1), file.Text(2), file.Text(3), file.Int(4)));
        }

        return planes;
    }

    /// <summary>
    /// A state folder holds the rows of one file: where a load was interrupted, it goes on by the count of rows. The first
    /// file that is loaded is noted beside the broker; others are refused.
    /// </summary>
    /// <exception cref="UsageException">The folder holds the rows of another file.</exception>
    public void Claim(string stateDir)
    {
        string path = Path.Combine(stateDir, "flights-data.json");
        Note mine = new(Name, Rows.Count, Hash);
        if (!File.Exists(path))
        {
            File.WriteAllText(path + ".new", JsonSerializer.Serialize(mine, JsonSerializerOptions.Web));
            File.Move(path + ".new", path);
        }
        else if (JsonSerializer.Deserialize<Note>(File.ReadAllText(path), JsonSerializerOptions.Web) is { } held && held.Sha256 != Hash)
        {
            throw new UsageException(
                $"The state folder {stateDir} holds the flights of {held.Name} ({held.Rows:N0} rows); {Name} ({Rows.Count:N0} rows) is another file. Name the first by --data, or give the second another folder by --state-dir.");
        }
    }

    private sealed record Note(string Name, int Rows, string Sha256);
}
