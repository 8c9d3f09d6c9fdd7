using Spectre.Console;
using Spectre.Console.Rendering;

namespace KStreamSharp.Flows.Flights;

/// <summary>
/// Shows the board while the flow runs: a table that is drawn again on a terminal, else plain lines. A replay has an end, and
/// with it a total and a count of the flights replayed; a topic on Kafka has none, and instances share it.
/// </summary>
internal sealed class FlightsView(FlightsBoard board, Func<EngineStatus> status, (int Total, Func<int> Replayed)? replay, TimeProvider time)
{
    private const int WidthOfNames = 90;
    private const int WidthOfPlanes = 108;
    private const int WidthOfAll = 132;
    private const int PlaneLettersMax = 38;
    private const int WidthOfFlights = 64;
    private const int NewsLettersBefore = 22;

    /// <summary>The lines beside the airlines: progress, three kinds of news, the last line; and the terminal's own, where the cursor is.</summary>
    private const int OtherLines = 6;
    private const int FramedLines = 5;
    private const int HeaderLines = 1;

    private static readonly TimeSpan RateOver = TimeSpan.FromSeconds(2);

    private readonly Queue<(long At, long Flights)> _pace = [];

    private bool IsThrough => replay is { } known && board.Flights >= known.Total;

    /// <summary>Draws the table twice a second until the token is cancelled.</summary>
    public async Task DrawAsync(CancellationToken stop) =>
        await AnsiConsole.Live(Picture(AnsiConsole.Profile.Width, AnsiConsole.Profile.Height)).AutoClear(true).StartAsync(async live =>
        {
            using PeriodicTimer tick = new(TimeSpan.FromMilliseconds(500), time);
            while (await NextAsync(tick, stop))
            {
                live.UpdateTarget(Picture(AnsiConsole.Profile.Width, AnsiConsole.Profile.Height));
            }
        });

    /// <summary>Writes a line of progress each second, and a line for the newest event of each kind.</summary>
    public async Task WriteAsync(TextWriter output, CancellationToken stop)
    {
        Dictionary<News, long> told = board.AllNews.ToDictionary(news => news, news => news.Count);
        using PeriodicTimer tick = new(TimeSpan.FromSeconds(1), time);
        bool wasThrough = false;
        string last = "";
        while (await NextAsync(tick, stop))
        {
            foreach (News news in board.AllNews.Where(news => news.Count > told[news]))
            {
                output.WriteLine($"  {news.Name,-6}  {news.Newest}");
                told[news] = news.Count;
            }

            string line = Progress();
            if (!wasThrough && (replay is not null || line != last))
            {
                output.WriteLine(line);
            }

            last = line;

            if (IsThrough && !wasThrough)
            {
                output.WriteLine(Through);
                wasThrough = true;
            }
        }
    }

    private static string Through => "All flights were played. Ctrl-C ends; run flights --again plays them again.";

    private async Task<bool> NextAsync(PeriodicTimer tick, CancellationToken stop)
    {
        try
        {
            await tick.WaitForNextTickAsync(stop);
        }
        catch (OperationCanceledException)
        {
            return false;
        }

        board.Refresh();
        return true;
    }

    private string Progress()
    {
        EngineStatus now = status();
        if (now.ShardCount == 0)
        {
            return "Starting";
        }

        int ready = now.Shards.Count(shard => shard.State == ShardState.Running);
        int expected = replay is null ? now.Shards.Count : now.ShardCount;
        if (ready < expected)
        {
            return $"Bringing the state up to date: {ready} of {expected} shards ready";
        }

        string here = replay is null ? $"  {ready} of {now.ShardCount} shards here" : "";
        return board.ReplayTime is not { } at
            ? $"Waiting for the first flight{here}"
            : $"{at:yyyy-MM-dd HH:mm} UTC  {board.Flights:N0}{(replay is { } known ? $" of {known.Total:N0}" : "")} flights  {(Rate() is { } rate ? $"{rate:N0}/s  " : "")}mean delay {Minutes(board.MeanDelay)} min{here}";
    }

    /// <summary>Flights per second over the last two seconds; null at first.</summary>
    private double? Rate()
    {
        long now = time.GetTimestamp();
        _pace.Enqueue((now, board.Flights));
        while (_pace.Count > 2 && time.GetElapsedTime(_pace.Peek().At, now) > RateOver)
        {
            _pace.Dequeue();
        }

        (long at, long flights) = _pace.Peek();
        double seconds = time.GetElapsedTime(at, now).TotalSeconds;
        return seconds > 0 ? (board.Flights - flights) / seconds : null;
    }

    /// <summary>What a terminal of a size shows: a low one no frame, and then no small airlines, so that the header and the last line are always seen.</summary>
    internal Rows Picture(int width, int height)
    {
        bool framed = board.Airlines.Count + FramedLines + OtherLines <= height;
        int room = Math.Max(1, height - OtherLines - (framed ? FramedLines : HeaderLines));
        string[] shown = board.Airlines.Count <= room
            ? [.. board.Airlines.Keys]
            : [.. board.Airlines.OrderByDescending(airline => airline.Value.Total.Flights).Take(room - 1).Select(airline => airline.Key).Order(StringComparer.Ordinal)];
        Table table = new Table().Border(framed ? TableBorder.Rounded : TableBorder.None);
        if (framed)
        {
            table.Title("Flights out of New York");
        }

        table.AddColumn("Airline").AddColumn(new TableColumn("Flights").RightAligned()).AddColumn(new TableColumn("Mean delay").RightAligned());
        bool flights = width >= WidthOfFlights;
        if (flights)
        {
            table.AddColumn("Last flight");
        }

        // One line per airline, or the table would be higher than the screen: on a narrow one it says less.
        bool planes = width >= WidthOfPlanes;
        bool names = width >= (planes ? WidthOfAll : WidthOfNames);
        if (planes)
        {
            table.AddColumn("Plane");
        }

        foreach (string code in shown)
        {
            AirlineLine airline = board.Airlines[code];
            FlightWithPlane? last = airline.LastFlight;
            double? delay = airline.Total.MeanDepDelay;
            IRenderable[] cells =
            [
                new Text(names ? AirlineName.Of(code) : code, new Style(Color.Aqua)),
                new Text($"{airline.Total.Flights:N0}"),
                new Text($"{Minutes(delay)} min", new Style(delay > 15 ? Color.Red : delay > 5 ? Color.Yellow : Color.Green)),
                .. flights ? [new Text(last is null ? "" : $"{last.Scheduled:MM-dd HH:mm}  {last.Carrier}{last.Flight} {last.Origin}-{last.Dest}")] : Array.Empty<IRenderable>(),
                .. planes ? [new Text(last is null ? "" : Short($"{last.Manufacturer} {last.Model}, {last.Seats} seats"))] : Array.Empty<IRenderable>(),
            ];
            table.AddRow(cells);
        }

        if (shown.Length < board.Airlines.Count)
        {
            table.AddRow(new Text($"{board.Airlines.Count - shown.Length} more", new Style(Color.Grey)));
        }

        Grid news = new Grid().AddColumn().AddColumn(new GridColumn().RightAligned()).AddColumn(new GridColumn());
        foreach (News kind in board.AllNews)
        {
            news.AddRow(new Text(kind.Name, new Style(Color.Aqua)), new Text($"{kind.Count:N0}"), new Text(Short(kind.Newest ?? kind.Meaning, width - NewsLettersBefore)));
        }

        IRenderable end = IsThrough
            ? new Text(Short(Through, width), new Style(Color.Green))
            : new Text(
                Short(replay is { } known && known.Replayed() >= known.Total ? "All flights are in the topic; the flow catches up. Ctrl-C ends." : "Ctrl-C ends; the next start goes on from here.", width),
                new Style(Color.Grey));
        return new Rows(table, new Text(Short(Progress(), width)), news, end);
    }

    private static string Short(string text, int letters = PlaneLettersMax) => text.Length <= letters ? text : text[..(Math.Max(1, letters) - 1)] + "…";

    public static string Minutes(double? minutes) => minutes is { } some ? $"{some:+0.0;-0.0;0.0}" : "-";
}
