using System.Reflection;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>No public operator lacks an example, and each example is the one that <see cref="DocExamples"/> runs.</summary>
public partial class DocExampleTexts
{
    private static readonly Lazy<IReadOnlyDictionary<string, string>> Documented = new(ReadDocumentation);
    private static readonly Lazy<IReadOnlyDictionary<string, string>> Tested = new(ReadTests);

    public static TheoryData<string> Operators() =>
    [
        .. new[] { typeof(Dataflow), typeof(Stream<>), typeof(KeyedStream<,>), typeof(Flattening), typeof(RecordStreams) }
            .SelectMany(type => type.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly))
            .Where(method => !method.IsSpecialName && method.Name is not (nameof(Dataflow.Check) or nameof(Dataflow.Describe)))
            .Select(method => method.Name)
            .Distinct(),
    ];

    [Theory]
    [MemberData(nameof(Operators))]
    public void AnOperatorsExampleIsTheOneThatRuns(string name)
    {
        Assert.True(Documented.Value.ContainsKey(name), $"{name} has no <example> in its documentation");
        Assert.True(Tested.Value.ContainsKey(name), $"{name} has no region in DocExamples.cs");
        Assert.Equal(Tested.Value[name], Documented.Value[name]);
        Assert.NotNull(typeof(DocExamples).GetMethod(name)?.GetCustomAttribute<FactAttribute>());
    }

    [Fact]
    public void EveryRegionBelongsToAnOperator() =>
        Assert.Equal(Operators().Select(row => row.Data).Order(), Tested.Value.Keys.Order());

    private static Dictionary<string, string> ReadDocumentation()
    {
        Dictionary<string, string> examples = [];
        XDocument documentation = XDocument.Load(Path.ChangeExtension(typeof(Dataflow).Assembly.Location, ".xml"));
        foreach (XElement member in documentation.Descendants("member").Where(member => member.Element("example") is not null))
        {
            string id = member.Attribute("name")!.Value.Split('(')[0];
            examples.Add(id[(id.LastIndexOf('.') + 1)..].Split('`')[0], Lines(member.Element("example")!.Element("code")!.Value));
        }

        return examples;
    }

    private static Dictionary<string, string> ReadTests() =>
        Region().Matches(Repository.Read("tests/Unit/Operators/DocExamples.cs"))
            .GroupBy(match => match.Groups["name"].Value, match => Lines(match.Groups["lines"].Value))
            .ToDictionary(parts => parts.Key, parts => string.Join("\n\n", parts));

    /// <summary>The lines without what they are indented by together, and without empty ones around them.</summary>
    private static string Lines(string text)
    {
        string[] lines = [.. text.Split('\n').Select(line => line.TrimEnd()).SkipWhile(line => line.Length == 0)];
        int indent = lines.Where(line => line.Length > 0).Min(line => line.Length - line.TrimStart().Length);
        return string.Join('\n', lines.Select(line => line.Length > 0 ? line[indent..] : line)).TrimEnd();
    }

    [GeneratedRegex(@"^ *// example (?<name>\w+)\n(?<lines>.*?)^ *// end\n", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Region();
}
