using System.Reflection;
using System.Text.RegularExpressions;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Which way the arrows point, and what the engine must not use.</summary>
public partial class Architecture
{
    [Fact]
    public void OnlyTheKafkaFolderUsesTheKafkaClient() => Assert.Empty(
        Offenders(KafkaClient(), Repository.Sources("src").Where(path => !path.StartsWith("src/Streams/Broker/Kafka/", StringComparison.Ordinal))));

    /// <summary>Except where it talks to a real broker, whose time is the wall clock.</summary>
    [Fact]
    public void TheEngineTakesTimeAndThreadsFromItsParts() => Assert.Empty(
        Offenders(ForbiddenInTheEngine(), Repository.Sources("src/Streams").Where(path => !path.StartsWith("src/Streams/Broker/Kafka/", StringComparison.Ordinal))));

    [Theory]
    [InlineData(typeof(Dataflow))]
    [InlineData(typeof(Testing.FlowDriver))]
    public void ThePublicApiHasNoMutableStaticFields(Type of) => Assert.Empty(
        of.Assembly.GetExportedTypes()
            .SelectMany(type => type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
            .Where(field => field is { IsInitOnly: false, IsLiteral: false } && !field.Name.StartsWith('<'))
            .Select(field => $"{field.DeclaringType!.Name}.{field.Name}"));

    [Fact]
    public void TheScanSeesTheSource()
    {
        Assert.Contains("src/Streams/Flow/Dataflow.cs", Repository.Sources("src"));
        Assert.Matches(ForbiddenInTheEngine(), "DateTimeOffset.UtcNow");
        Assert.Matches(ForbiddenInTheEngine(), "Thread.Sleep(1)");
        Assert.Matches(KafkaClient(), "using Confluent.Kafka;");
    }

    private static IEnumerable<string> Offenders(Regex forbidden, IEnumerable<string> paths) =>
        from path in paths
        from line in Repository.Read(path).Split('\n').Select((text, index) => (Text: text.Trim(), Number: index + 1))
        where !line.Text.StartsWith("//", StringComparison.Ordinal) && forbidden.IsMatch(line.Text)
        select $"{path}:{line.Number}: {line.Text}";

    [GeneratedRegex(@"\b(Confluent\.Kafka|librdkafka)\b")]
    private static partial Regex KafkaClient();

    [GeneratedRegex(@"\b(DateTime(Offset)?\.(Utc)?Now|DateTime\.Today|Thread\.Sleep|Task\.(Run|Delay)|Stopwatch|Environment\.TickCount(64)?|Random\.Shared)\b")]
    private static partial Regex ForbiddenInTheEngine();
}

/// <summary>The repository's files, as the tests read them.</summary>
internal static class Repository
{
    private static readonly string Root = FindRoot();

    public static string Read(string path) => File.ReadAllText(Path.Combine(Root, path)).ReplaceLineEndings("\n");

    /// <summary>The C# files under a folder, as paths from the root with slashes, without what the build made.</summary>
    public static IReadOnlyList<string> Sources(string folder) =>
    [
        .. Directory.EnumerateFiles(Path.Combine(Root, folder), "*.cs", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(Root, path).Replace('\\', '/'))
            .Where(path => !path.Contains("/obj/", StringComparison.Ordinal) && !path.Contains("/bin/", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal),
    ];

    private static string FindRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "KStreamSharp.sln")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException("KStreamSharp.sln is in no folder above the tests: run them inside the repository.");
    }
}
