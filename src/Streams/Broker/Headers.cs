using System.Collections;
using System.Text;

namespace KStreamSharp;

/// <summary>The headers of a record: names with bytes, in order; a name may repeat and a value may be null. Immutable.</summary>
public sealed class Headers : IReadOnlyList<KeyValuePair<string, byte[]?>>
{
    private readonly KeyValuePair<string, byte[]?>[] _items;

    /// <summary>Headers in the order given; the array is copied, the values are not.</summary>
    /// <param name="items">Names and values. A null name is refused.</param>
    /// <exception cref="ArgumentException">A name is null.</exception>
    public Headers(params IReadOnlyCollection<KeyValuePair<string, byte[]?>> items)
    {
        ArgumentNullException.ThrowIfNull(items);
        foreach (KeyValuePair<string, byte[]?> item in items)
        {
            if (item.Key is null)
            {
                throw new ArgumentException("A header needs a name.", nameof(items));
            }
        }

        _items = [.. items];
    }

    /// <summary>No headers.</summary>
    public static Headers Empty { get; } = new([]);

    /// <summary>The number of headers.</summary>
    public int Count => _items.Length;

    /// <summary>The header at an index from 0.</summary>
    /// <param name="index">The index.</param>
    public KeyValuePair<string, byte[]?> this[int index] => _items[index];

    /// <summary>These headers and one more at the end, its value as UTF-8.</summary>
    /// <param name="name">The header's name.</param>
    /// <param name="value">The text, or null for a header without value.</param>
    public Headers With(string name, string? value) =>
        new([.. _items, new(name, value is null ? null : Encoding.UTF8.GetBytes(value))]);

    /// <summary>The value of the last header of a name as UTF-8 text; null when there is none or it has no value.</summary>
    /// <param name="name">The name, compared exactly.</param>
    public string? Text(string name)
    {
        for (int i = _items.Length - 1; i >= 0; i--)
        {
            if (_items[i].Key == name)
            {
                return _items[i].Value is { } bytes ? Encoding.UTF8.GetString(bytes) : null;
            }
        }

        return null;
    }

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, byte[]?>> GetEnumerator() => ((IEnumerable<KeyValuePair<string, byte[]?>>)_items).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
