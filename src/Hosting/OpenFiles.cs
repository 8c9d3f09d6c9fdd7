using System.Globalization;

namespace KStreamSharp.Hosting;

/// <summary>
/// How many files the process may have open. With too few the runtime itself ends the process before anything can be said, so
/// this is looked at before the first of many is opened.
/// </summary>
internal static class OpenFiles
{
    /// <summary>What the program, a client and a few shards take.</summary>
    private const long Least = 256;

    private const string LimitsFile = "/proc/self/limits";
    private const string LimitsLine = "Max open files";

    /// <exception cref="StreamException">They are too few.</exception>
    public static void Check()
    {
        if (File.Exists(LimitsFile) && Limit(File.ReadLines(LimitsFile)) is { } limit && Refusal(limit) is { } refusal)
        {
            throw new StreamException(ExitCode.State, refusal);
        }
    }

    /// <summary>Null when the limit is enough to start with.</summary>
    internal static string? Refusal(long limit) => limit >= Least ? null : string.Create(
        CultureInfo.InvariantCulture,
        $"The process may open only {limit} files; it needs at least {Least}, plus about 20 per shard. Raise the limit (ulimit -Hn, LimitNOFILE of a systemd unit, the container's ulimits).");

    /// <summary>The hard limit, to which .NET raises the soft one; null when there is none, or none is told.</summary>
    internal static long? Limit(IEnumerable<string> lines) =>
        lines.FirstOrDefault(line => line.StartsWith(LimitsLine, StringComparison.Ordinal)) is { } found
        && found[LimitsLine.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries) is [_, var hard, ..]
        && long.TryParse(hard, NumberStyles.None, CultureInfo.InvariantCulture, out long limit)
            ? limit
            : null;
}
