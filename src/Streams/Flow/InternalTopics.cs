namespace KStreamSharp;

/// <summary>The names of the topics that the engine makes for an application.</summary>
internal static class InternalTopics
{
    /// <summary>Whose partitions the group shares out: owning one is owning the shard of that number.</summary>
    public static string Shards(string app) => $"{app}-shards";

    /// <summary>There while a reset of the application is under way: nothing starts then. It has no records.</summary>
    public static string Reset(string app) => $"{app}-shards.reset";

    /// <summary>The states and commit markers of every shard.</summary>
    public static string Changelog(string app) => $"{app}-changelog";
}
