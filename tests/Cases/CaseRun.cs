using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using KStreamSharp.Testing;
using static KStreamSharp.Tests.Cases.Logics;

namespace KStreamSharp.Tests.Cases;

/// <summary>Plays one case on a <see cref="FlowDriver"/> and compares what came out.</summary>
internal sealed class CaseRun
{
    private readonly JsonObject _case;
    private readonly CaseFlow _flow;
    private readonly LogicSettings _settings;
    private readonly bool _evictAlways;
    private readonly bool _commitsEachBatch;
    private readonly List<List<Out>> _runs = [];
    private readonly List<List<(string, string)>> _callsByRun = [];
    private FlowDriver _driver = null!;
    private bool _isRunning;
    private int _run = -1;
    private int _outputsBefore;
    private int _callsBefore;
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
            if (complaint is not null)
            {
                return complaint;
            }
        }
        catch (Exception error) when (refusalExpected && error is FlowException or StreamException or ArgumentException)
        {
            return null;
        }
        finally
        {
            _driver?.Dispose();
        }

        return refusalExpected ? $"expected an error ({_case["expected_error"]}), got none" : Compare();
    }

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

        if (_run < 0)
        {
            Begin();
        }

        if (_isRunning)
        {
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

        return [.. items, new JsonObject { ["eof"] = true }];
    }

    private string? Apply(JsonObject input)
    {
        if (input["batch"] is { } batch)
        {
            Deliver([.. batch.AsArray().Select(item => item!.AsObject())]);
        }
        else if (input.ContainsKey("value"))
        {
            Deliver([input]);
        }
        else if (input["advance_ms"] is { } advance)
        {
            _driver.AdvanceQuietly(TimeSpan.FromMilliseconds((double)Number(advance)));
            _driver.Turn();
        }
        else if (input["advance_quiet_ms"] is { } quiet)
        {
            _driver.AdvanceQuietly(TimeSpan.FromMilliseconds((double)Number(quiet)));
        }
        else if (input.ContainsKey("wake"))
        {
            _driver.Turn();
        }
        else if (input["check_emitted"] is { } count)
        {
            int emitted = ReadOut("out").Count - _outputsBefore;
            return emitted == Int(count) ? null : $"expected {count} items emitted by now, got {emitted}";
        }
        else if (input.ContainsKey("snapshot"))
        {
            _driver.Turn();
            _driver.Commit();
        }
        else if (input["set_external"] is { } table)
        {
            foreach ((string key, JsonNode? value) in table.AsObject())
            {
                _flow.External[key] = Copy(value);
            }
        }
        else if (input.ContainsKey("eof"))
        {
            _driver.End();
            EndRun();
        }
        else if (input.ContainsKey("abort"))
        {
            _driver.Crash();
            EndRun();
        }
        else
        {
            throw new NotSupportedException($"no marker {input.ToJsonString()}");
        }

        return null;
    }

    private void Deliver(JsonObject[] items)
    {
        foreach (JsonObject item in items)
        {
            Push(item);
        }

        if (_flow.Crosses)
        {
            _driver.Run();
            return;
        }

        _driver.Turn();
        _driver.Turn();
        if (_commitsEachBatch)
        {
            _driver.Commit();
        }
    }

    private void Push(JsonObject item, int? run = null)
    {
        int side = item["side"] is { } given ? (int)Int(given) : 0;
        string topic = CaseFlow.InputName(side, run ?? _run);
        DateTimeOffset timestamp = _settings.Start.AddMilliseconds(_pushed++);
        if (_flow.IsKeyed)
        {
            _driver.Push(CaseFlow.Pairs(topic), item["key"] is { } key ? Text(key) : null!, item["value"], timestamp);
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
        List<Out> all = ReadOut("out");
        _runs.Add(all[_outputsBefore..]);
        _outputsBefore = all.Count;
        _callsByRun.Add([.. _settings.Calls.Skip(_callsBefore)]);
        _callsBefore = _settings.Calls.Count;
    }

    /// <summary>The whole flow is executed again and again over one source, whose markers end or abort an execution.</summary>
    private string? Executions()
    {
        bool recovers = _settings.Config["recovery"]?.GetValue<bool>() ?? true;
        bool eachBatch = _settings.Config["epoch"] is { } epoch && Text(epoch) == "each_batch";
        int batchSize = _settings.Config["batch_size"] is { } size ? (int)Int(size) : 1;
        JsonObject[] source = [.. _case["input"]!.AsArray().Select(entry => entry!.AsObject())];
        HashSet<int> acted = [];
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
                _outputsBefore = 0;
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
                    over = acted.Add(position);
                }
                else if (entry.ContainsKey("source_abort"))
                {
                    if (acted.Add(position))
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
        bool unordered = _case["unordered"]?.GetValue<bool>() == true;
        foreach ((string name, JsonNode? expected) in _case.Where(entry => entry.Key.StartsWith("expected", StringComparison.Ordinal)))
        {
            string? complaint = name switch
            {
                "expected" => Differ(Outs(expected), [.. _runs.SelectMany(run => run)], unordered),
                "expected_runs" => Runs(expected!.AsArray(), unordered),
                "expected_trues" => Differ(Outs(expected), ReadOut("trues"), unordered),
                "expected_falses" => Differ(Outs(expected), ReadOut("falses"), unordered),
                "expected_inspected" => Same(expected!, Logics.Array(_flow.Inspected.Select(seen => (JsonNode?)Logics.Array(seen.Step, seen.Item)))),
                "expected_getter_calls" => Same(expected!, Logics.Array(_flow.GetterCalls.Select(key => (JsonNode?)key))),
                "expected_calls" => Same(expected!, Calls(_settings.Calls)),
                "expected_calls_runs" => Same(expected!, Logics.Array(_callsByRun.Select(calls => (JsonNode?)Calls(calls)))),
                "expected_error" => null,
                _ => $"no comparison for '{name}'",
            };
            if (complaint is not null)
            {
                return complaint;
            }
        }

        return null;
    }

    private string? Runs(JsonArray expected, bool unordered)
    {
        for (int run = 0; run < Math.Max(expected.Count, _runs.Count); run++)
        {
            List<Out> wanted = run < expected.Count ? Outs(expected[run]) : [];
            if (Differ(wanted, run < _runs.Count ? _runs[run] : [], unordered) is { } complaint)
            {
                return $"run {run + 1}: {complaint}";
            }
        }

        return null;
    }

    private static string? Differ(List<Out> expected, List<Out> got, bool unordered)
    {
        bool severalKeys = expected.Select(item => item.Key).Distinct().Count() > 1;
        return Equal(Ordered(expected), Ordered(got)) ? null : $"expected {Show(expected)}, got {Show(got)}";

        IEnumerable<Out> Ordered(List<Out> items) => unordered
            ? items.OrderBy(item => item.Key, StringComparer.Ordinal).ThenBy(item => item.Value, StringComparer.Ordinal)
            : severalKeys ? items.OrderBy(item => item.Key, StringComparer.Ordinal) : items;

        static bool Equal(IEnumerable<Out> x, IEnumerable<Out> y) => x.SequenceEqual(y);

        static string Show(List<Out> items) => $"[{string.Join(", ", items.Select(item => item.Key is null ? item.Value : $"{item.Key}: {item.Value}"))}]";
    }

    private static string? Same(JsonNode expected, JsonNode got) =>
        Canonical(expected) == Canonical(got) ? null : $"expected {Canonical(expected)}, got {Canonical(got)}";

    private static JsonArray Calls(List<(string Method, string Key)> calls) => Logics.Array(calls.Select(call => (JsonNode?)Logics.Array(call.Method, call.Key)));

    private static List<Out> Outs(JsonNode? expected) =>
        [.. expected!.AsArray().Select(item => item is JsonArray row ? new Out("ALL", Canonical(row)) : new Out(item!["key"] is { } key ? Text(key) : null, Canonical(item["value"])))];

    private List<Out> ReadOut(string topic)
    {
        bool keyed = (_flow.IsKeyed && _flow.Operator != "key_rm") || _flow.Operator is "key_on" or "count_final";
        return keyed
            ? [.. _driver.Emitted(CaseFlow.Pairs(topic)).Select(record => new Out(record.Key, Canonical(record.Value)))]
            : [.. _driver.Emitted(CaseFlow.Values(topic)).Select(value => new Out(null, Canonical(value)))];
    }

    /// <summary>Values as text, numbers by value, names in order.</summary>
    private static string Canonical(JsonNode? node) => node switch
    {
        null => "null",
        JsonArray array => $"[{string.Join(",", array.Select(Canonical))}]",
        JsonObject item => $"{{{string.Join(",", item.OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => $"{entry.Key}:{Canonical(entry.Value)}"))}}}",
        JsonValue value when value.GetValueKind() == JsonValueKind.Number => Math.Round(Number(value), 9).ToString("0.#########", CultureInfo.InvariantCulture),
        _ => node.ToJsonString(),
    };

    private sealed record Out(string? Key, string Value);
}
