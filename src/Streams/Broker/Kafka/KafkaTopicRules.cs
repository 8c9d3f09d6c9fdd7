using System.Globalization;
using Confluent.Kafka;

namespace KStreamSharp;

/// <summary>The settings of the engine's own topics: nothing that it depends on is left to the broker's defaults.</summary>
internal static class KafkaTopicRules
{
    private const string Before = "message.timestamp.before.max.ms";
    private const string After = "message.timestamp.after.max.ms";
    private const string Difference = "message.timestamp.difference.max.ms";
    private const string MaxBytes = "max.message.bytes";

    /// <summary>Kafka's own default; a broker that allows less would refuse states that another one takes.</summary>
    private const long MaxBytesAtLeast = 1_048_588;

    private static readonly string NoBound = Text(long.MaxValue);

    /// <summary>
    /// What to ask for, the best first: a broker before Kafka 3.6 has one bound of timestamps instead of two, and knows no
    /// others' names. What is left out against the first says <see cref="LeftOut"/>.
    /// </summary>
    /// <param name="cleanup">What the topic does with old records.</param>
    /// <param name="largestMessage">How many bytes the client may send at once.</param>
    public static IEnumerable<Dictionary<string, string>> Wanted(TopicCleanup cleanup, long largestMessage)
    {
        Dictionary<string, string> all = CleanupOf(cleanup);
        all["message.timestamp.type"] = "CreateTime";
        all[MaxBytes] = Text(Math.Max(MaxBytesAtLeast, largestMessage));
        yield return new(all) { [Before] = NoBound, [After] = NoBound };
        yield return new(all) { [Difference] = NoBound };
        yield return all;
    }

    /// <summary>Makes a topic by the best settings that the broker takes.</summary>
    /// <param name="wanted">The settings, the best first.</param>
    /// <param name="create">Makes the topic; answers with the broker's error.</param>
    /// <param name="taken">The settings that were taken; null when the topic was there.</param>
    public static Error Create(IEnumerable<Dictionary<string, string>> wanted, Func<Dictionary<string, string>, Error> create, out Dictionary<string, string>? taken)
    {
        Error? first = null;
        taken = null;
        foreach (Dictionary<string, string> settings in wanted)
        {
            Error answer = create(settings);
            if (answer.Code != ErrorCode.InvalidConfig)
            {
                taken = answer.IsError ? null : settings;
                return answer;
            }

            first ??= answer;
        }

        return first!;
    }

    /// <summary>Bounds of timestamps that a broker did not take, so that its defaults count; empty when none count.</summary>
    public static string LeftOut(Dictionary<string, string> taken) => taken.ContainsKey(Before) || taken.ContainsKey(Difference) ? "" : $"{Before}, {After}";

    /// <summary>The settings that a topic has and with which the engine can be stopped by a record.</summary>
    /// <param name="configs">The topic's settings.</param>
    /// <param name="largestMessage">How many bytes the client may send at once.</param>
    public static IEnumerable<(string Name, string Value, string Wanted, string Why)> Weak(IReadOnlyDictionary<string, string> configs, long largestMessage)
    {
        foreach (string name in new[] { Before, After, Difference })
        {
            if (configs.TryGetValue(name, out string? value) && value != NoBound)
            {
                yield return (name, value, NoBound, "a record whose timestamp is farther from the broker's time stops the application");
            }
        }

        if (configs.TryGetValue(MaxBytes, out string? most) && long.TryParse(most, NumberStyles.None, CultureInfo.InvariantCulture, out long bytes) && bytes < Math.Max(MaxBytesAtLeast, largestMessage))
        {
            yield return (MaxBytes, most, Text(Math.Max(MaxBytesAtLeast, largestMessage)), "a state or an item above that size stops the application");
        }
    }

    private static Dictionary<string, string> CleanupOf(TopicCleanup cleanup) => cleanup switch
    {
        TopicCleanup.Compact => new()
        {
            ["cleanup.policy"] = "compact",
            ["segment.bytes"] = Text(64 << 20),
            ["min.compaction.lag.ms"] = "0",
            ["max.compaction.lag.ms"] = Text((long)TimeSpan.FromDays(1).TotalMilliseconds),
            ["delete.retention.ms"] = Text((long)Broker.TombstoneRetention.TotalMilliseconds),
        },
        TopicCleanup.Keep => new() { ["cleanup.policy"] = "delete", ["retention.ms"] = "-1", ["retention.bytes"] = "-1" },
        _ => new() { ["cleanup.policy"] = "delete" },
    };

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
