using System.Text.Json;
using System.Text.Json.Nodes;
using static KStreamSharp.Tests.Cases.Logics;

namespace KStreamSharp.Tests.Cases;

/// <summary>The flow of a case: its operator between inputs of its own for each run and outputs that stay.</summary>
internal sealed class CaseFlow
{
    private static readonly HashSet<string> Keyed =
    [
        "map_value", "filter_value", "flat_map_value", "filter_map_value", "key_rm", "stateful", "stateful_batch", "stateful_map", "stateful_flat_map",
        "fold_final", "reduce_final", "max_final", "min_final", "collect", "join", "join_state",
    ];

    private readonly JsonObject _config;
    private readonly LogicSettings _settings;
    private readonly string _step;
    private int _run;

    public CaseFlow(JsonObject @case, LogicSettings settings)
    {
        _settings = settings;
        _config = settings.Config;
        Operator = Text(@case["operator"]);
        List<JsonObject> items = [.. Items(@case["input"]!.AsArray())];
        IsKeyed = Keyed.Contains(Operator) || items.Exists(item => item["key"] is not null);
        _step = _config["step_id"] is { } step ? Text(step) : "op";

        // A join_state has one side more, which always has a value: without any there would be no key, and no row of nulls.
        Sides = Operator == "join_state" ? _config["seen"]!.AsArray().Count + 1
            : _config["sides"] is { } sides ? (int)Int(sides)
            : items.Select(item => item["side"] is { } side ? (int)Int(side) : 0).Append(0).Max() + 1;
    }

    public string Operator { get; }

    public bool IsKeyed { get; }

    public int Sides { get; }

    /// <summary>Whether items pass a topic of the engine on their way, which they do when they are committed.</summary>
    public bool Crosses => Operator is "redistribute" or "count_final";

    /// <summary>Whether the outputs have keys.</summary>
    public bool EmitsKeys => (IsKeyed && Operator != "key_rm") || Operator is "key_on" or "count_final";

    public Dictionary<string, JsonNode?> External { get; } = [];

    public List<string> GetterCalls { get; } = [];

    public List<(string Step, JsonNode? Item)> Inspected { get; } = [];

    public static ValueTopic<JsonNode?> Values(string name) => Topic.ValuesOrNull(name, Serde.Json<JsonNode>());

    public static KeyedTopic<string, JsonNode?> Pairs(string name) => Topic.Keyed(name, Serde.Utf8, Serde.Json<JsonNode?>());

    public static string InputName(int side, int run) => $"in-{side}-{run}";

    public static string OutputName(string stream, int run) => $"{stream}-{run}";

    /// <summary>The flow of a run: what an earlier one had not processed when it was aborted is not read again.</summary>
    public Dataflow Build(int run)
    {
        _run = run;
        if (Sides < 1)
        {
            throw new FlowException($"Step '{_step}' has no upstream.");
        }

        Dataflow flow = new(_config["flow_id"] is { } id ? Text(id) : "case");
        if (IsKeyed)
        {
            BuildKeyed([.. Enumerable.Range(0, Sides).Select(side => flow.Input($"case-in{side}", Pairs(InputName(side, run))))]);
        }
        else
        {
            BuildPlain([.. Enumerable.Range(0, Sides).Select(side => flow.Input($"case-in{side}", Values(InputName(side, run))))]);
        }

        return flow;
    }

    private string Logic => Text(_config["logic"] ?? throw new NotSupportedException("the case names no logic"));

    private void BuildPlain(Stream<JsonNode?>[] inputs)
    {
        Stream<JsonNode?> input = inputs[0];
        switch (Operator)
        {
            case "map":
                Out(input.Map(_step, x => Map(Logic, x)));
                break;
            case "filter":
                Out(input.Filter(_step, x => Test(Logic, x)));
                break;
            case "filter_map":
                Out(input.FilterMap(_step, x => Map(Logic, x)).Map("case-null", x => (JsonNode?)x));
                break;
            case "flat_map":
                Out(input.FlatMap(_step, x => FlatMap(Logic, x)));
                break;
            case "flat_map_batch":
                Out(input.FlatMapBatch(_step, batch => FlatMapBatch(Logic, batch)));
                break;
            case "flatten":
                Out(input.Map("case-lists", x => x!.AsArray().Select(Copy).ToArray()).Flatten(_step));
                break;
            case "branch":
                (Stream<JsonNode?> trues, Stream<JsonNode?> falses) = input.Branch(_step, x => Test(Logic, x));
                trues.Output("case-trues", Values(OutputName("trues", _run)));
                falses.Output("case-falses", Values(OutputName("falses", _run)));
                break;
            case "merge":
                Out(input.Merge(_step, inputs.AsSpan(1)));
                break;
            case "redistribute":
                Out(input.Redistribute(_step));
                break;
            case "inspect":
                Out(input.Inspect(_step, (step, item) => Inspected.Add((step, Copy(item)))));
                break;
            case "raises":
                input.Raises(_step);
                break;
            case "key_on":
                Out(input.KeyOn(_step, x => Key(Logic, x)));
                break;
            case "count_final":
                Out(input.CountFinal(_step, x => Key(_config["key"] is { } key ? Text(key) : "identity", x)).MapValue("case-json", count => (JsonNode?)count));
                break;
            case "enrich_cached":
                Out(input.EnrichCached<string, JsonNode?, JsonNode?>(_step, Lookup, (cache, item) => Copy(cache.Get(Text(item))), Milliseconds("ttl_ms")));
                break;
            case "execution_resume" or "output" or "input":
                Out(input);
                break;
            default:
                throw new NotSupportedException($"no operator '{Operator}'");
        }
    }

    private void BuildKeyed(KeyedStream<string, JsonNode?>[] inputs)
    {
        KeyedStream<string, JsonNode?> input = inputs[0];
        switch (Operator)
        {
            case "map_value":
                Out(input.MapValue(_step, x => Map(Logic, x)));
                break;
            case "filter_value":
                Out(input.FilterValue(_step, x => Test(Logic, x)));
                break;
            case "flat_map_value":
                Out(input.FlatMapValue(_step, x => FlatMap(Logic, x)));
                break;
            case "filter_map_value":
                Out(input.FilterMapValue(_step, x => Map(Logic, x)).MapValue("case-null", x => (JsonNode?)x));
                break;
            case "key_rm":
                Out(input.KeyRemove(_step));
                break;
            case "filter":
                Out(input.Filter(_step, (key, x) => Test(Logic, Row(key, x))));
                break;
            case "branch":
                (KeyedStream<string, JsonNode?> trues, KeyedStream<string, JsonNode?> falses) = input.Branch(_step, (key, x) => Test(Logic, Row(key, x)));
                trues.Output("case-trues", Pairs(OutputName("trues", _run)));
                falses.Output("case-falses", Pairs(OutputName("falses", _run)));
                break;
            case "merge":
                Out(input.Merge(_step, inputs.AsSpan(1)));
                break;
            case "redistribute":
                Out(input.Map("case-pairs", (key, x) => Row(key, x)).Redistribute(_step).KeyOn("case-keys", pair => Text(pair![0])).MapValue("case-values", pair => Copy(pair![1])));
                break;
            case "inspect":
                Out(input.Inspect(_step, (step, key, x) => Inspected.Add((step, Row(key, x)))));
                break;
            case "raises":
                input.Raises(_step);
                break;
            case "execution_resume" or "output" or "input":
                Out(input);
                break;
            case "stateful":
                Out(input.Stateful(_step, () => new CaseItemLogic(Logic, _settings)));
                break;
            case "stateful_batch":
                Out(input.StatefulBatch(_step, () => new CaseBatchLogic(Logic, _settings)));
                break;
            case "stateful_map":
                Out(input.StatefulMap(_step, (ref JsonNode? state, JsonNode? v) => StatefulMap(Logic, ref state, v)));
                break;
            case "stateful_flat_map":
                Out(input.StatefulFlatMap(_step, (ref JsonNode? state, JsonNode? v) => StatefulFlatMap(Logic, ref state, v)));
                break;
            case "fold_final":
                Out(input.FoldFinal(_step, () => FoldStart(Logic), (acc, v) => Fold(Logic, acc, v)));
                break;
            case "reduce_final":
                Out(input.ReduceFinal(_step, (a, b) => Reduce(Logic, a, b)));
                break;
            case "max_final":
                Out(input.MaxFinal(_step, By()));
                break;
            case "min_final":
                Out(input.MinFinal(_step, By()));
                break;
            case "collect":
                int size = Is(_config["max_size"], JsonValueKind.Number) ? (int)Int(_config["max_size"]) : int.MaxValue;
                Out(input.Collect(_step, Milliseconds("timeout_ms") ?? TimeSpan.MaxValue, size).MapValue("case-json", list => (JsonNode?)Logics.Array(list)));
                break;
            case "join" or "join_state":
                BuildJoin(inputs);
                break;
            default:
                throw new NotSupportedException($"no operator '{Operator}'");
        }
    }

    private void BuildJoin(KeyedStream<string, JsonNode?>[] sides)
    {
        bool state = Operator == "join_state";
        string mode = state ? "product" : _config["insert_mode"] is { } given ? Text(given) : "last";
        JoinInsert insert = mode switch
        {
            "first" => JoinInsert.First,
            "last" => JoinInsert.Last,
            "product" => JoinInsert.Product,
            _ => (JoinInsert)99,
        };
        string emit = state ? "final" : _config["emit_mode"] is { } how ? Text(how) : "complete";
        KeyedStream<string, JsonNode?> first = sides[0];
        KeyedStream<string, JsonNode?> rows = (emit, sides.Length) switch
        {
            ("complete", 2) => first.Join(_step, sides[1], insert).MapValue("case-row", row => Row(row.Item1, row.Item2)),
            ("complete", 3) => first.Join(_step, sides[1], sides[2], insert).MapValue("case-row", row => Row(row.Item1, row.Item2, row.Item3)),
            ("complete", 4) => first.Join(_step, sides[1], sides[2], sides[3], insert).MapValue("case-row", row => Row(row.Item1, row.Item2, row.Item3, row.Item4)),
            ("complete", _) => first.Join(_step, sides[1..], insert).MapValue("case-row", row => Row([.. row])),
            ("final", 2) => first.JoinFinal(_step, sides[1], insert).MapValue("case-row", row => Row(row.Item1.Value, row.Item2.Value)),
            ("final", 3) => first.JoinFinal(_step, sides[1], sides[2], insert).MapValue("case-row", row => Row(row.Item1.Value, row.Item2.Value, row.Item3.Value)),
            ("final", 4) => first.JoinFinal(_step, sides[1], sides[2], sides[3], insert).MapValue("case-row", row => Row(row.Item1.Value, row.Item2.Value, row.Item3.Value, row.Item4.Value)),
            ("final", _) => first.JoinFinal(_step, sides[1..], insert).MapValue("case-row", row => Row([.. row.Select(side => side.Value)])),
            ("running", 2) => first.JoinRunning(_step, sides[1], insert).MapValue("case-row", row => Row(row.Item1.Value, row.Item2.Value)),
            ("running", 3) => first.JoinRunning(_step, sides[1], sides[2], insert).MapValue("case-row", row => Row(row.Item1.Value, row.Item2.Value, row.Item3.Value)),
            ("running", 4) => first.JoinRunning(_step, sides[1], sides[2], sides[3], insert).MapValue("case-row", row => Row(row.Item1.Value, row.Item2.Value, row.Item3.Value, row.Item4.Value)),
            ("running", _) => first.JoinRunning(_step, sides[1..], insert).MapValue("case-row", row => Row([.. row.Select(side => side.Value)])),
            _ => throw new FlowException($"Step '{_step}' has no emit mode '{emit}'."),
        };
        Out(state ? rows.MapValue("case-sides", row => Row([.. row!.AsArray().SkipLast(1)])) : rows);
    }

    private TimeSpan? Milliseconds(string setting) => Is(_config[setting], JsonValueKind.Number) ? TimeSpan.FromMilliseconds((double)Number(_config[setting])) : null;

    private static IEnumerable<JsonObject> Items(JsonArray input) =>
        input.OfType<JsonObject>().SelectMany(entry => entry["batch"] is JsonArray batch ? Items(batch) : entry.ContainsKey("value") ? [entry] : []);

    private static JsonNode? Row(params JsonNode?[] values) => Logics.Array(values);

    private Comparer<JsonNode?> By()
    {
        string by = _config["by"] is { } name ? Text(name) : "identity";
        return Comparer<JsonNode?>.Create((x, y) => by == "identity" ? Compare(x, y) : Compare(x![by], y![by]));
    }

    private JsonNode? Lookup(string key)
    {
        GetterCalls.Add(key);
        return Copy(External.GetValueOrDefault(key));
    }

    private void Out(Stream<JsonNode?> stream) => stream.Output("case-out", Values(OutputName("out", _run)));

    private void Out(KeyedStream<string, JsonNode?> stream) => stream.Output("case-out", Pairs(OutputName("out", _run)));
}
