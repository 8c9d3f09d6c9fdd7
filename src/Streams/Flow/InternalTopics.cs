using System.Text.RegularExpressions;

namespace KStreamSharp;

/// <summary>The names of the topics that the engine makes for an application.</summary>
internal static partial class InternalTopics
{
    /// <summary>Whose partitions the group shares out: owning one is owning the shard of that number.</summary>
    public static string Shards(string app) => $"{app}-shards";

    /// <summary>There while a reset of the application is under way: nothing starts then. It has no records.</summary>
    public static string Reset(string app) => $"{app}-shards.reset";

    /// <summary>The states and commit markers of every shard.</summary>
    public static string Changelog(string app) => $"{app}-changelog";

    /// <summary>
    /// The applications whose repartition topic a topic may be by its name, but for one: <c>orders-eu-total.repartition</c> is that
    /// of application <c>orders</c>, step <c>eu-total</c>, or of application <c>orders-eu</c>, step <c>total</c>.
    /// </summary>
    public static IEnumerable<string> OtherOwners(string topic, string app)
    {
        for (int dash = topic.IndexOf('-', StringComparison.Ordinal); dash >= 0; dash = topic.IndexOf('-', dash + 1))
        {
            string other = topic[..dash];
            if (other.Length > 0 && other != app && IsOfAStep(topic[(dash + 1)..]))
            {
                yield return other;
            }
        }
    }

    /// <summary>Whether a name, after the application's and a dash, is that of a step's repartition topic.</summary>
    public static bool IsOfAStep(string name) => OfAStep().IsMatch(name);

    [GeneratedRegex(@"^[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+-)?repartition$")]
    private static partial Regex OfAStep();
}
