namespace KStreamSharp;

/// <summary>The names of the topics that the engine makes for an application.</summary>
internal static class InternalTopics
{
    /// <summary>Whose partitions the group shares out: owning one is owning the shard of that number.</summary>
    public static string Shards(string app) => $"{app}-shards";

    /// <summary>The states and commit markers of every shard.</summary>
    public static string Changelog(string app) => $"{app}-changelog";
}
