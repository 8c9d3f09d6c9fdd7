using System.Globalization;

namespace KStreamSharp.Flows;

/// <summary>Counts the records of each new key, which is made of the old one: what a repartition topic costs.</summary>
internal sealed class RekeyCountFlow() : SizingFlow("rekey-count")
{
    public override string Summary => "Gives records new keys by a hash, repartitions and counts them.";

    internal override void Build(Dataflow flow, string input, string output) => flow
        .Input("in", Topic.Keyed(input, Serde.Bytes, Serde.Bytes))
        .KeyOn("rekey", (key, _) => NewKey(key), Serde.Utf8)
        .Repartition("by-new-key")
        .StatefulMap("count", (ref long? count, byte[] _) => (count = (count ?? 0) + 1).Value)
        .Output("out", Topic.Keyed(output, Serde.Utf8, Serde.Int64));

    /// <summary>"r" and the FNV-1a hash of the key modulo 65,536: the same in every process and version.</summary>
    internal static string NewKey(ReadOnlySpan<byte> key)
    {
        uint hash = 2166136261;
        foreach (byte b in key)
        {
            hash = (hash ^ b) * 16777619;
        }

        return string.Create(CultureInfo.InvariantCulture, $"r{hash % 65536}");
    }
}
