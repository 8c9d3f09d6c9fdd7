using KStreamSharp.Flows.Flights;

namespace KStreamSharp.Tests;

/// <summary>The topics of the flights under their default names.</summary>
internal static class FlightTopics
{
    public static readonly KeyedTopic<string, FlightRow> Flights = FlightRow.Topic("flights");
    public static readonly LiveTopics Live = new("flights");
    public static readonly KeyedTopic<string, AirlineSummary> Summaries = FlightsSummary.Summaries("flights");
}
