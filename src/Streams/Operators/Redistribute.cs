namespace KStreamSharp;

public sealed partial class Stream<T>
{
    /// <summary>
    /// Spreads the items evenly over all shards, through a topic of the engine: for costly stateless steps behind an input
    /// with few partitions. The order of the items is lost.
    /// </summary>
    /// <param name="id">The step's id, unique in the flow; the topic is named <c>application-id.repartition</c>.</param>
    /// <param name="valueSerde">The serde of the items; null for <see cref="Serde.For{T}"/>.</param>
    /// <exception cref="FlowException">The id cannot be used, or the serde cannot give the items back.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;int&gt; lengths = lines.Redistribute("spread").Map("costly", line =&gt; line.Length);
    /// </code>
    /// </example>
    public Stream<T> Redistribute(string id, Serde<T>? valueSerde = null)
    {
        Flow.Reserve(id);
        Serde<T> serde = Dataflow.CheckedTravel(id, "items", valueSerde ?? Serde.For<T>());
        return new(RepartitionStep.AddCore(
            Outlet,
            $"{id}.repartition",
            $"step '{id}' spreads the items over all shards",
            topic => new SpreadingEncoder<T>(topic, serde),
            topic => new ValueDecoder<T>(topic, serde, takesNull: true)));
    }
}

/// <summary>Gives each item a running number as its key: neighbours go to different partitions.</summary>
internal sealed class SpreadingEncoder<T>(string topic, Serde<T> value) : Encoder<T>
{
    private int _next;

    public override OutgoingRecord Encode(T item, in Stamp stamp) =>
        Record(_next++, Serde.Int32, item, value, topic, stamp.Timestamp, stamp.Headers);
}
