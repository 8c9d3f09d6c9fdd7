using System.Text.Json;
using System.Text.Json.Nodes;
using KStreamSharp.Tests.Cases;

// A case that does not end is reported and left behind: nothing can stop its thread, and the process ends without it.
TimeSpan timeLimit = TimeSpan.FromSeconds(60);

if (args.Length != 1)
{
    Console.Error.WriteLine("usage: run-cases FILE");
    return 2;
}

JsonArray cases;
try
{
    cases = JsonNode.Parse(File.ReadAllText(args[0]), documentOptions: new() { AllowDuplicateProperties = false }) is JsonObject file && file["cases"] is JsonArray list ? list : throw new JsonException("it has no list 'cases'");
}
catch (Exception error) when (error is JsonException or ArgumentException or IOException or UnauthorizedAccessException)
{
    Console.Error.WriteLine($"{args[0]} is no file of cases: {error.Message}");
    return 2;
}

int passed = 0;
int failed = 0;
foreach (JsonNode? @case in cases)
{
    Task<string?> running = Task.Factory.StartNew(() => Complaint(@case), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    string? complaint = running.Wait(timeLimit) ? running.Result : $"expected {Expected(@case)}, got no end in {timeLimit.TotalSeconds} s";
    if (complaint is null)
    {
        passed++;
    }
    else
    {
        failed++;
        Console.WriteLine($"{Name(@case)}: {complaint.ReplaceLineEndings(" ")}");
    }
}

Console.WriteLine($"{passed} passed, {failed} failed");
return failed == 0 ? 0 : 1;

static string Name(JsonNode? @case) => (@case as JsonObject)?["id"]?.ToString() ?? "(no id)";

static string? Complaint(JsonNode? node)
{
    try
    {
        JsonObject @case = node as JsonObject ?? throw new JsonException("a case is an object");
        if (@case["input"] is not JsonArray)
        {
            throw new JsonException("the case has no list 'input'");
        }

        if (!@case.Any(entry => entry.Key.StartsWith("expected", StringComparison.Ordinal)))
        {
            throw new JsonException("the case expects nothing");
        }

        string? complaint = new CaseRun(@case, evictAlways: false).Complaint();

        // Logics that come back from their snapshots after every turn must do the same; the calls differ, of course.
        return complaint ?? (@case.Any(entry => entry.Key.StartsWith("expected_calls", StringComparison.Ordinal))
            ? null
            : new CaseRun(@case, evictAlways: true).Complaint() is { } evicted ? $"with every logic evicted after each turn: {evicted}" : null);
    }
    catch (Exception error)
    {
        return $"expected {Expected(node)}, got {error.GetType().Name}: {error.Message}";
    }
}

static string Expected(JsonNode? @case) => @case is JsonObject entries && entries.FirstOrDefault(entry => entry.Key.StartsWith("expected", StringComparison.Ordinal)).Value is { } expected
    ? expected.ToJsonString(CaseRun.Readable)
    : "(nothing)";
