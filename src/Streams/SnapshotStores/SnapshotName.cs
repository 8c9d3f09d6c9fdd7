using System.Buffers;

namespace KStreamSharp;

/// <summary>
/// The names that every snapshot store takes: no file system, bucket or container reads anything else into them. This file is
/// part of each package with a store.
/// </summary>
internal static class SnapshotName
{
    private static readonly SearchValues<char> Allowed = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/");

    /// <summary>Whether an object may be called so.</summary>
    public static bool IsValid(string name) =>
        name.Length > 0 && !name.AsSpan().ContainsAnyExcept(Allowed) && !name.Contains("..", StringComparison.Ordinal)
        && name.Split('/').All(part => part is not ("" or "."));

    /// <exception cref="ArgumentException">No object may be called so.</exception>
    public static void Check(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (!IsValid(name))
        {
            throw new ArgumentException(
                $"'{name}' cannot be the name of a snapshot object: use letters, digits, '.', '_', '-' and '/', no '..', and no slash at an end.", nameof(name));
        }
    }

    /// <exception cref="ArgumentException">No object's name can begin so.</exception>
    public static void CheckPrefix(string prefix)
    {
        ArgumentNullException.ThrowIfNull(prefix);
        if (!IsValid(prefix + "x"))
        {
            throw new ArgumentException(
                $"No snapshot object's name begins with '{prefix}': use letters, digits, '.', '_', '-' and '/', no '..', and no slash at the beginning.", nameof(prefix));
        }
    }

    /// <summary>What precedes the names of a store's objects: nothing, or a folder of a valid name, with a slash at its end.</summary>
    /// <exception cref="ArgumentException">No folder may be called so.</exception>
    public static string Folder(string? prefix)
    {
        if (string.IsNullOrEmpty(prefix))
        {
            return "";
        }

        string name = prefix.EndsWith('/') ? prefix[..^1] : prefix;
        return IsValid(name) ? name + "/" : throw new ArgumentException(
            $"'{prefix}' cannot be the prefix of a snapshot store: use letters, digits, '.', '_', '-' and '/', no '..', and no slash at the beginning.", nameof(prefix));
    }
}
