namespace KStreamSharp.Flows;

/// <summary>Counts the records of each key; one output per input.</summary>
internal sealed class CountFlow() : SizingFlow("count")
{
    public override string Summary => "Counts the records of each key: key to running count, an 8-byte big-endian integer.";

    internal override void Build(Dataflow flow, string input, string output) => flow
        .Input("in", Topic.Keyed(input, Serde.Bytes, Serde.Bytes))
        .StatefulMap("count", (ref long? count, byte[] _) => (count = (count ?? 0) + 1).Value)
        .Output("out", Topic.Keyed(output, Serde.Bytes, Serde.Int64));
}
