using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace KStreamSharp;

/// <summary>A flow as a person or a tool reads it: its steps, topics and states, and where records are repartitioned, and why.</summary>
/// <param name="Flow">The flow's id.</param>
/// <param name="Steps">The steps in the order in which they were added, the engine's own included.</param>
public sealed record FlowDescription(string Flow, IReadOnlyList<StepDescription> Steps)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The steps as lines of text.</summary>
    public string ToText()
    {
        StringBuilder text = new();
        text.Append("flow ").Append(Flow).Append('\n');
        int idWidth = Steps.Max(step => step.Id.Length);
        int operatorWidth = Steps.Max(step => step.Operator.Length);
        foreach (StepDescription step in Steps)
        {
            text.Append("  ").Append(step.Id.PadRight(idWidth)).Append("  ").Append(step.Operator.PadRight(operatorWidth));
            string[] notes =
            [
                .. step.Upstreams.Count > 0 ? [$"from {string.Join(", ", step.Upstreams)}"] : Array.Empty<string>(),
                .. step.Topic is not null ? [$"topic {step.Topic}"] : Array.Empty<string>(),
                .. step.State is not null ? [$"state {step.State}"] : Array.Empty<string>(),
                .. step.Reason is not null ? [$"because {step.Reason}"] : Array.Empty<string>(),
            ];
            text.Append("  ").Append(string.Join("; ", notes)).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>The description as indented JSON, names in camel case.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Json);

    /// <summary>The flow as a Mermaid flowchart; topics are cylinders, stateful steps have double borders.</summary>
    public string ToMermaid()
    {
        StringBuilder chart = new();
        chart.Append("flowchart TD\n  subgraph ").Append(Node("flow", Flow)).Append("[\"").Append(Flow).Append("\"]\n");
        foreach (StepDescription step in Steps)
        {
            string[] lines =
            [
                step.Id,
                step.Operator,
                .. step.State is not null ? [$"state {Escape(step.State)}"] : Array.Empty<string>(),
                .. step.Reason is not null ? [$"because {step.Reason}"] : Array.Empty<string>(),
            ];
            string label = string.Join("<br/>", lines);
            chart.Append("    ").Append(Node("step", step.Id)).Append(step.State is null ? $"[\"{label}\"]" : $"[[\"{label}\"]]").Append('\n');
        }

        chart.Append("  end\n");
        foreach (StepDescription step in Steps)
        {
            foreach (string upstream in step.Upstreams)
            {
                string[] parts = upstream.Split(':');
                chart.Append("  ").Append(Node("step", parts[0])).Append(parts.Length > 1 ? $" -- {parts[1]} --> " : " --> ").Append(Node("step", step.Id)).Append('\n');
            }

            if (step.Topic is not null)
            {
                string topic = $"{Node("topic", step.Topic)}[(\"{step.Topic}\")]";
                chart.Append("  ").Append(step.Operator == "input" ? $"{topic} --> {Node("step", step.Id)}" : $"{Node("step", step.Id)} --> {topic}").Append('\n');
            }
        }

        return chart.ToString();
    }

    /// <summary>A node's id in the chart; the kind in front keeps words like "end", which Mermaid gives a meaning, out of it.</summary>
    private static string Node(string kind, string id) => $"{kind}_{string.Concat(id.Select(c => char.IsAsciiLetterOrDigit(c) ? c.ToString() : $"_{(int)c:x2}"))}";

    private static string Escape(string text) => text.Replace("<", "&lt;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal);
}

/// <summary>A step of a <see cref="FlowDescription"/>.</summary>
/// <param name="Id">The step's id; the engine's own steps have a dot in theirs.</param>
/// <param name="Operator">The operator, by its name in Bytewax where it has one.</param>
/// <param name="Upstreams">The steps that it takes items from; of a branch, with <c>:trues</c> or <c>:falses</c>.</param>
/// <param name="Topic">The topic that is read or written, or null. Repartition topics are named after the application.</param>
/// <param name="State">The type of the state, or null for a stateless step.</param>
/// <param name="Reason">Why records are repartitioned here, or null.</param>
public sealed record StepDescription(string Id, string Operator, IReadOnlyList<string> Upstreams, string? Topic, string? State, string? Reason);
