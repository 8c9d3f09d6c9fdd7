using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>
/// Which folders of the engine use which, as the compiler resolves their names. The order has no circle: each folder uses only
/// those that stand before it.
/// </summary>
public sealed class Arrows
{
    private const string Engine = "src/Streams";
    private const string Root = "(root)";

    /// <summary>The folders in their order, each with those that it uses. A new arrow is a change of this list.</summary>
    private static readonly (string Folder, string[] Uses)[] Allowed =
    [
        (Root, []),
        ("Broker", []),
        ("Serialization", []),
        ("Telemetry", ["Broker"]),
        ("SnapshotStores", [Root]),
        ("Broker/Embedded", [Root, "Broker", "Serialization"]),
        ("Broker/Kafka", [Root, "Broker", "Telemetry"]),
        ("State", [Root, "Broker", "Broker/Embedded", "Serialization"]),
        ("Flow", [Root, "Broker", "Serialization", "State"]),
        ("Stateful", [Root, "Broker", "Flow", "Serialization", "State"]),
        ("Operators", [Root, "Broker", "Flow", "Serialization", "State", "Stateful"]),
        ("Application", [Root, "Broker", "Flow", "SnapshotStores", "State", "Telemetry"]),
        ("Handover", ["Broker", "SnapshotStores", "State"]),
        ("Snapshots", [Root, "Application", "Broker", "Flow", "Handover", "SnapshotStores", "State", "Telemetry"]),
        ("Recovery", [Root, "Application", "Broker", "Flow", "Handover", "SnapshotStores", "Snapshots", "State", "Stateful", "Telemetry"]),
        ("Runs", [Root, "Application", "Broker", "Flow", "Snapshots", "Telemetry"]),
        ("Runtime/Status", ["Application", "Broker", "Flow", "Handover", "SnapshotStores", "State", "Telemetry"]),
        ("Runtime", [Root, "Application", "Broker", "Flow", "Handover", "Operators", "Recovery", "Runs", "Runtime/Status", "SnapshotStores", "Snapshots", "State", "Stateful", "Telemetry"]),
    ];

    /// <summary>Every arrow between two folders, and the files at both ends.</summary>
    private static readonly Lazy<SortedDictionary<(string From, string To), SortedSet<string>>> Found = new(Resolve);

    [Fact]
    public void EachFolderUsesThoseOfTheListAndNoOther() => Assert.Equal(
        Allowed.SelectMany(folder => folder.Uses, (folder, to) => $"{folder.Folder} -> {to}").Order(StringComparer.Ordinal),
        Found.Value.Select(arrow => $"{arrow.Key.From} -> {arrow.Key.To}").Order(StringComparer.Ordinal));

    [Fact]
    public void EachFolderUsesOnlyThoseBeforeIt()
    {
        string[] order = [.. Allowed.Select(folder => folder.Folder)];
        Assert.Empty(Allowed.SelectMany((folder, place) => folder.Uses.Where(to => Array.IndexOf(order, to) >= place), (folder, to) => $"{folder.Folder} -> {to}"));
    }

    [Fact]
    public void EveryFolderIsInTheList() => Assert.Equal(
        Allowed.Select(folder => folder.Folder).Order(StringComparer.Ordinal), Repository.Sources(Engine).Select(FolderOf).Distinct().Order(StringComparer.Ordinal));

    [Fact]
    public void TheScanResolvesNames() => Assert.Contains("Commit > Ownership", Found.Value[("Runtime", "Handover")]);

    private static SortedDictionary<(string From, string To), SortedSet<string>> Resolve()
    {
        SortedDictionary<(string From, string To), SortedSet<string>> arrows = [];
        IEnumerable<string> paths = Repository.Sources(Engine);
        CSharpParseOptions language = new(LanguageVersion.Latest);
        Dictionary<SyntaxTree, string> folders = paths.ToDictionary(
            path => CSharpSyntaxTree.ParseText(Repository.Read(path), language, path), FolderOf);
        SyntaxTree usings = CSharpSyntaxTree.ParseText(
            "global using System; global using System.Collections.Generic; global using System.IO; global using System.Linq; global using System.Net.Http; global using System.Threading; global using System.Threading.Tasks;", language);
        IEnumerable<MetadataReference> references = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Where(path => !Path.GetFileName(path).StartsWith("KStreamSharp", StringComparison.Ordinal))
            .Select(path => MetadataReference.CreateFromFile(path));
        CSharpCompilation compilation = CSharpCompilation.Create(
            "engine", [.. folders.Keys, usings], references, new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, allowUnsafe: true, nullableContextOptions: NullableContextOptions.Enable));
        foreach ((SyntaxTree tree, string from) in folders)
        {
            SemanticModel model = compilation.GetSemanticModel(tree);
            foreach (SimpleNameSyntax name in tree.GetRoot().DescendantNodes().OfType<SimpleNameSyntax>())
            {
                if (PlaceOf(model.GetSymbolInfo(name).Symbol) is { } place && folders.TryGetValue(place, out string? to) && to != from)
                {
                    if (!arrows.TryGetValue((from, to), out SortedSet<string>? uses))
                    {
                        arrows[(from, to)] = uses = [];
                    }

                    uses.Add($"{Path.GetFileNameWithoutExtension(tree.FilePath)} > {Path.GetFileNameWithoutExtension(place.FilePath)}");
                }
            }
        }

        return arrows;
    }

    /// <summary>Where what a name stands for is declared: the member itself, or the part of a type that its file is named after.</summary>
    private static SyntaxTree? PlaceOf(ISymbol? symbol)
    {
        if (symbol is IMethodSymbol { MethodKind: MethodKind.Constructor } or IMethodSymbol { MethodKind: MethodKind.ReducedExtension })
        {
            symbol = symbol.ContainingType;
        }

        SyntaxTree[] places = symbol is INamedTypeSymbol or IMethodSymbol or IPropertySymbol or IFieldSymbol or IEventSymbol
            ? [.. symbol.OriginalDefinition.DeclaringSyntaxReferences.Select(reference => reference.SyntaxTree)]
            : [];
        return Array.Find(places, place => Path.GetFileNameWithoutExtension(place.FilePath) == symbol!.Name) ?? places.FirstOrDefault();
    }

    private static string FolderOf(string path)
    {
        string folder = Path.GetDirectoryName(path)!.Replace('\\', '/');
        return folder.Length == Engine.Length ? Root : folder[(Engine.Length + 1)..];
    }
}
