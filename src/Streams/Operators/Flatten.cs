namespace KStreamSharp;

/// <summary>Operators for streams of sequences; methods cannot say "only where the items are sequences".</summary>
public static class Flattening
{
    /// <summary>Removes one level: each element of an item out on its own. Headers end here.</summary>
    /// <typeparam name="TItem">The type of the elements.</typeparam>
    /// <param name="stream">The stream of sequences.</param>
    /// <param name="id">The step's id, unique in the flow.</param>
    /// <exception cref="FlowException">The id cannot be used.</exception>
    /// <example>
    /// <code>
    /// Stream&lt;string[]&gt; rows = lines.Map("row", line =&gt; line.Split(','));
    /// Stream&lt;string&gt; cells = rows.Flatten("cells");
    /// </code>
    /// </example>
    public static Stream<TItem> Flatten<TItem>(this Stream<List<TItem>> stream, string id) => Add<List<TItem>, TItem>(stream, id);

    /// <inheritdoc cref="Flatten{TItem}(Stream{List{TItem}}, string)"/>
    public static Stream<TItem> Flatten<TItem>(this Stream<TItem[]> stream, string id) => Add<TItem[], TItem>(stream, id);

    /// <inheritdoc cref="Flatten{TItem}(Stream{List{TItem}}, string)"/>
    public static Stream<TItem> Flatten<TItem>(this Stream<IReadOnlyList<TItem>> stream, string id) => Add<IReadOnlyList<TItem>, TItem>(stream, id);

    /// <inheritdoc cref="Flatten{TItem}(Stream{List{TItem}}, string)"/>
    public static Stream<TItem> Flatten<TItem>(this Stream<IEnumerable<TItem>> stream, string id) => Add<IEnumerable<TItem>, TItem>(stream, id);

    /// <inheritdoc cref="Flatten{TItem}(Stream{List{TItem}}, string)"/>
    public static Stream<TItem> Flatten<TItem>(this Stream<List<TItem>> stream) => Flatten(stream, IdFor(stream));

    /// <inheritdoc cref="Flatten{TItem}(Stream{List{TItem}}, string)"/>
    public static Stream<TItem> Flatten<TItem>(this Stream<TItem[]> stream) => Flatten(stream, IdFor(stream));

    /// <inheritdoc cref="Flatten{TItem}(Stream{List{TItem}}, string)"/>
    public static Stream<TItem> Flatten<TItem>(this Stream<IReadOnlyList<TItem>> stream) => Flatten(stream, IdFor(stream));

    /// <inheritdoc cref="Flatten{TItem}(Stream{List{TItem}}, string)"/>
    public static Stream<TItem> Flatten<TItem>(this Stream<IEnumerable<TItem>> stream) => Flatten(stream, IdFor(stream));

    private static string IdFor<TSequence>(Stream<TSequence> stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        return stream.Outlet.Flow.IdFor("flatten");
    }

    private static Stream<TItem> Add<TSequence, TItem>(Stream<TSequence> stream, string id)
        where TSequence : IEnumerable<TItem>
    {
        ArgumentNullException.ThrowIfNull(stream);
        return new(stream.Outlet.Flow.Add<TSequence, TItem>(id, "flatten", stream.Outlet, (instance, step, next) =>
            new FlatMapPort<TSequence, TItem>(instance, step.Id, static sequence => sequence, next)));
    }
}
