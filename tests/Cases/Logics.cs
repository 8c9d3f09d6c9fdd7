using System.Text.Json.Nodes;

namespace KStreamSharp.Tests.Cases;

/// <summary>The named functions of a case file, over JSON values.</summary>
internal static class Logics
{
    public static JsonNode? Map(string logic, JsonNode? x) => logic switch
    {
        "add_one" => Int(x) + 1,
        "identity" => Copy(x),
        "null_if_odd_else_plus_one" => IsOdd(x) ? null : Int(x) + 1,
        "null_if_odd_else_same" => IsOdd(x) ? null : Copy(x),
        "to_string" => Text(x),
        _ => throw Unknown(logic),
    };

    public static bool Test(string logic, JsonNode? x) => logic switch
    {
        "is_odd" => IsOdd(x),
        "is_int" => x is JsonValue value && value.GetValueKind() == System.Text.Json.JsonValueKind.Number && Number(x) == decimal.Truncate(Number(x)),
        _ => throw Unknown(logic),
    };

    public static IEnumerable<JsonNode?> FlatMap(string logic, JsonNode? x)
    {
        switch (logic)
        {
            case "split_words":
                return Words(x);
            case "repeat_first_second_times":
                return Enumerable.Range(0, (int)Int(x![1])).Select(_ => Copy(x[0]));
            default:
                throw Unknown(logic);
        }
    }

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
                state = (state is null ? 0 : Number(state)) + Number(v);
                return Copy(state);
            case "running_count":
                state = (state is null ? 0 : Int(state)) + 1;
                return Copy(state);
            case "running_max":
                state = Math.Max(state is null ? 0 : Number(state), Number(v));
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
                bool larger = state is null || Number(v) > Number(state);
                state = Copy(v);
                return larger ? [Copy(v)] : [];
            case "repeat_by_position":
                long n = state is null ? 0 : Int(state);
                state = n + 1;
                return Enumerable.Range(0, (int)n + 1).Select(_ => Copy(v));
            case "gather_until_end":
                JsonArray list = Appended(state, v);
                bool end = v is JsonValue && v.GetValueKind() == System.Text.Json.JsonValueKind.String && Text(v) == "end";
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
        "max_from_0" => Math.Max(Number(acc), Number(v)),
        "sum_from_0" => Number(acc) + Number(v),
        "append_list" => Appended(acc, v),
        _ => throw Unknown(logic),
    };

    public static JsonNode? Reduce(string logic, JsonNode? a, JsonNode? b) => logic switch
    {
        "max" => Number(a) >= Number(b) ? Copy(a) : Copy(b),
        "sum" => Number(a) + Number(b),
        _ => throw Unknown(logic),
    };

    public static JsonNode? Copy(JsonNode? node) => node?.DeepClone();

    public static long Int(JsonNode? node) => (long)Number(node);

    public static decimal Number(JsonNode? node) => node is JsonValue value && value.GetValueKind() == System.Text.Json.JsonValueKind.Number
        ? decimal.Parse(value.ToJsonString(), System.Globalization.NumberStyles.Float, System.Globalization.CultureInfo.InvariantCulture)
        : throw new InvalidOperationException($"{node?.ToJsonString() ?? "null"} is no number");

    public static string Text(JsonNode? node) => node is JsonValue value && value.GetValueKind() == System.Text.Json.JsonValueKind.String ? value.GetValue<string>() : node!.ToJsonString();

    public static JsonArray Array(params IEnumerable<JsonNode?> items) => new([.. items.Select(Copy)]);

    public static Exception Unknown(string logic) => new NotSupportedException($"no logic '{logic}'");

    private static bool IsOdd(JsonNode? x) => Int(x) % 2 != 0;

    private static IEnumerable<JsonNode?> Words(JsonNode? x) =>
        Text(x).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(word => (JsonNode?)word);

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
