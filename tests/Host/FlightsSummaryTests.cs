using KStreamSharp.Flows.Flights;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests;

public class FlightsSummaryTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(4, 3)]
    public void TheTableOfJanuaryIsThatOfAPlainComputation(int shards, int instances)
    {
        using FlowDriver driver = new(FlightsSummary.Build(FlightTopics.Flights, FlightTopics.Summaries), new FlowDriverOptions { Shards = shards, Instances = instances });
        foreach (FlightRow row in FlightData.Read(FlightData.DefaultPath).Rows)
        {
            driver.Push(FlightTopics.Flights, row.Tailnum ?? "", row, row.Scheduled());
        }

        driver.End();

        Assert.Equal(PlainSummary.OfJanuary(), driver.Outputs(FlightTopics.Summaries).ToDictionary(record => record.Key, record => record.Value));
    }

    [Fact]
    public void AnAirlineWhoseFlightsWereAllCancelledHasNoDelays()
    {
        using FlowDriver driver = new(FlightsSummary.Build(FlightTopics.Flights, FlightTopics.Summaries));
        driver.Push(FlightTopics.Flights, "", new FlightRow(2013, 1, 1, null, 0, null, null, 0, null, "OO", 1, null, "EWR", "ORD", null, 719, 0, 0, new DateTime(2013, 1, 1, 0, 0, 0, DateTimeKind.Utc)));
        driver.End();
        Assert.Equal(new AirlineSummary(1, 0, 0, null, null, 719), Assert.Single(driver.Outputs(FlightTopics.Summaries)).Value);
    }
}
