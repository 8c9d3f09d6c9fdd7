using System.Text;
using System.Text.Json;
using KStreamSharp.Flows.Flights;
using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests;

public sealed class FlightDataTests : IDisposable
{
    public const string Head = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n";

    private static readonly IReadOnlyList<FlightRow> January = FlightData.Read(FlightData.DefaultPath).Rows;
    private static readonly JsonSerializerOptions Snake = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TheDataThatComeWithTheHostAreJanuaryInTheOrderOfTheSchedule()
    {
        FlightData january = FlightData.Read(FlightData.DefaultPath);
        Assert.Equal(27_004, january.Rows.Count);
        Assert.Equal(january.Rows.Select(row => row.Scheduled()).Order(), january.Rows.Select(row => row.Scheduled()));
        Assert.Equal(3_322, FlightData.ReadPlanes().Count);
    }

    [Fact]
    public void ARowIsJsonWithTheNamesOfTheColumns()
    {
        FlightData data = FlightData.Read(_folder.Write("one.csv", Head + "2013,1,1,NA,2359,NA,NA,437,NA,B6,739,NA,JFK,PSE,NA,1617,23,59,2013-01-02T04:00:00Z\n"));
        using EmbeddedBroker broker = EmbeddedBroker.InMemory();
        broker.CreateTopic(FlightTopics.Flights.Name, 1);
        using Feed<FlightRow> feed = new(broker, FlightTopics.Flights, data.Rows, row => row.Tailnum ?? "", row => row.Scheduled());
        feed.Load(1);

        EmbeddedRecord record = Assert.Single(broker.ReadAll(FlightTopics.Flights.Name));
        Assert.Empty(record.Key!);
        Assert.Equal(new DateTimeOffset(2013, 1, 2, 4, 59, 0, TimeSpan.Zero), record.Timestamp);
        Assert.Equal(
            """{"year":2013,"month":1,"day":1,"dep_time":null,"sched_dep_time":2359,"dep_delay":null,"arr_time":null,"sched_arr_time":437,"arr_delay":null,"carrier":"B6","flight":739,"tailnum":null,"origin":"JFK","dest":"PSE","air_time":null,"distance":1617,"hour":23,"minute":59,"time_hour":"2013-01-02T04:00:00Z"}""",
            Encoding.UTF8.GetString(record.Value!));
        Assert.Equal(data.Rows[0], FlightTopics.Flights.Value.Deserialize(record.Value, new(FlightTopics.Flights.Name, RecordPart.Value)));
    }

    [Fact]
    public void ALoadThatWasInterruptedGoesOnAfterTheRowsThatEachPartitionHas()
    {
        using EmbeddedBroker broker = EmbeddedBroker.InMemory();
        broker.CreateTopic(FlightTopics.Flights.Name, 3);

        // As an end in the middle may leave it: one partition has got further than the others.
        foreach (FlightRow row in January.Take(1_234).Concat(January.Skip(1_234).Take(500).Where(row => Partition(row) == 1)))
        {
            broker.Produce(FlightTopics.Flights.Name, Encoding.UTF8.GetBytes(row.Tailnum ?? ""), JsonSerializer.SerializeToUtf8Bytes(row, Snake), row.Scheduled());
        }

        using (Feed<FlightRow> feed = NewFeed(broker, January))
        {
            feed.Check("january");
            feed.LoadAll(TextWriter.Null, TimeProvider.System, TestContext.Current.CancellationToken);
            feed.Check("january");
            Assert.Equal((January.Count, 0), (feed.Loaded, feed.Left));
        }

        foreach (IGrouping<int, EmbeddedRecord> partition in broker.ReadAll(FlightTopics.Flights.Name).GroupBy(record => record.Partition))
        {
            Assert.Equal(January.Where(row => Partition(row) == partition.Key), partition.Select(record => FlightTopics.Flights.Value.Deserialize(record.Value, default)));
        }

        static int Partition(FlightRow row) => Murmur2.Partition(Encoding.UTF8.GetBytes(row.Tailnum ?? ""), 3);
    }

    [Fact]
    public void ATopicWithOtherRecordsIsNotLoaded()
    {
        using EmbeddedBroker broker = EmbeddedBroker.InMemory();
        broker.CreateTopic(FlightTopics.Flights.Name, 2);
        using (Feed<FlightRow> other = NewFeed(broker, [.. January.Skip(1).Take(10)]))
        {
            other.Load(10);
        }

        using Feed<FlightRow> feed = NewFeed(broker, January);
        UsageException error = Assert.Throws<UsageException>(() => feed.Check("january.csv"));
        Assert.StartsWith("Topic 'flights' holds other records than the rows of january.csv in their order", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AStateFolderTakesTheRowsOfOneFileOnlyWhateverItsName()
    {
        const string Row = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n";
        FlightData first = FlightData.Read(_folder.Write("first.csv", Head + Row));
        first.Claim(_folder.Path);
        first.Claim(_folder.Path);
        FlightData.Read(_folder.Write("same.csv", Head + Row)).Claim(_folder.Path);

        UsageException error = Assert.Throws<UsageException>(() => FlightData.Read(_folder.Write("other.csv", Head + Row + Row)).Claim(_folder.Path));
        Assert.Contains("holds the flights of first.csv (1 rows); other.csv (2 rows) is another file. Name the first by --data", error.Message, StringComparison.Ordinal);
        Assert.Contains("--state-dir", error.Message, StringComparison.Ordinal);
    }

    private static Feed<FlightRow> NewFeed(Broker broker, IReadOnlyList<FlightRow> rows) => new(broker, FlightTopics.Flights, rows, row => row.Tailnum ?? "", row => row.Scheduled());
}
