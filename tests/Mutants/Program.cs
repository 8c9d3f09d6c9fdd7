using System.Diagnostics;
using System.Globalization;
using KStreamSharp.Tests.Mutants;

const string Usage = "usage: [--list] [--only NAME[,NAME]] [--from NAME] [--to NAME] [--shard I/N] [--seeds N] [--results FILE] [--bench DIR] [--no-base] [--near] [--tests CLASS[,CLASS]] [--side-by-side]";
const double Wanted = 0.95;

bool listOnly = false;
bool sideBySide = false;
bool noBase = false;
bool nearOnly = false;
string[]? tests = null;
int seeds = 200;
string? results = null;
string? kept = null;
IReadOnlyList<Mutant> chosen = MutantList.All;
for (int i = 0; i < args.Length; i++)
{
    string option = args[i];
    switch (option)
    {
        case "--list":
            listOnly = true;
            continue;
        case "--side-by-side":
            sideBySide = true;
            continue;
        case "--no-base":
            noBase = true;
            continue;
        case "--near":
            nearOnly = true;
            continue;
    }

    string value = i + 1 < args.Length ? args[++i] : "";
    int[] shard = [.. value.Split('/').Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : -1)];
    switch (option)
    {
        case "--only" when value.Split(',').All(name => IndexOf(name) >= 0):
            chosen = [.. chosen.Where(mutant => value.Split(',').Contains(mutant.Name))];
            break;
        case "--from" when IndexOf(value) >= 0:
            chosen = [.. chosen.Where(mutant => IndexOf(mutant.Name) >= IndexOf(value))];
            break;
        case "--to" when IndexOf(value) >= 0:
            chosen = [.. chosen.Where(mutant => IndexOf(mutant.Name) <= IndexOf(value))];
            break;
        case "--shard" when shard is [> 0, > 0] && shard[0] <= shard[1]:
            chosen = [.. chosen.Where(mutant => IndexOf(mutant.Name) % shard[1] == shard[0] - 1)];
            break;
        case "--seeds" when shard is [>= 0]:
            seeds = shard[0];
            break;
        case "--results" when value.Length > 0:
            results = Path.GetFullPath(value);
            break;
        case "--tests" when value.Length > 0:
            tests = value.Split(',');
            break;
        case "--bench" when value.Length > 0:
            kept = Path.GetFullPath(value);
            break;
        default:
            Console.Error.WriteLine($"'{option} {value}' is not understood; {Usage}");
            return 2;
    }
}

string tree = Tree();
int astray = 0;
int broken = 0;
foreach (Mutant mutant in MutantList.All)
{
    try
    {
        mutant.Apply(File.ReadAllText(Path.Combine(tree, "src", "Streams", mutant.File)));
    }
    catch (Exception error) when (error is FormatException or IOException)
    {
        astray++;
        Console.Error.WriteLine(error.Message);
    }

    if (MutantList.All.Count(other => other.Name == mutant.Name) > 1)
    {
        astray++;
        Console.Error.WriteLine($"mutant '{mutant.Name}': another one has its name");
    }
}

if (listOnly)
{
    foreach (Mutant mutant in chosen)
    {
        Console.WriteLine($"{mutant.Name,-34} {mutant.File}: {mutant.Meaning}{(mutant.Equivalent is null ? "" : $" (Equivalent: {mutant.Equivalent})")}");
    }

    Console.WriteLine($"{MutantList.All.Count} mutants, {astray} whose text is not in the sources exactly once");
}

if (astray > 0 || listOnly)
{
    return astray > 0 ? 2 : 0;
}

Dictionary<string, string> known = results is not null && File.Exists(results)
    ? File.ReadAllLines(results).Select(line => line.Split('\t', 2)).Where(parts => parts.Length == 2).ToDictionary(parts => parts[0], parts => parts[1])
    : [];
string folder = kept ?? Path.Combine(Path.GetTempPath(), $"kstream-mutants-{Environment.ProcessId}");
try
{
    Workbench bench = new(tree, folder);
    Stopwatch watch = Stopwatch.StartNew();
    if (chosen.Any(mutant => !known.ContainsKey(mutant.Name)))
    {
        await bench.PrepareAsync();
        Console.WriteLine($"built in {watch.Elapsed.TotalSeconds:0} s");
    }

    if (!noBase)
    {
        watch.Restart();
        if (await bench.CompileAsync(null) is { } refusal)
        {
            Console.Error.WriteLine($"the engine itself does not compile here:\n{refusal}");
            return 2;
        }

        if (await bench.FindAsync(null, seeds, sideBySide) is { } fault)
        {
            Console.Error.WriteLine($"the engine itself is found to be wrong: {fault}. Mend that first.");
            return 2;
        }

        Console.WriteLine($"the engine as it is: nothing found in {watch.Elapsed.TotalSeconds:0} s");
    }

    foreach (Mutant mutant in chosen.Where(mutant => !known.ContainsKey(mutant.Name)))
    {
        watch.Restart();
        if (await bench.CompileAsync(mutant) is { } refusal)
        {
            Console.Error.WriteLine($"mutant '{mutant.Name}' does not compile:\n{refusal}");
            known[mutant.Name] = Table.Nobody;
            broken++;
            continue;
        }

        string finder = await (nearOnly || tests is not null ? bench.TestAsync(tests ?? Workbench.Near(mutant.File)) : bench.FindAsync(mutant, seeds, sideBySide)) ?? Table.Nobody;
        known[mutant.Name] = finder;
        Console.WriteLine($"{mutant.Name}: {finder} ({watch.Elapsed.TotalSeconds:0} s)");
        if (results is not null && !((nearOnly || tests is not null) && finder == Table.Nobody))
        {
            File.AppendAllText(results, $"{mutant.Name}\t{finder}\n");
        }
    }
}
finally
{
    if (kept is null && Directory.Exists(folder))
    {
        Directory.Delete(folder, recursive: true);
    }
}

double found = Table.Print(chosen, known);
if (broken > 0)
{
    Console.Error.WriteLine($"{broken} mutants do not compile: they show nothing");
    return 2;
}

return found >= Wanted ? 0 : 1;

int IndexOf(string name) => MutantList.All.TakeWhile(mutant => mutant.Name != name).Count() is int index && index < MutantList.All.Count ? index : -1;

static string Tree()
{
    for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
    {
        if (File.Exists(Path.Combine(at.FullName, "KStreamSharp.sln")))
        {
            return at.FullName;
        }
    }

    throw new InvalidOperationException("This program must be run from the repository: it patches the engine's sources.");
}
