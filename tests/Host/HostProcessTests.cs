using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using KStreamSharp.Flows.Flights;
using Xunit;

namespace KStreamSharp.Tests;

public sealed class HostProcessTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(100)]
    [InlineData(200)]
    public async Task AProcessThatMayHaveTooFewFilesOpenSaysSo(int files)
    {
        SkipOnWindows();
        using HostProcess host = HostProcess.StartWithFiles(_folder.Path, files, "run flights");
        Assert.Equal((int)ExitCode.State, await host.ExitAsync());
        Assert.StartsWith($"The process may open only {files} files; it needs at least 256, plus about 20 per shard. Raise the limit (ulimit -Hn, ", host.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheLiveFlowGoesOnAfterKillNineAndNoFlightIsLostOrCountedTwice()
    {
        SkipOnWindows();
        using (HostProcess killed = Start("run flights --speed 2000"))
        {
            await killed.LineAsync(" of 27,004 flights  ");
            using HostProcess second = Start("run flights");
            Assert.Equal((int)ExitCode.State, await second.ExitAsync());
            Assert.Contains($"in use by process {killed.Id}", second.Errors, StringComparison.Ordinal);
            await killed.LineAsync("  rest");
            killed.Kill();
            await killed.ExitAsync();
        }

        long before = CountedFlights();
        Assert.InRange(before, 1, 27_003);
        using HostProcess host = Start("run flights --speed 50000");
        Assert.Contains($"continuing after {before:N0} of 27,004 flights", await host.LineAsync("continuing after"), StringComparison.Ordinal);
        await host.LineAsync("All flights were played");
        host.Terminate();
        Assert.Equal(0, await host.ExitAsync());
        Assert.Contains("27,004", host.Output.Split('\n').Single(line => line.StartsWith("  all ", StringComparison.Ordinal)), StringComparison.Ordinal);
        Assert.Contains("run flights --until-end", host.Output, StringComparison.Ordinal);
        Assert.Equal("", host.Errors);

        SortedDictionary<string, AirlineSummary> plain = PlainSummary.OfJanuary();
        using EmbeddedBroker broker = OpenBroker();
        ILookup<string, AirlineTotal> totals = broker.ReadAll(FlightTopics.Live.Airlines.Name)
            .ToLookup(record => Encoding.UTF8.GetString(record.Key!), record => FlightTopics.Live.Airlines.Value.Deserialize(record.Value, default));
        foreach ((string airline, AirlineSummary summary) in plain)
        {
            Assert.Equal(Enumerable.Range(1, (int)summary.Flights).Select(count => (long)count), totals[airline].Select(total => total.Flights));
            Assert.Equal((summary.Departed, summary.SumDepDelay), totals[airline].Select(total => (total.Departed, total.SumDepDelay)).Last());
        }

        Assert.Equal(
            FlightData.Read(FlightData.DefaultPath).Rows.Where(row => row.Tailnum is not null && row.DepDelay is not null).Select(row => (row.Tailnum!, row.Carrier, row.Flight, row.Departed()!.Value)).Order(),
            broker.ReadAll(FlightTopics.Live.Legs.Name)
                .Select(record => (Encoding.UTF8.GetString(record.Key!), FlightTopics.Live.Legs.Value.Deserialize(record.Value, default)))
                .Select(leg => (leg.Item1, leg.Item2.Carrier, leg.Item2.Flight, leg.Item2.Departed))
                .Order());
    }

    [Fact]
    public async Task TheFiniteRunGivesTheTableOfAPlainComputationAndGivesItAgain()
    {
        using (HostProcess first = Start("run flights --until-end --shards 2 --summary table.json --report json"))
        {
            Assert.Equal(0, await first.ExitAsync());
            Assert.Equal("", first.Errors);
            using JsonDocument report = JsonDocument.Parse(first.Output.TrimEnd().Split('\n')[^1]);
            Assert.Equal(27_004, report.RootElement.GetProperty("records").GetInt64());
            CheckTable();
        }

        File.Delete(_folder.File("table.json"));
        using HostProcess second = Start("run flights --until-end --summary table.json");
        Assert.Equal(0, await second.ExitAsync());
        Assert.Contains("No new flights since the last run", second.Output, StringComparison.Ordinal);
        CheckTable();
    }

    [Fact]
    public async Task TheFiniteRunTakesOverWhereTheReplayWasStopped()
    {
        SkipOnWindows();
        using (HostProcess live = Start("run flights --speed 500"))
        {
            await live.LineAsync(" UTC ");

            // As timeout(1) does it: to the process, and to its group.
            live.Terminate();
            live.Terminate();
            Assert.Equal(0, await live.ExitAsync());
            Assert.Contains("The next start goes on from here.", live.Output, StringComparison.Ordinal);
        }

        using HostProcess finite = Start("run flights --until-end --summary table.json");
        Assert.Equal(0, await finite.ExitAsync());
        Assert.Contains("continuing after", finite.Output, StringComparison.Ordinal);
        CheckTable();
    }

    [Fact]
    public async Task AHostThatIsAskedToEndAsksWhetherItsPodComesBack()
    {
        SkipOnWindows();
        using HostProcess host = HostProcess.Start(
            _folder.Path, "run flights --speed 500", ("KStreamSharp__InstanceId", "laptop"), ("KStreamSharp__Kubernetes__StatefulSet", "flights"), ("KStreamSharp__Broker", "embedded"));
        await host.LineAsync(" UTC ");
        Assert.Equal("", host.Errors);
        host.Terminate();
        Assert.Equal(0, await host.ExitAsync());
        Assert.EndsWith("so it stays a member until its session times out: the id of a pod of it is flights-N.", Assert.Single(host.Errors.TrimEnd().Split('\n')), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("run nothing", "There is no flow 'nothing'. There are: flights, copy, count, rekey-count.")]
    [InlineData("run flights --data nothing.csv", "There is no data file 'nothing.csv'.")]
    [InlineData("run flights --until-end --data bad.csv", "bad.csv line 3: column 'distance' needs a whole number or NA; it has 'far'.")]
    [InlineData("load count", "Flow 'count' has nothing to load. Those that have: flights.")]
    [InlineData("run flights --kafka one:port", "--kafka 'one:port': HOST:PORT is needed, several with commas between.")]
    [InlineData("run flights --speed fast", "--speed 'fast': a whole number from 1 to 1000000 is needed.")]
    [InlineData("run count --input a/b", "'a/b' is no name for a topic: up to 249 letters, digits, '.', '_' and '-'.")]
    public async Task AMistakeOfTheUserIsOneLineAndExitCodeTwo(string arguments, string message)
    {
        _folder.Write(
            "bad.csv",
            FlightDataTests.Head
            + "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"
            + "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,far,5,15,2013-01-01T10:00:00Z\n");
        using HostProcess host = Start(arguments);
        Assert.Equal((int)ExitCode.Usage, await host.ExitAsync());
        Assert.Equal(message, host.Errors.TrimEnd());
        Assert.DoesNotContain(host.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries), line => !line.StartsWith("Embedded broker in ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task TheEnvironmentAndTheConfigurationFileAreReadAndChecked()
    {
        using (HostProcess environment = HostProcess.Start(_folder.Path, "run count", ("KStreamSharp__CommitInterval", "soon")))
        {
            Assert.Equal((int)ExitCode.Usage, await environment.ExitAsync());
            Assert.StartsWith("KStreamSharp:CommitInterval 'soon'", environment.Errors, StringComparison.Ordinal);
        }

        _folder.Write("appsettings.json", """{ "KStreamSharp": { "UntilEnd": true, "StateDir": "elsewhere" } }""");
        using HostProcess file = Start("run count --generate 100 --report json");
        Assert.Equal(0, await file.ExitAsync());
        Assert.True(Directory.Exists(_folder.File("elsewhere")));
    }

    [Fact]
    public async Task GeneratedRecordsAreCountedToTheLast()
    {
        using HostProcess host = Start("run rekey-count --until-end --generate 20000 --report json");
        Assert.Equal(0, await host.ExitAsync());
        using JsonDocument report = JsonDocument.Parse(host.Output.TrimEnd().Split('\n')[^1]);
        Assert.Equal(20_000, report.RootElement.GetProperty("records").GetInt64());
        using EmbeddedBroker broker = OpenBroker();
        Assert.Equal(20_000, broker.ReadAll("rekey-count-output").Count);
    }

    [Fact]
    public async Task TheExampleOfAConfigurationIsOneThatTheHostTakes()
    {
        File.Copy(Path.Combine(AppContext.BaseDirectory, "appsettings.example.json"), _folder.File("appsettings.json"));
        using HostProcess host = Start("describe count");
        Assert.Equal(0, await host.ExitAsync());
        Assert.Equal("", host.Errors);
    }

    [Fact]
    public async Task ALoadFillsTheTopicsOnceAndTheRunTakesThem()
    {
        using (HostProcess cut = Start("load flights --partitions 2"))
        {
            cut.Kill();
            await cut.ExitAsync();
        }

        using (HostProcess load = Start("load flights --partitions 2"))
        {
            Assert.Equal(0, await load.ExitAsync());
            Assert.Contains("Topic flights: loaded 27,004 rows", load.Output, StringComparison.Ordinal);
        }

        using (HostProcess again = Start("load flights"))
        {
            Assert.Equal(0, await again.ExitAsync());
            Assert.Contains("Topic flights: all 27,004 rows of flights-2013-01.csv.gz are there already", again.Output, StringComparison.Ordinal);
        }

        using HostProcess run = Start("run flights --until-end --summary table.json");
        Assert.Equal(0, await run.ExitAsync());
        CheckTable();
    }

    [Fact]
    public async Task ABrokerThatIsNotThereIsNamed()
    {
        using HostProcess host = Start("run count --kafka 127.0.0.1:1");
        Assert.Equal((int)ExitCode.Broker, await host.ExitAsync());
        Assert.StartsWith("No broker answers at 127.0.0.1:1 within", host.Errors.TrimEnd().Split('\n')[^1], StringComparison.Ordinal);
        Assert.InRange(host.Errors.Split('\n').Length, 1, 20);
    }

    /// <summary>As EKS gives a role to a pod: the keys are asked for at the token service, by the token in a file.</summary>
    [Fact]
    public async Task AWebIdentityIsTakenToTheTokenServiceForTheKeysOfS3()
    {
        using HttpListener tokens = new();
        using TcpListener any = new(IPAddress.Loopback, 0);
        any.Start();
        int port = ((IPEndPoint)any.LocalEndpoint).Port;
        any.Stop();
        tokens.Prefixes.Add($"http://127.0.0.1:{port}/");
        tokens.Start();
        Task<string> asked = AskedAsync(tokens);
        string token = Path.Combine(_folder.Path, "token");
        await File.WriteAllTextAsync(token, "the-token-of-the-pod", TestContext.Current.CancellationToken);

        using HostProcess host = HostProcess.Start(
            _folder.Path,
            $"run copy --generate 10 --until-end --snapshots s3://bucket/prefix?endpoint=http://127.0.0.1:{port}&region=us-east-1 --snapshots-required true",
            ("AWS_ROLE_ARN", "arn:aws:iam::000000000000:role/snapshots"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token),
            ("AWS_ENDPOINT_URL_STS", $"http://127.0.0.1:{port}"),
            ("AWS_REGION", "us-east-1"));
        string form = await asked.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        Assert.Contains("AssumeRoleWithWebIdentity", form, StringComparison.Ordinal);
        Assert.Contains("the-token-of-the-pod", form, StringComparison.Ordinal);
        tokens.Stop();

        Assert.Equal((int)ExitCode.Broker, await host.ExitAsync());
        Assert.Contains("The snapshot store cannot be used, and snapshots are required: ", host.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("AWSSDK", host.Errors, StringComparison.Ordinal);
    }

    private static async Task<string> AskedAsync(HttpListener tokens)
    {
        HttpListenerContext context = await tokens.GetContextAsync();
        using StreamReader reader = new(context.Request.InputStream);
        string form = await reader.ReadToEndAsync();
        context.Response.StatusCode = 403;
        context.Response.Close();
        return form;
    }

    private static void SkipOnWindows() => Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no SIGTERM.");

    [Fact]
    public async Task ABrokerThatCannotBeReachedEndsTheHostAndIsNamed()
    {
        // The address is held, and nobody listens there.
        using Socket held = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        held.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        string address = held.LocalEndPoint!.ToString()!;
        using HostProcess host = Start($"run count --kafka {address} --kafka-set sasl.password=hush --kafka-set sasl.username=me");

        Assert.Equal((int)ExitCode.Broker, await host.ExitAsync());
        Assert.Contains(address, host.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("hush", host.Output + host.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", host.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ASignalBeforeTheBrokerAnswersEndsAtOnceAndInOrder()
    {
        SkipOnWindows();
        using Socket held = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        held.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        using HostProcess host = Start($"run count --kafka {held.LocalEndPoint} --broker-wait 10m");
        await host.LineAsync($"Kafka at {held.LocalEndPoint} has not answered yet");
        long asked = Stopwatch.GetTimestamp();
        host.Terminate();
        Assert.Equal((int)ExitCode.Ok, await host.ExitAsync());
        Assert.InRange(Stopwatch.GetElapsedTime(asked), TimeSpan.Zero, TimeSpan.FromSeconds(10));
        Assert.EndsWith("Ended before the broker answered.", host.Output.TrimEnd(), StringComparison.Ordinal);
    }

    private HostProcess Start(string arguments) => HostProcess.Start(_folder.Path, arguments);

    private EmbeddedBroker OpenBroker() => EmbeddedBroker.Open(Path.Combine(_folder.Path, "state", "broker"));

    private long CountedFlights()
    {
        using EmbeddedBroker broker = OpenBroker();
        return broker.ReadAll(FlightTopics.Live.Airlines.Name).Count;
    }

    private void CheckTable()
    {
        using JsonDocument table = JsonDocument.Parse(File.ReadAllText(_folder.File("table.json")));
        Assert.Equal(
            PlainSummary.OfJanuary().Select(airline => string.Create(
                CultureInfo.InvariantCulture,
                $$"""{"airline":"{{airline.Key}}","flights":{{airline.Value.Flights}},"departed":{{airline.Value.Departed}},"sum_dep_delay":{{airline.Value.SumDepDelay}},"max_dep_delay":{{airline.Value.MaxDepDelay}},"min_dep_delay":{{airline.Value.MinDepDelay}},"distance":{{airline.Value.Distance}}}""")),
            table.RootElement.EnumerateArray().Select(airline => JsonSerializer.Serialize(airline)));
    }
}
