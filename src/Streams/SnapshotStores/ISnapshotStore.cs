namespace KStreamSharp;

/// <summary>
/// Where snapshots of shards are kept: a flat set of objects under names with slashes, in a folder, a bucket or a container.
/// Names come from the engine: letters, digits, <c>.</c>, <c>_</c>, <c>-</c> and <c>/</c>, never with <c>..</c>, and with no
/// slash at either end. No name is another one's beginning up to a slash: in a folder it would be a file and a folder.
/// </summary>
/// <remarks>
/// Safe for any number of calls at once, from several processes. A call that fails throws; the engine says so in the log,
/// counts it, and tries again later, or restores from the next best source. The message names the store and the object, and
/// no secret.
/// </remarks>
public interface ISnapshotStore
{
    /// <summary>
    /// Writes an object, over one of the same name. Readers see the whole object or none of it, whenever the writer ends; it
    /// is kept when the task has completed.
    /// </summary>
    /// <param name="name">The object's name.</param>
    /// <param name="content">The bytes, from the stream's position to its end; its length is known, and it can be read again from there for another attempt.</param>
    /// <param name="stop">Gives up; nothing or the whole object may have been written.</param>
    /// <exception cref="IOException">The store cannot be reached or refuses.</exception>
    /// <exception cref="OperationCanceledException">Given up.</exception>
    Task PutAsync(string name, Stream content, CancellationToken stop);

    /// <summary>Opens an object for reading from its beginning; null when there is none of that name.</summary>
    /// <param name="name">The object's name.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>The bytes; the caller disposes the stream. Reading it throws <see cref="IOException"/> when the store fails in the midst.</returns>
    /// <exception cref="IOException">The store cannot be reached or refuses.</exception>
    /// <exception cref="OperationCanceledException">Given up.</exception>
    Task<Stream?> OpenAsync(string name, CancellationToken stop);

    /// <summary>The objects whose names begin with a prefix, in ordinal order of their names; all that were kept before the call, whatever is written meanwhile.</summary>
    /// <param name="prefix">The beginning of the names; empty for all.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="IOException">The store cannot be reached or refuses.</exception>
    /// <exception cref="OperationCanceledException">Given up.</exception>
    Task<IReadOnlyList<SnapshotObject>> ListAsync(string prefix, CancellationToken stop);

    /// <summary>Deletes an object; one that is not there is as good as deleted.</summary>
    /// <param name="name">The object's name.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="IOException">The store cannot be reached or refuses.</exception>
    /// <exception cref="OperationCanceledException">Given up.</exception>
    Task DeleteAsync(string name, CancellationToken stop);
}

/// <summary>An object of a snapshot store.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Bytes">Its length in bytes.</param>
public sealed record SnapshotObject(string Name, long Bytes);
