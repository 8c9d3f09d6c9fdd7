using System.Text.Json;
using System.Text.Json.Nodes;
using KStreamSharp.Tests.Cases;

if (args.Length != 1 || !File.Exists(args[0]))
{
    Console.Error.WriteLine("usage: run-cases FILE");
    return 2;
}

JsonNode? file;
try
{
    file = JsonNode.Parse(File.ReadAllText(args[0]));
}
catch (JsonException error)
{
    Console.Error.WriteLine($"{args[0]} is no JSON: {error.Message}");
    return 2;
}

int passed = 0;
int failed = 0;
foreach (JsonNode? @case in file!["cases"]!.AsArray())
{
    string? complaint = Complaint(@case!.AsObject());
    if (complaint is null)
    {
        passed++;
    }
    else
    {
        failed++;
        Console.WriteLine($"{@case["id"]}: {complaint}");
    }
}

Console.WriteLine($"{passed} passed, {failed} failed");
return failed == 0 ? 0 : 1;

static string? Complaint(JsonObject @case)
{
    try
    {
        string? complaint = new CaseRun(@case, evictAlways: false).Complaint();

        // Logics that come back from their snapshots after every turn must do the same; the calls differ, of course.
        return complaint ?? (@case.Any(entry => entry.Key.StartsWith("expected_calls", StringComparison.Ordinal))
            ? null
            : new CaseRun(@case, evictAlways: true).Complaint() is { } evicted ? $"with every logic evicted after each turn: {evicted}" : null);
    }
    catch (Exception error)
    {
        return $"the runner failed: {error.GetType().Name}: {error.Message}";
    }
}
