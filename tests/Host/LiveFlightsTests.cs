using KStreamSharp.Flows.Flights;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests;

public sealed class LiveFlightsTests : IDisposable
{
    private static readonly DateTime Morning = new(2013, 1, 1, 10, 0, 0, DateTimeKind.Utc);

    private readonly FlowDriver _driver = new(LiveFlights.Build(FlightTopics.Flights, FlightTopics.Live), new FlowDriverOptions { Shards = 3, EvictAlways = true });

    public void Dispose() => _driver.Dispose();

    [Fact]
    public void AnAirlineHasARunningCountAndAMeanDelayOfTheFlightsThatDeparted()
    {
        Fly(Flight("UA", "N1", delay: 10));
        Fly(Flight("UA", "N2", delay: null));
        Fly(Flight("UA", null, delay: -5));

        Assert.Equal(
            [new(1, 1, 10, 10), new(2, 1, 10, 10), new(3, 2, 5, 2.5)],
            _driver.Outputs(FlightTopics.Live.Airlines).Where(record => record.Key == "UA").Select(record => record.Value));
    }

    [Fact]
    public void ALegHasTheTimeSinceTheLandingBefore()
    {
        Fly(Flight("UA", "N1", delay: 0, airTime: 60));
        Fly(Flight("UA", "N1", delay: 30, airTime: 60, hoursLater: 3));
        Fly(Flight("UA", "N1", delay: null, hoursLater: 5));

        Assert.Equal([null, 150], _driver.Outputs(FlightTopics.Live.Legs).Select(record => record.Value.GroundMinutes));
        Assert.Empty(_driver.Outputs(FlightTopics.Live.Rests));
    }

    [Fact]
    public void APlaneThatRestsOverTwelveHoursIsSummedUp()
    {
        Fly(Flight("UA", "N1", delay: 0, airTime: 60, distance: 300));
        Fly(Flight("UA", "N1", delay: 0, airTime: 90, distance: 500, hoursLater: 4));
        Fly(Flight("UA", "N1", delay: 0, airTime: 100, distance: 700, hoursLater: 18));
        Fly(Flight("UA", "N1", delay: 0, airTime: 100, distance: 700, hoursLater: 40));

        Assert.Equal([new("UA", 12.5, 2, 150, 800, "EWR"), new Rest("UA", 20.3, 1, 100, 700, "EWR")], _driver.Outputs(FlightTopics.Live.Rests).Select(record => record.Value));
        Assert.Equal([null, 180, 750, 1220], _driver.Outputs(FlightTopics.Live.Legs).Select(record => record.Value.GroundMinutes));
    }

    [Fact]
    public void RowsWithoutTailNumberAreNoPlane()
    {
        Fly(Flight("UA", null, delay: 0));
        Fly(Flight("UA", null, delay: 0, hoursLater: 20));
        Assert.Empty(_driver.Outputs(FlightTopics.Live.Legs));
        Assert.Empty(_driver.Outputs(FlightTopics.Live.Rests));
    }

    [Fact]
    public void AFlightIsJoinedWithItsPlaneOnceThatIsKnown()
    {
        Fly(Flight("UA", "N1", delay: 0));
        _driver.Push(PlaneRow.Topic, "N1", new PlaneRow("N1", 1999, "BOEING", "737-824", 149));
        _driver.Run();
        Fly(Flight("UA", "N1", delay: 0, hoursLater: 5));
        Fly(Flight("UA", "N9", delay: 0, hoursLater: 6));

        IReadOnlyList<Record<string, FlightWithPlane>> joined = _driver.Outputs(FlightTopics.Live.WithPlanes);
        Assert.Equal(["N1", "N1"], joined.Select(record => record.Key));
        Assert.All(joined, record => Assert.Equal(("BOEING", "737-824", 149, 1999), (record.Value.Manufacturer, record.Value.Model, record.Value.Seats, record.Value.Built)));
    }

    [Fact]
    public void TenFlightsOfAnAirportAreABatchAndAPauseEndsASmallerOne()
    {
        for (int i = 0; i < 13; i++)
        {
            Fly(Flight(i % 2 == 0 ? "UA" : "DL", $"N{i}", delay: 0, distance: 100));
        }

        Assert.Equal([10], _driver.Outputs(FlightTopics.Live.Batches).Select(record => record.Value.Flights));
        _driver.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal([("EWR", 10, 2, 1000), ("EWR", 3, 2, 300)], _driver.Outputs(FlightTopics.Live.Batches).Select(record => (record.Key, record.Value.Flights, record.Value.Airlines, record.Value.Miles)));
    }

    [Fact]
    public void AnAirlineSilentForTwoSecondsIsReportedOnceAlsoAfterACrash()
    {
        Fly(Flight("UA", "N1", delay: 0));
        _driver.Advance(TimeSpan.FromSeconds(1));
        Fly(Flight("UA", "N1", delay: 0));
        _driver.Advance(TimeSpan.FromSeconds(1.9));
        Assert.Empty(_driver.Outputs(FlightTopics.Live.Silences));

        _driver.Crash();
        _driver.Restart();
        _driver.Advance(TimeSpan.FromSeconds(0.2));
        _driver.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal([new Silence(2, 2)], _driver.Outputs(FlightTopics.Live.Silences).Select(record => record.Value));
    }

    private void Fly(FlightRow flight)
    {
        _driver.Push(FlightTopics.Flights, flight.Tailnum ?? "", flight, flight.Scheduled());
        _driver.Run();
    }

    private static FlightRow Flight(string carrier, string? tailnum, int? delay, int airTime = 60, int distance = 100, int hoursLater = 0) => new(
        2013, 1, 1, null, 0, delay, null, 0, null, carrier, 1, tailnum, "EWR", "ORD", delay is null ? null : airTime, distance, 0, 0, Morning.AddHours(hoursLater));
}
