namespace KStreamSharp;

/// <summary>A saved state as JSON in one line.</summary>
internal delegate string StateAsJson(ReadOnlySpan<byte> payload, in SerdeContext context);

/// <summary>The keys and states of a stateful step as a person reads and writes them, by the serdes of the step.</summary>
/// <remarks>What was saved by other serdes than today's makes a serde throw whatever it likes.</remarks>
internal abstract class StateForm
{
    public static StateAsJson By<TState>(Serde<TState> serde) =>
        (ReadOnlySpan<byte> payload, in SerdeContext context) => serde.Deserialize(payload, context) is { } state ? serde.ToJson(state) : "null";

    /// <summary>A key as JSON.</summary>
    public abstract string ShowKey(ReadOnlySpan<byte> key, string changelog);

    /// <summary>The state in an envelope as JSON.</summary>
    public abstract string ShowState(in Envelope envelope, string changelog);

    /// <summary>The bytes of a key: a string as it is, anything else as JSON.</summary>
    /// <exception cref="FormatException">There is no such key.</exception>
    public abstract byte[] ParseKey(string text, string changelog);
}

/// <inheritdoc/>
internal sealed class StateForm<TKey>(Serde<TKey> keys, StateAsJson state) : StateForm
{
    public override string ShowKey(ReadOnlySpan<byte> key, string changelog) => keys.ToJson(keys.Deserialize(key, new(changelog, RecordPart.Key)));

    public override string ShowState(in Envelope envelope, string changelog) => envelope.StateIsNull ? "null" : state(envelope.Payload, new(changelog, RecordPart.State));

    public override byte[] ParseKey(string text, string changelog)
    {
        ByteBuffer buffer = new(64);
        keys.Serialize(keys.FromText(text), buffer, new(changelog, RecordPart.Key));
        return buffer.Written.ToArray();
    }
}
