using KStreamSharp.Flows.Flights;
using KStreamSharp.Hosting;
using Spectre.Console;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The live table in terminals of several sizes: its header and its last line are always there.</summary>
public sealed class FlightsViewTests
{
    private static readonly string[] Codes = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"];

    [Theory]
    [InlineData(80, 24, 16)]
    [InlineData(80, 20, 12)]
    [InlineData(40, 12, 4)]
    [InlineData(140, 45, 16)]
    [InlineData(140, 24, 16)]
    public void HeaderAndLastLineAreShownWhateverTheSize(int width, int height, int airlines)
    {
        string[] lines = Draw(width, height, played: false);
        TestContext.Current.TestOutputHelper!.WriteLine(string.Join('\n', lines));
        Assert.InRange(lines.Length, 1, height - 1);
        Assert.All(lines, line => Assert.InRange(line.Length, 0, width));
        Assert.Contains("Airline", string.Concat(lines.Take(3)), StringComparison.Ordinal);
        Assert.StartsWith("Ctrl-C ends", lines[^1], StringComparison.Ordinal);
        Assert.Equal(airlines, lines.Count(line => Codes.Any(code => line.Contains($" {AirlineName.Of(code)} ", StringComparison.Ordinal) || line.TrimStart('│', ' ').StartsWith(code + " ", StringComparison.Ordinal))));
        Assert.Equal(airlines < 16, lines.Any(line => line.Contains(" more", StringComparison.Ordinal)));
    }

    [Fact]
    public void OnceOverItSaysHowToPlayAgain() =>
        Assert.Equal("All flights were played. Ctrl-C ends; run flights --again plays them again.", Draw(80, 24, played: true)[^1].TrimEnd());

    private static string[] Draw(int width, int height, bool played)
    {
        using EmbeddedBroker broker = EmbeddedBroker.InMemory();
        LiveTopics topics = FlightTopics.Live;
        foreach (string name in (string[])[topics.Airlines.Name, topics.WithPlanes.Name, topics.Rests.Name, topics.Batches.Name, topics.Silences.Name])
        {
            broker.CreateTopic(name, 1);
        }

        DateTimeOffset at = new(2013, 1, 31, 23, 0, 0, TimeSpan.Zero);
        Write(broker, topics.Airlines, Codes.Select((code, i) => (code, new AirlineTotal(1_000 + i, 990, 5_000, 5))));
        Write(broker, topics.WithPlanes, Codes.Select(code => (code, new FlightWithPlane(code, 1_234, "EWR", "LAX", at, "BOEING", "737-990ER WITH A LONG NAME", 179, 2012))));
        Write(broker, topics.Rests, [("N12345", new Rest("UA", 12.5, 14, 1_500, 12_345, "EWR"))]);
        Write(broker, topics.Batches, [("EWR", new Batch(10, 5, 12_345, at, at))]);
        using FlightsBoard board = new(broker, topics);
        board.Refresh(toEnd: true);
        FlightsView view = new(board, () => StreamEngine.NotStarted, (played ? 1 : 27_004, () => 100), TimeProvider.System);
        using StringWriter text = new();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(text) });
        console.Profile.Width = width;
        console.Profile.Height = height;
        console.Write(view.Picture(width, height));
        return text.ToString().TrimEnd('\n').Split('\n');
    }

    private static void Write<T>(Broker broker, KeyedTopic<string, T> topic, IEnumerable<(string Key, T Value)> records)
    {
        using TopicWriter<string, T> writer = new(broker, topic);
        foreach ((string key, T value) in records)
        {
            writer.Append(key, value, new DateTimeOffset(2013, 1, 31, 23, 0, 0, TimeSpan.Zero));
        }

        writer.Flush();
    }
}
