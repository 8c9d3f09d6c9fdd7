namespace KStreamSharp.Testing;

/// <summary>
/// A snapshot store in memory. Every call is over when it returns, unless <see cref="Before"/> makes it fail or wait: so a
/// test or a simulation decides what the store does.
/// </summary>
internal sealed class MemorySnapshotStore : ISnapshotStore
{
    /// <summary>The objects by name. Bytes may be changed: a store can be damaged, too.</summary>
    public SortedDictionary<string, byte[]> Objects { get; } = new(StringComparer.Ordinal);

    /// <summary>
    /// Called with the name of the call (<c>Put</c>, <c>Open</c>, <c>List</c>, <c>Delete</c>) and the object before it is
    /// carried out; throws to let it fail, or answers what to wait for.
    /// </summary>
    public Func<string, string, Task> Before { get; set; } = (_, _) => Task.CompletedTask;

    /// <summary>Called after a call has been carried out; throws to let its answer be lost.</summary>
    public Action<string, string> After { get; set; } = (_, _) => { };

    /// <inheritdoc/>
    public async Task PutAsync(string name, Stream content, CancellationToken stop)
    {
        await Before("Put", name);
        stop.ThrowIfCancellationRequested();
        using MemoryStream copy = new();
        content.CopyTo(copy);
        Objects[name] = copy.ToArray();
        After("Put", name);
    }

    /// <inheritdoc/>
    public async Task<Stream?> OpenAsync(string name, CancellationToken stop)
    {
        await Before("Open", name);
        stop.ThrowIfCancellationRequested();
        return Objects.TryGetValue(name, out byte[]? content) ? new MemoryStream(content, writable: false) : null;
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<SnapshotObject>> ListAsync(string prefix, CancellationToken stop)
    {
        await Before("List", prefix);
        stop.ThrowIfCancellationRequested();
        return [.. Objects.Where(item => item.Key.StartsWith(prefix, StringComparison.Ordinal)).Select(item => new SnapshotObject(item.Key, item.Value.Length))];
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(string name, CancellationToken stop)
    {
        await Before("Delete", name);
        stop.ThrowIfCancellationRequested();
        Objects.Remove(name);
        After("Delete", name);
    }
}
