using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace KStreamSharp.Hosting;

/// <summary>Shows the local state of an application: steps and shards, or keys and states by the serdes of the flow's steps.</summary>
internal sealed class StateLook
{
    private const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";

    private static readonly JsonWriterOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Dataflow _flow;
    private readonly string _app;
    private readonly StoredState _state;
    private readonly bool _json;
    private readonly TextWriter _output;
    private readonly TextWriter _errors;
    private readonly IReadOnlyDictionary<int, ShardOwner> _elsewhere;
    private int _unread;
    private string _whyUnread = "";

    /// <param name="flow">The flow, whose serdes read keys and states.</param>
    /// <param name="app">The application.</param>
    /// <param name="state">Where the states are.</param>
    /// <param name="elsewhere">The shards that other instances have now: what is here of them is old, and is not shown.</param>
    /// <param name="json">Whether a machine reads it.</param>
    /// <param name="output">Where it is shown.</param>
    /// <param name="errors">Where is told what else there is to know.</param>
    public StateLook(Dataflow flow, string app, StoredState state, IReadOnlyDictionary<int, ShardOwner> elsewhere, bool json, TextWriter output, TextWriter errors)
    {
        _elsewhere = elsewhere;
        _flow = flow;
        _app = app;
        _state = state;
        _json = json;
        _output = output;
        _errors = errors;
        if (state.Process is { } process)
        {
            errors.WriteLine($"The {state.Name} is in use by process {process}: this is what it has brought to disk; its last minute may not be in it yet.");
        }
    }

    /// <summary>Whether nothing is left out.</summary>
    public bool AllShown => _elsewhere.Count == 0;

    private IReadOnlyList<int> Here => [.. _state.Shards.Where(shard => !_elsewhere.ContainsKey(shard))];

    /// <summary>The steps with the number of their keys and bytes; each shard with its changelog position and the time of its last commit.</summary>
    /// <exception cref="UsageException">There is no such shard.</exception>
    /// <exception cref="StreamException">The folder cannot be read.</exception>
    public void ListSteps(int? onlyShard)
    {
        Dictionary<string, Size> steps = _flow.Steps.Where(step => step.State is not null).ToDictionary(step => step.Id, _ => new Size(0, 0));
        List<(int Shard, Size Size, StoredMarker? Marker)> shards = [];
        foreach (int shard in Shards(onlyShard))
        {
            using StoredShard stored = _state.OpenShard(shard);
            Size ofShard = new(0, 0);
            foreach (string step in stored.Steps)
            {
                Size size = stored.States(step).Aggregate(new Size(0, 0), (size, entry) => size + new Size(1, entry.Key.Length + entry.Value.Length));
                steps[step] = steps.GetValueOrDefault(step) + size;
                ofShard += size;
            }

            shards.Add((shard, ofShard, stored.Marker));
        }

        TellElsewhere();
        (string Step, string Operator, Size Size)[] rows = [.. steps.Select(entry => (entry.Key, Operator(entry.Key), entry.Value))];
        if (_json)
        {
            WriteJson(json =>
            {
                json.WriteString("application", _app);
                json.WriteString("source", _state.Name);
                json.WriteString("process", _state.Process);
                json.WriteStartArray("steps");
                foreach ((string step, string name, Size size) in rows)
                {
                    json.WriteStartObject();
                    json.WriteString("step", step);
                    json.WriteString("operator", name);
                    size.Write(json);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
                json.WriteStartArray("shards");
                foreach ((int shard, Size size, StoredMarker? marker) in shards)
                {
                    json.WriteStartObject();
                    json.WriteNumber("shard", shard);
                    json.WriteString("snapshot", _state.SnapshotOf(shard));
                    size.Write(json);
                    json.WritePropertyName("changelogPosition");
                    JsonSerializer.Serialize(json, marker?.ChangelogPosition);
                    json.WriteString("committedAt", marker is null ? null : Time(marker.BrokerTime));
                    json.WriteEndObject();
                }

                json.WriteEndArray();
                json.WriteStartArray("elsewhere");
                foreach ((int shard, ShardOwner owner) in _elsewhere)
                {
                    json.WriteStartObject();
                    json.WriteNumber("shard", shard);
                    json.WriteString("instance", owner.Instance);
                    json.WriteString("committedAt", Time(owner.LastCommit.ToUnixTimeMilliseconds()));
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
            return;
        }

        _output.WriteLine($"application {_app}, {_state.Name}");
        TextTable.Write(_output, ["step", "operator", " keys", " bytes"], rows.Select(row => (string[])[row.Step, row.Operator, .. row.Size.Cells]));
        TextTable.Write(
            _output,
            [" shard", " keys", " bytes", " changelog position", "last commit"],
            shards.Select(row => (string[])[Text(row.Shard), .. row.Size.Cells, row.Marker is null ? "-" : Text(row.Marker.ChangelogPosition), row.Marker is null ? "-" : Time(row.Marker.BrokerTime)]));
    }

    /// <summary>The keys and states of a step, shard by shard in the order of the keys' bytes.</summary>
    /// <exception cref="UsageException">There is no such step or shard.</exception>
    /// <exception cref="StreamException">The folder cannot be read.</exception>
    public void ListKeys(string step, int? onlyShard, int limit)
    {
        StateForm? form = Form(step);
        TellElsewhere();
        int left = limit;
        foreach (int shard in Shards(onlyShard))
        {
            using StoredShard stored = _state.OpenShard(shard);
            foreach ((byte[] key, byte[] envelope) in stored.States(step))
            {
                if (left-- == 0)
                {
                    _errors.WriteLine($"There are more keys than {limit}; --limit N lists more of them.");
                    TellUnread(step);
                    return;
                }

                Show(step, form, shard, key, envelope);
            }
        }

        TellUnread(step);
    }

    /// <summary>The state of one key.</summary>
    /// <exception cref="UsageException">There is no such step, or it has no keys of that kind.</exception>
    /// <exception cref="StreamException">The key is not there, or the folder cannot be read.</exception>
    public void ShowKey(string step, string text, bool hex, int? onlyShard)
    {
        StateForm? form = Form(step);
        byte[] key = Parse(step, form, text, hex);
        bool found = false;
        foreach (int shard in Shards(onlyShard))
        {
            using StoredShard stored = _state.OpenShard(shard);
            if (stored.Get(step, key) is { } envelope)
            {
                Show(step, form, shard, key, envelope);
                found = true;
            }
        }

        TellUnread(step);
        if (!found && onlyShard is null && _elsewhere.Keys.Order().FirstOrDefault(shard => Holds(shard, step, key), -1) is >= 0 and var old)
        {
            throw new StreamException(ExitCode.State, WhereIs(old));
        }

        if (!found)
        {
            throw new StreamException(
                ExitCode.NotFound, $"Step '{step}' has no state of key '{text}' in {_state.Name}, which has {(_state.Shards.Count == 0 ? "no shard" : $"shards {string.Join(", ", _state.Shards)}")}.");
        }
    }

    private byte[] Parse(string step, StateForm? form, string text, bool hex)
    {
        try
        {
            return hex ? Convert.FromHexString(text)
                : form?.ParseKey(text, InternalTopics.Changelog(_app)) ?? throw new FormatException("the flow has no such step, so only the bytes of its keys are known. Give them by --hex.");
        }
        catch (Exception error)
        {
            throw new UsageException($"Key '{text}' of step '{step}': {error.Message}", error);
        }
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static string Time(long milliseconds) =>
        RecordTime.IsOne(milliseconds)
            ? DateTimeOffset.FromUnixTimeMilliseconds(milliseconds).ToString(TimeFormat, CultureInfo.InvariantCulture)
            : Text(milliseconds);

    private IReadOnlyList<int> Shards(int? only) => only is not { } shard ? Here
        : _elsewhere.ContainsKey(shard) ? throw new StreamException(ExitCode.State, WhereIs(shard))
        : _state.Shards.Contains(shard) ? [shard]
        : throw new UsageException($"There is no shard {shard} in {_state.Name}. There are: {(_state.Shards.Count == 0 ? "none" : string.Join(", ", _state.Shards))}.");

    private string Operator(string step) => _flow.Steps.FirstOrDefault(known => known.Id == step)?.Operator ?? "(not in the flow)";

    /// <summary>How the keys and states of a step are read; null for one that is in the folder and not in the flow.</summary>
    private StateForm? Form(string name)
    {
        Step? step = _flow.Steps.FirstOrDefault(step => step.Id == name);
        if (step?.Form is { } form)
        {
            return form;
        }

        HashSet<string> there = [.. _flow.Steps.Where(known => known.State is not null).Select(known => known.Id)];
        foreach (int shard in _state.Shards)
        {
            using StoredShard stored = _state.OpenShard(shard);
            there.UnionWith(stored.Steps);
        }

        return there.Contains(name)
            ? null
            : throw new UsageException($"{(step is null ? $"Flow '{_flow.Id}' has no step '{name}'" : $"Step '{name}' of flow '{_flow.Id}' keeps no state")}. Those that do: {(there.Count == 0 ? "none" : string.Join(", ", there))}.");
    }

    private void Show(string step, StateForm? form, int shard, byte[] key, byte[] data)
    {
        Envelope envelope = Envelope.Read(data, step);
        string? keyJson = null;
        string? stateJson = null;
        try
        {
            keyJson = form?.ShowKey(key, InternalTopics.Changelog(_app));
            stateJson = form?.ShowState(envelope, InternalTopics.Changelog(_app));
        }
        catch (Exception error)
        {
            _unread++;
            _whyUnread = error.Message;
        }

        string timestamp = Time(envelope.Timestamp);
        string? notifyAt = envelope.NotifyAt == Envelope.Never ? null : new DateTimeOffset(envelope.NotifyAt, TimeSpan.Zero).ToString(TimeFormat, CultureInfo.InvariantCulture);
        if (!_json)
        {
            string state = stateJson ?? (envelope.StateIsNull ? "null" : Hex(envelope.Payload));
            _output.WriteLine($"shard {shard}  key {Plain(keyJson) ?? Hex(key)}  state {state}{(notifyAt is null ? "" : $"  notify at {notifyAt}")}  timestamp {timestamp}");
            return;
        }

        byte[] payload = envelope.Payload.ToArray();
        bool isNull = envelope.StateIsNull;
        WriteJson(json =>
        {
            json.WriteNumber("shard", shard);
            Write(json, "key", keyJson, key);
            Write(json, "state", stateJson ?? (isNull ? "null" : null), payload);
            json.WriteString("notifyAt", notifyAt);
            json.WriteString("timestamp", timestamp);
        });
    }

    private static void Write(Utf8JsonWriter json, string name, string? value, byte[] bytes)
    {
        if (value is null)
        {
            json.WriteString(name + "Hex", Convert.ToHexStringLower(bytes));
            return;
        }

        json.WritePropertyName(name);
        json.WriteRawValue(value);
    }

    private static string Hex(ReadOnlySpan<byte> bytes) => "0x" + Convert.ToHexStringLower(bytes);

    /// <summary>A string without its quotes, unless something in it needs them to be seen.</summary>
    public static string? Plain(string? json)
    {
        if (json is null || !json.StartsWith('"'))
        {
            return json;
        }

        string text = JsonSerializer.Deserialize<string>(json)!;
        return text.Length + 2 == json.Length && !text.Contains(' ', StringComparison.Ordinal) && text.Length > 0 ? text : json;
    }

    private bool Holds(int shard, string step, byte[] key)
    {
        using StoredShard stored = _state.OpenShard(shard);
        return stored.Get(step, key) is not null;
    }

    private void TellElsewhere()
    {
        foreach (int shard in _elsewhere.Keys.Order())
        {
            _errors.WriteLine(WhereIs(shard));
        }
    }

    private string WhereIs(int shard)
    {
        using StoredShard stored = _state.OpenShard(shard);
        string since = stored.Marker is { } marker ? $"the last commit here was at {Time(marker.BrokerTime)}" : "there was never a commit here";
        return $"Shard {shard} is instance {_elsewhere[shard].Instance}'s now, which committed at {Time(_elsewhere[shard].LastCommit.ToUnixTimeMilliseconds())}; {since}. "
            + "The copy here is old and is left out. Look in that instance's folder, or add --local to show it anyway.";
    }

    private void TellUnread(string step)
    {
        if (_unread > 0)
        {
            _errors.WriteLine($"{_unread} of these are not what the serdes of step '{step}' read, and are shown as bytes: {_whyUnread}");
        }
    }

    private void WriteJson(Action<Utf8JsonWriter> write)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer, Json))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        _output.WriteLine(Encoding.UTF8.GetString(buffer.WrittenSpan));
    }

    private readonly record struct Size(long Keys, long Bytes)
    {
        public string[] Cells => [Text(Keys), Text(Bytes)];

        public static Size operator +(Size a, Size b) => new(a.Keys + b.Keys, a.Bytes + b.Bytes);

        public void Write(Utf8JsonWriter json)
        {
            json.WriteNumber("keys", Keys);
            json.WriteNumber("bytes", Bytes);
        }
    }
}
