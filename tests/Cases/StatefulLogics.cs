using System.Text.Json.Nodes;
using static KStreamSharp.Tests.Cases.Logics;

namespace KStreamSharp.Tests.Cases;

/// <summary>What the stateful logics of a case share: its settings, its start of time, and the list of calls.</summary>
internal sealed record LogicSettings(JsonObject Config, DateTimeOffset Start, List<(string Method, string Key)> Calls)
{
    public StateAction After(string what) => Config[$"after_{what}"] is { } action && Text(action) == "discard" ? StateAction.Discard : StateAction.Retain;
}

/// <summary>The logics of <c>stateful</c> cases.</summary>
internal sealed class CaseItemLogic(string logic, LogicSettings settings) : StatefulLogic<string, JsonNode?, JsonNode?, JsonNode?>
{
    private JsonNode? _state = logic switch
    {
        "transition_logger" => "NEW",
        "total_at_eof_retain" => 0,
        "keep_last" or "timer" or "timer_or_stop" => null,
        _ => throw Unknown(logic),
    };

    private DateTimeOffset? _time;
    private string _key = "";

    private bool IsTimer => logic is "timer" or "timer_or_stop";

    public override void Resume(JsonNode? state)
    {
        if (IsTimer)
        {
            _time = state is null ? null : new DateTimeOffset(Int(state), TimeSpan.Zero);
        }
        else
        {
            _state = state;
        }
    }

    public override StateAction OnItem(JsonNode? value, StatefulContext<string, JsonNode?> context)
    {
        Call("on_item", context);
        switch (logic)
        {
            case "transition_logger":
                if (settings.Config["item_triggers_notify"]?.GetValue<bool>() == true)
                {
                    _time = context.Now;
                }

                Transition("ITEM", context);
                return settings.After("item");
            case "keep_last":
                context.Emit(Logics.Array(_state, value));
                _state = Copy(value);
                return IsText(value, "DISCARD") ? StateAction.Discard : StateAction.Retain;
            case "total_at_eof_retain":
                _state = Number(_state) + Number(value);
                return StateAction.Retain;
            default:
                if (logic == "timer_or_stop" && IsText(value, "stop"))
                {
                    context.Emit(Logics.Array("stopped"));
                    return StateAction.Discard;
                }

                _time = value is null ? null : settings.Start.AddMilliseconds((double)Number(value));
                context.Emit(Logics.Array("item", value));
                return StateAction.Retain;
        }
    }

    public override StateAction OnNotify(StatefulContext<string, JsonNode?> context)
    {
        Call("on_notify", context);
        switch (logic)
        {
            case "transition_logger":
                _time = null;
                Transition("NOTIFY", context);
                return settings.After("notify");
            case "timer" or "timer_or_stop":
                string clear = logic == "timer" && settings.Config["clear_on_notify"] is { } how ? Text(how) : "always";
                if (clear == "always" || (clear == "if_due" && _time <= context.Now))
                {
                    _time = null;
                }

                context.Emit(Logics.Array("notify"));
                return logic == "timer" ? settings.After("notify") : StateAction.Retain;
            default:
                return StateAction.Retain;
        }
    }

    public override StateAction OnEof(StatefulContext<string, JsonNode?> context)
    {
        Call("on_eof", context);
        switch (logic)
        {
            case "transition_logger":
                Transition("EOF", context);
                return settings.After("eof");
            case "total_at_eof_retain":
                context.Emit(Logics.Array("total", _state));
                return StateAction.Retain;
            case "timer":
                context.Emit(Logics.Array("eof"));
                return StateAction.Retain;
            default:
                return StateAction.Retain;
        }
    }

    public override DateTimeOffset? NotifyAt()
    {
        settings.Calls.Add(("notify_at", _key));
        return _time;
    }

    public override JsonNode? Snapshot()
    {
        settings.Calls.Add(("snapshot", _key));
        return IsTimer ? _time?.UtcTicks : Copy(_state);
    }

    private void Call(string method, StatefulContext<string, JsonNode?> context)
    {
        _key = context.Key;
        settings.Calls.Add((method, context.Key));
    }

    private void Transition(string to, StatefulContext<string, JsonNode?> context)
    {
        context.Emit(Logics.Array(_state, to));
        _state = to;
    }
}

/// <summary>The logics of <c>stateful_batch</c> cases.</summary>
internal sealed class CaseBatchLogic(string logic, LogicSettings settings) : StatefulBatchLogic<string, JsonNode?, JsonNode?, JsonNode?>
{
    private decimal _number;
    private DateTimeOffset? _time;
    private string _key = "";

    public override void Resume(JsonNode? state) => _number = Number(state);

    public override StateAction OnBatch(IReadOnlyList<JsonNode?> values, StatefulContext<string, JsonNode?> context)
    {
        Call("on_batch", context);
        switch (logic)
        {
            case "batch_recorder":
                _number += values.Count;
                context.Emit(Logics.Array("batch", Logics.Array(values), _number));
                return StateAction.Retain;
            case "batch_recorder_discard":
                context.Emit(Logics.Array("batch", Logics.Array(values)));
                return StateAction.Discard;
            case "batch_running_sum":
                _number += values.Sum(Number);
                context.Emit(_number);
                return StateAction.Retain;
            case "notify_1s_after_start":
                _time = settings.Start.AddSeconds(1);
                return StateAction.Retain;
            case "no_timer":
                return StateAction.Retain;
            case "discard_each_batch":
                return StateAction.Discard;
            default:
                throw Unknown(logic);
        }
    }

    public override StateAction OnNotify(StatefulContext<string, JsonNode?> context)
    {
        Call("on_notify", context);
        _time = null;
        return StateAction.Retain;
    }

    public override StateAction OnEof(StatefulContext<string, JsonNode?> context)
    {
        Call("on_eof", context);
        if (logic is "batch_recorder" or "batch_recorder_discard")
        {
            context.Emit(Logics.Array("eof", _number));
        }

        return StateAction.Retain;
    }

    public override DateTimeOffset? NotifyAt()
    {
        settings.Calls.Add(("notify_at", _key));
        return _time;
    }

    public override JsonNode? Snapshot()
    {
        settings.Calls.Add(("snapshot", _key));
        return logic is "batch_recorder" or "batch_running_sum" ? _number : 1;
    }

    private void Call(string method, StatefulContext<string, JsonNode?> context)
    {
        _key = context.Key;
        settings.Calls.Add((method, context.Key));
    }
}
