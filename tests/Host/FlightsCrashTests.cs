using KStreamSharp.Flows.Flights;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>
/// The finite run over real data, on several shards and instances, with instances that crash in the middle. January by
/// default; the environment variable KSTREAM_FLIGHTS names another file (.csv.gz), for example the whole year.
/// </summary>
public class FlightsCrashTests(ITestOutputHelper output)
{
    private static readonly string Data = Environment.GetEnvironmentVariable("KSTREAM_FLIGHTS") ?? FlightData.DefaultPath;

    private static readonly string[] Steps =
        ["turn", "commit.1", "commit.2", "commit.3", "commit.4", "commit.5", "commit.6", "takeover.1", "takeover.2", "takeover.3", "takeover.4", "takeover.5"];

    [Theory]
    [InlineData(1, 1, 0)]
    [InlineData(4, 1, 0)]
    [InlineData(4, 3, 0)]
    [InlineData(1, 1, 10)]
    [InlineData(4, 1, 10)]
    [InlineData(4, 3, 10)]
    public void TheTableIsThatOfAPlainComputation(int shards, int instances, int crashes)
    {
        using Cluster cluster = new(FlightsSummary.Build(FlightTopics.Flights, FlightTopics.Summaries), shards) { RecordsPerTurnMax = 200 };
        IReadOnlyList<FlightRow> rows = FlightData.Read(Data).Rows;
        using (Feed<FlightRow> feed = new(cluster.Broker, FlightTopics.Flights, rows, row => row.Tailnum ?? "", row => row.Scheduled()))
        {
            feed.Load(rows.Count);
        }

        List<string> happened = [];
        int turns = 0;
        cluster.StopsAt = (member, step) =>
        {
            // A takeover comes soon after a start; the other steps are to come in the middle of the work.
            string next = Steps[happened.Count * 5 % Steps.Length];
            turns += step == "turn" ? 1 : 0;
            if (happened.Count == crashes || step != next || (turns < 8 && !next.StartsWith("takeover", StringComparison.Ordinal)))
            {
                return false;
            }

            turns = 0;
            happened.Add($"{member.Name} at {step}");
            return true;
        };
        cluster.End();
        for (int i = 0; i < instances; i++)
        {
            cluster.Add($"instance-{i}");
        }

        cluster.Until(
            () =>
            {
                foreach (Cluster.Member member in cluster.Members.Where(member => !member.IsUp))
                {
                    if (happened.Count % 3 == 0)
                    {
                        member.LoseFolder();
                    }

                    member.Open();
                }

                return cluster.Members.TrueForAll(member => member.IsDone);
            },
            "the run is done",
            rounds: 200_000);

        output.WriteLine($"{rows.Count} rows, {shards} shards, {instances} instances, crashes: {string.Join(", ", happened)}");
        Assert.Equal(crashes, happened.Count);
        (string Key, AirlineSummary Value)[] table = [.. cluster.Outputs(FlightTopics.Summaries)];
        Assert.Equal(table.Length, table.DistinctBy(line => line.Key).Count());
        Assert.Equal(PlainSummary.Of(Data), table.ToDictionary(line => line.Key, line => line.Value));
    }
}
