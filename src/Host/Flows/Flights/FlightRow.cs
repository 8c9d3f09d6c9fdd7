using System.Text.Json;

namespace KStreamSharp.Flows.Flights;

/// <summary>A row of the flights: one scheduled departure from New York. As JSON, its fields have the names of the CSV's columns.</summary>
/// <remarks>Times are local, as hhmm; delays and <c>AirTime</c> are minutes; a flight without <c>DepDelay</c> was cancelled.</remarks>
internal sealed record FlightRow(
    int Year,
    int Month,
    int Day,
    int? DepTime,
    int SchedDepTime,
    int? DepDelay,
    int? ArrTime,
    int SchedArrTime,
    int? ArrDelay,
    string Carrier,
    int Flight,
    string? Tailnum,
    string Origin,
    string Dest,
    int? AirTime,
    int Distance,
    int Hour,
    int Minute,
    DateTime TimeHour)
{
    private static readonly Serde<FlightRow> Json = Serde.Json<FlightRow>(new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower });

    /// <summary>A topic of flights, keyed by tail number.</summary>
    public static KeyedTopic<string, FlightRow> Topic(string name) => KStreamSharp.Topic.Keyed(name, Serde.Utf8, Json);

    /// <summary>When the flight was to leave, in UTC.</summary>
    public DateTimeOffset Scheduled() => new(TimeHour.AddMinutes(Minute));

    /// <summary>When the flight left, in UTC; null when it was cancelled.</summary>
    public DateTimeOffset? Departed() => DepDelay is { } late ? Scheduled().AddMinutes(late) : null;
}

/// <summary>A row of the planes, keyed by tail number.</summary>
internal sealed record PlaneRow(string Tailnum, int? Year, string Manufacturer, string Model, int Seats)
{
    public static readonly KeyedTopic<string, PlaneRow> Topic =
        KStreamSharp.Topic.Keyed("planes", Serde.Utf8, Serde.Json<PlaneRow>(new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower }));
}
