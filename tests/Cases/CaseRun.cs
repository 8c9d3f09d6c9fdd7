using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using KStreamSharp.Testing;
using static KStreamSharp.Tests.Cases.Logics;

namespace KStreamSharp.Tests.Cases;

/// <summary>Plays one case on a <see cref="FlowDriver"/> and compares what came out.</summary>
internal sealed class CaseRun
{
    /// <summary>For people: texts as they are where JSON allows it.</summary>
    public static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly JsonObject _case;
    private readonly CaseFlow _flow;
    private readonly LogicSettings _settings;
    private readonly bool _evictAlways;
    private readonly bool _commitsEachBatch;
    private readonly Dictionary<string, List<List<Out>>> _runs = [];
    private readonly Dictionary<string, int> _before = [];
    private FlowDriver _driver = null!;
    private bool _isRunning;
    private int _run = -1;
    private int _pushed;

    public CaseRun(JsonObject @case, bool evictAlways)
    {
        _case = @case;
        _evictAlways = evictAlways;
        JsonObject config = @case["config"]?.AsObject() ?? [];
        DateTimeOffset start = config["system_start"] is { } given
            ? DateTimeOffset.Parse(Text(given), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal)
            : new DateTimeOffset(2024, 1, 1, 0, 0, 0, TimeSpan.Zero);
        _settings = new LogicSettings(config, start, []);
        _flow = new CaseFlow(@case, _settings);
        _commitsEachBatch = config["snapshot"] is { } snapshot && Text(snapshot) == "each_batch";
    }

    /// <summary>What is wrong, or null when the case passes.</summary>
    public string? Complaint()
    {
        bool refusalExpected = _case.ContainsKey("expected_error");
        try
        {
            string? complaint = _flow.Operator == "execution_resume" ? Executions() : Play();
            complaint ??= refusalExpected ? $"expected an error ({_case["expected_error"]}), got none" : null;
            return complaint ?? Compare();
        }
        catch (Exception error) when (refusalExpected && IsRefusal(error))
        {
            if (_isRunning)
            {
                EndRun();
            }

            return Compare();
        }
        finally
        {
            _driver?.Dispose();
        }
    }

    /// <summary>Refused or stopped by the engine; what the runner does not know is neither.</summary>
    private static bool IsRefusal(Exception error) =>
        error is FlowException or StreamException or ArgumentException && error is not { InnerException: NotSupportedException };

    private FlowDriverOptions Options => new()
    {
        Start = _settings.Start,
        Shards = _settings.Config["workers"] is { } workers ? (int)Int(workers) : 1,
        EvictAlways = _evictAlways,
    };

    private string? Play()
    {
        foreach (JsonNode? entry in Inputs())
        {
            JsonObject input = entry!.AsObject();
            if (input["downtime_ms"] is { } downtime)
            {
                if (_driver is null)
                {
                    Begin();
                }

                _driver!.AdvanceQuietly(TimeSpan.FromMilliseconds((double)Number(downtime)));
                continue;
            }

            if (!_isRunning)
            {
                Begin();
            }

            if (Apply(input) is { } complaint)
            {
                return complaint;
            }
        }

        int runs = _case.Where(entry => entry.Key.EndsWith("_runs", StringComparison.Ordinal)).Select(entry => entry.Value!.AsArray().Count).Append(1).Max();
        while (_isRunning || _run + 1 < runs)
        {
            if (!_isRunning)
            {
                Begin();
            }

            EndRun();
        }

        return null;
    }

    private IEnumerable<JsonNode?> Inputs()
    {
        if (_flow.Operator != "join_state")
        {
            return _case["input"]!.AsArray();
        }

        List<JsonNode?> items = [];
        JsonArray seen = _settings.Config["seen"]!.AsArray();
        for (int side = 0; side < seen.Count; side++)
        {
            items.AddRange(seen[side]!.AsArray().Select(value => (JsonNode?)new JsonObject { ["key"] = "ALL", ["value"] = Copy(value), ["side"] = side }));
        }

        return [.. items, new JsonObject { ["key"] = "ALL", ["value"] = true, ["side"] = seen.Count }, new JsonObject { ["eof"] = true }];
    }

    private string? Apply(JsonObject input)
    {
        if (input.ContainsKey("value"))
        {
            Deliver([input]);
            return null;
        }

        string? complaint = null;
        foreach ((string marker, JsonNode? value) in input)
        {
            complaint ??= Apply(marker, value);
        }

        return complaint;
    }

    private string? Apply(string marker, JsonNode? value)
    {
        switch (marker)
        {
            case "batch":
                Deliver([.. value!.AsArray().Select(item => item!.AsObject())]);
                break;
            case "advance_ms":
                _driver.AdvanceQuietly(TimeSpan.FromMilliseconds((double)Number(value)));
                _driver.Turn();
                break;
            case "advance_quiet_ms":
                _driver.AdvanceQuietly(TimeSpan.FromMilliseconds((double)Number(value)));
                break;
            case "wake":
                _driver.Turn();
                break;
            case "check_emitted":
                int emitted = Read("out").Count;
                return emitted == Int(value) ? null : $"expected {value} items emitted by now, got {emitted}";
            case "snapshot":
                _driver.Turn();
                Commit();
                break;
            case "set_external":
                foreach ((string key, JsonNode? entry) in value!.AsObject())
                {
                    _flow.External[key] = Copy(entry);
                }

                break;
            case "eof":
                _driver.End();
                EndRun();
                break;
            case "abort":
                _driver.Crash();
                EndRun();
                break;
            default:
                throw new NotSupportedException($"no marker '{marker}'");
        }

        return null;
    }

    private void Deliver(JsonObject[] items)
    {
        foreach (JsonObject item in items)
        {
            Push(item);
        }

        _driver.Turn();
        _driver.Turn();
        if (_commitsEachBatch || _flow.Operator == "redistribute")
        {
            Commit();
        }
    }

    private void Commit()
    {
        if (_flow.Crosses)
        {
            _driver.Run();
        }
        else
        {
            _driver.Commit();
        }
    }

    private void Push(JsonObject item, int? run = null)
    {
        int side = item["side"] is { } index ? (int)Int(index) : 0;
        string topic = CaseFlow.InputName(side, run ?? _run);
        DateTimeOffset timestamp = _settings.Start.AddMilliseconds(_pushed++);
        if (_flow.IsKeyed)
        {
            string? key = item["key"] is not { } given ? null
                : Is(given, JsonValueKind.String) ? Text(given)
                : throw new FlowException($"The key {given.ToJsonString()} is no string, and the flow's keys are.");
            _driver.Push(CaseFlow.Pairs(topic), key!, item["value"], timestamp);
        }
        else
        {
            _driver.Push(CaseFlow.Values(topic), item["value"], timestamp);
        }
    }

    private void Begin()
    {
        _run++;
        if (_driver is null)
        {
            _driver = new FlowDriver(_flow.Build(_run), Options);
        }
        else
        {
            _driver.Restart(_flow.Build(_run));
        }

        _isRunning = true;
        _driver.Turn();
    }

    private void EndRun()
    {
        _isRunning = false;
        foreach (string stream in (string[])["out", "trues", "falses", "inspected", "getter_calls", "calls"])
        {
            string source = stream is "out" or "trues" or "falses" ? CaseFlow.OutputName(stream, _run) : stream;
            List<Out> all = Read(stream);
            (_runs.TryGetValue(stream, out List<List<Out>>? runs) ? runs : _runs[stream] = []).Add(all[_before.GetValueOrDefault(source)..]);
            _before[source] = all.Count;
        }
    }

    /// <summary>The whole flow is executed again and again over one source, whose markers end or abort an execution.</summary>
    private string? Executions()
    {
        bool recovers = _settings.Config["recovery"]?.GetValue<bool>() ?? true;
        bool eachBatch = _settings.Config["epoch"] is { } epoch && Text(epoch) == "each_batch";
        int batchSize = _settings.Config["batch_size"] is { } size ? (int)Int(size) : 1;
        JsonObject[] source = [.. _case["input"]!.AsArray().Select(entry => entry!.AsObject())];
        HashSet<int> aborted = [];
        int executions = _case["expected_runs"]?.AsArray().Count ?? 1;
        int position = 0;
        int available = 0;
        _run = 0;
        for (int execution = 0; execution < executions; execution++)
        {
            if (execution == 0)
            {
                _driver = new FlowDriver(_flow.Build(0), Options);
            }
            else if (recovers)
            {
                _driver.Restart();
            }
            else
            {
                _driver.Dispose();
                _driver = new FlowDriver(_flow.Build(0), Options);
                _before.Remove(CaseFlow.OutputName("out", 0));
                position = available = 0;
            }

            // The engine reads again what was pushed before and not committed; the rest of the source is pushed now.
            _driver.Turn();
            if (eachBatch)
            {
                _driver.Commit();
            }

            position = available;
            bool over = false;
            int inBatch = 0;
            while (!over && position < source.Length)
            {
                JsonObject entry = source[position++];
                if (entry.ContainsKey("source_eof"))
                {
                    over = true;
                }
                else if (entry.ContainsKey("source_abort"))
                {
                    if (aborted.Add(position))
                    {
                        Batch();
                        available = position;
                        _driver.Crash();
                        EndRun();
                        goto next;
                    }
                }
                else
                {
                    Push(entry);
                    if (++inBatch == batchSize)
                    {
                        Batch();
                    }
                }
            }

            Batch();
            available = position;
            _driver.End();
            EndRun();
        next:;

            void Batch()
            {
                if (inBatch > 0)
                {
                    _driver.Turn();
                    if (eachBatch)
                    {
                        _driver.Commit();
                    }

                    inBatch = 0;
                }
            }
        }

        return null;
    }

    private string? Compare()
    {
        foreach ((string name, JsonNode? expected) in _case.Where(entry => entry.Key.StartsWith("expected", StringComparison.Ordinal) && entry.Key != "expected_error"))
        {
            if (expected is null)
            {
                continue;
            }

            bool byRun = name.EndsWith("_runs", StringComparison.Ordinal);
            string stream = (byRun ? name[..^"_runs".Length] : name)["expected".Length..].TrimStart('_') is { Length: > 0 } named ? named : "out";
            List<List<Out>> got = _runs.GetValueOrDefault(stream) ?? [];
            string? complaint = byRun ? Runs(stream, expected.AsArray(), got) : Differ(Outs(stream, expected), [.. got.SelectMany(run => run)]);
            if (complaint is not null)
            {
                return stream == "out" ? complaint : $"{name}: {complaint}";
            }
        }

        return null;
    }

    private string? Runs(string stream, JsonArray expected, List<List<Out>> got)
    {
        for (int run = 0; run < Math.Max(expected.Count, got.Count); run++)
        {
            List<Out> wanted = run < expected.Count ? Outs(stream, expected[run]!) : [];
            if (Differ(wanted, run < got.Count ? got[run] : []) is { } complaint)
            {
                return $"run {run + 1}: {complaint}";
            }
        }

        return null;
    }

    private string? Differ(List<Out> expected, List<Out> got)
    {
        bool unordered = _case["unordered"]?.GetValue<bool>() == true || (_case["level"] is { } level && Text(level) == "artefact");
        bool severalKeys = expected.Select(item => item.Key).Distinct().Count() > 1;
        return Ordered(expected).SequenceEqual(Ordered(got)) ? null : $"expected {Show(expected)}, got {Show(got)}";

        IEnumerable<Out> Ordered(List<Out> items) => unordered
            ? items.OrderBy(item => item.Key, StringComparer.Ordinal).ThenBy(item => item.Value, StringComparer.Ordinal)
            : severalKeys ? items.OrderBy(item => item.Key, StringComparer.Ordinal) : items;

        static string Show(List<Out> items) => $"[{string.Join(", ", items.Select(item => item.Key is null ? item.Value : $"{item.Key}: {item.Value}"))}]";
    }

    private static List<Out> Outs(string stream, JsonNode expected) =>
    [
        .. expected.AsArray().Select(item => stream is not ("out" or "trues" or "falses") ? new Out(null, Canonical(item))
            : item is JsonArray row ? new Out("ALL", Canonical(row))
            : new Out(item!["key"] is { } key ? Text(key) : null, Canonical(item["value"]))),
    ];

    private List<Out> Read(string stream)
    {
        switch (stream)
        {
            case "inspected":
                return [.. _flow.Inspected.Select(seen => new Out(null, Canonical(Logics.Array(seen.Step, seen.Item))))];
            case "getter_calls":
                return [.. _flow.GetterCalls.Select(key => new Out(null, Canonical(key)))];
            case "calls":
                return [.. _settings.Calls.Select(call => new Out(null, Canonical(Logics.Array(call.Method, call.Key))))];
            default:
                return _flow.EmitsKeys
                    ? [.. _driver.Emitted(CaseFlow.Pairs(CaseFlow.OutputName(stream, _run))).Select(record => new Out(record.Key, Canonical(record.Value)))]
                    : [.. _driver.Emitted(CaseFlow.Values(CaseFlow.OutputName(stream, _run))).Select(value => new Out(null, Canonical(value)))];
        }
    }

    /// <summary>Values as text, numbers by value, names in order.</summary>
    private static string Canonical(JsonNode? node) => node switch
    {
        null => "null",
        JsonArray array => $"[{string.Join(",", array.Select(Canonical))}]",
        JsonObject item => $"{{{string.Join(",", item.OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => $"{entry.Key}:{Canonical(entry.Value)}"))}}}",
        JsonValue when Is(node, JsonValueKind.Number) => NumberText(node.ToJsonString()),
        _ => node.ToJsonString(Readable),
    };

    /// <summary>Whole numbers exactly, others to the digits that a sum in binary does not blur.</summary>
    private static string NumberText(string number) =>
        decimal.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out decimal exact) && decimal.Truncate(exact) == exact && (exact != 0 || !number.Contains("e-", StringComparison.OrdinalIgnoreCase))
            ? decimal.Truncate(exact).ToString("0", CultureInfo.InvariantCulture)
            : double.Parse(number, CultureInfo.InvariantCulture).ToString("G12", CultureInfo.InvariantCulture);

    private sealed record Out(string? Key, string Value);
}
