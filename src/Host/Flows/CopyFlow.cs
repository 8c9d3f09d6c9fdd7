namespace KStreamSharp.Flows;

/// <summary>Copies records: key, value, headers and timestamp as they are.</summary>
internal sealed class CopyFlow() : SizingFlow("copy")
{
    public override string Summary => "Copies a topic: key, value, headers and timestamp as they are.";

    internal override void Build(Dataflow flow, string input, string output) => flow
        .Input("in", Topic.Records(input, Serde.Bytes, Serde.Bytes))
        .Output("out", Topic.Records(output, Serde.Bytes, Serde.Bytes));
}
