using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace KStreamSharp.Tests.Cases;

/// <summary>The named functions of a case file, over JSON values.</summary>
internal static class Logics
{
    /// <summary>Functions; a predicate is one that gives a boolean, one to a sequence gives a list.</summary>
    public static JsonNode? Map(string logic, JsonNode? x) => logic switch
    {
        "add_one" => Number(x) + 1,
        "identity" => Copy(x),
        "null_if_odd_else_plus_one" => IsOdd(x) ? null : Number(x) + 1,
        "null_if_odd_else_same" => IsOdd(x) ? null : Copy(x),
        "to_string" => decimal.Truncate(Number(x)) == Number(x) ? decimal.Truncate(Number(x)).ToString(CultureInfo.InvariantCulture) : throw Wrong(x, "integer"),
        "is_odd" => IsOdd(x),
        "is_int" => Is(x, JsonValueKind.Number) && Number(x) == decimal.Truncate(Number(x)),
        "split_words" => Array(Words(x)),
        "repeat_first_second_times" => Array(Repeat(x)),
        _ => throw Unknown(logic),
    };

    public static bool Test(string logic, JsonNode? x) =>
        Map(logic, x) is JsonValue made && made.TryGetValue(out bool answer) ? answer : throw new InvalidOperationException($"'{logic}' gives no boolean");

    public static string Key(string logic, JsonNode? x) => Map(logic, x) is { } key && Is(key, JsonValueKind.String) ? Text(key) : throw Wrong(x, "string key");

    public static IEnumerable<JsonNode?> FlatMap(string logic, JsonNode? x) => logic switch
    {
        "split_words" => Words(x),
        "repeat_first_second_times" => Repeat(x),
        _ => Map(logic, x) is JsonArray list ? list.Select(Copy) : throw new InvalidOperationException($"'{logic}' gives no sequence"),
    };

    public static IEnumerable<JsonNode?> FlatMapBatch(string logic, IReadOnlyList<JsonNode?> batch) => logic switch
    {
        "batch_split_words" => batch.SelectMany(Words),
        "batch_length" => [batch.Count],
        _ => throw Unknown(logic),
    };

    public static JsonNode? StatefulMap(string logic, ref JsonNode? state, JsonNode? v)
    {
        switch (logic)
        {
            case "running_sum":
                state = Add(state ?? 0, v);
                return Copy(state);
            case "running_count":
                state = (state is null ? 0 : Int(state)) + 1;
                return Copy(state);
            case "running_max":
                state = Larger(state ?? 0, v);
                return Copy(state);
            case "running_mean_test":
                JsonArray list = Appended(state, v);
                int keep = list.Count > 3 ? list.Count - 3 : list.Count;
                state = Slice(list, 0, keep);
                return Mean(state.AsArray());
            case "mean_last_3":
                JsonArray all = Appended(state, v);
                state = Slice(all, Math.Max(0, all.Count - 3), Math.Min(3, all.Count));
                return Mean(state.AsArray());
            case "sum_reset_at_10":
                decimal sum = (state is null ? 0 : Number(state)) + Number(v);
                state = sum >= 10 ? null : sum;
                return sum;
            case "alternate_zero_state":
                JsonNode? old = state;
                state = 0;
                return Copy(old);
            case "emit_null":
                state = 1;
                return null;
            case "cart":
                return Cart(ref state, v);
            default:
                throw Unknown(logic);
        }
    }

    public static IEnumerable<JsonNode?> StatefulFlatMap(string logic, ref JsonNode? state, JsonNode? v)
    {
        switch (logic)
        {
            case "emit_if_larger_than_previous":
                bool larger = state is null || Compare(v, state) > 0;
                state = Copy(v);
                return larger ? [Copy(v)] : [];
            case "repeat_by_position":
                long n = state is null ? 0 : Int(state);
                state = n + 1;
                return Enumerable.Range(0, (int)n + 1).Select(_ => Copy(v));
            case "gather_until_end":
                JsonArray list = Appended(state, v);
                bool end = IsText(v, "end");
                state = end ? null : list;
                return end ? [list] : [];
            default:
                throw Unknown(logic);
        }
    }

    public static JsonNode? FoldStart(string logic) => logic switch
    {
        "max_from_0" or "sum_from_0" => 0,
        "append_list" => new JsonArray(),
        _ => throw Unknown(logic),
    };

    public static JsonNode? Fold(string logic, JsonNode? acc, JsonNode? v) => logic switch
    {
        "max_from_0" => Larger(acc, v),
        "sum_from_0" => Add(acc, v),
        "append_list" => Appended(acc, v),
        _ => throw Unknown(logic),
    };

    public static JsonNode? Reduce(string logic, JsonNode? a, JsonNode? b) => logic switch
    {
        "max" => Larger(a, b),
        "sum" => Add(a, b),
        _ => throw Unknown(logic),
    };

    public static JsonNode? Copy(JsonNode? node) => node?.DeepClone();

    public static long Int(JsonNode? node) => (long)Number(node);

    public static decimal Number(JsonNode? node) => Is(node, JsonValueKind.Number)
        ? decimal.Parse(node!.ToJsonString(), NumberStyles.Float, CultureInfo.InvariantCulture)
        : throw Wrong(node, "number");

    public static string Text(JsonNode? node) => Is(node, JsonValueKind.String) ? node!.GetValue<string>() : throw Wrong(node, "text");

    public static bool Is(JsonNode? node, JsonValueKind kind) => node is not null && node.GetValueKind() == kind;

    public static bool IsText(JsonNode? node, string text) => Is(node, JsonValueKind.String) && Text(node) == text;

    public static int Compare(JsonNode? x, JsonNode? y) => Is(x, JsonValueKind.String) ? string.CompareOrdinal(Text(x), Text(y)) : Number(x).CompareTo(Number(y));

    public static JsonArray Array(params IEnumerable<JsonNode?> items) => new([.. items.Select(Copy)]);

    public static Exception Unknown(string logic) => new NotSupportedException($"no logic '{logic}'");

    private static bool IsOdd(JsonNode? x) => Is(x, JsonValueKind.Number) && Number(x) % 2 != 0;

    private static JsonNode? Larger(JsonNode? x, JsonNode? y) => Copy(Compare(x, y) >= 0 ? x : y);

    private static JsonNode Add(JsonNode? x, JsonNode? y) => Is(x, JsonValueKind.String) ? Text(x) + Text(y) : Number(x) + Number(y);

    private static IEnumerable<JsonNode?> Words(JsonNode? x) =>
        Text(x).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(word => (JsonNode?)word);

    private static IEnumerable<JsonNode?> Repeat(JsonNode? x) => Enumerable.Range(0, Math.Max(0, (int)Int(x![1]))).Select(_ => Copy(x[0]));

    private static InvalidOperationException Wrong(JsonNode? node, string wanted) => new($"{node?.ToJsonString() ?? "null"} is no {wanted}");

    private static JsonArray Appended(JsonNode? list, JsonNode? v) => Array([.. list?.AsArray() ?? [], v]);

    private static JsonArray Slice(JsonArray list, int start, int count) => Array(list.Skip(start).Take(count));

    private static JsonNode Mean(JsonArray list) => list.Sum(Number) / list.Count;

    private static JsonObject Cart(ref JsonNode? state, JsonNode? v)
    {
        List<JsonNode?> unpaid = [.. state?["unpaid"]?.AsArray() ?? []];
        List<JsonNode?> paid = [.. state?["paid"]?.AsArray() ?? []];
        JsonNode? order = v![1];
        if (Text(v[0]) == "order")
        {
            unpaid.Add(order);
        }
        else
        {
            unpaid.RemoveAt(unpaid.FindIndex(other => JsonNode.DeepEquals(other, order)));
            paid.Add(order);
        }

        JsonObject cart = new() { ["paid"] = Array(paid), ["unpaid"] = Array(unpaid) };
        state = cart;
        return (JsonObject)cart.DeepClone();
    }
}
