using Microsoft.Extensions.Configuration;

namespace KStreamSharp.Hosting;

/// <summary>The names that a host understands below the section <c>KStreamSharp</c>. Whatever else stands there is refused: a setting that is passed over misleads.</summary>
/// <param name="section">The section's name.</param>
/// <param name="settings">Names of one value each.</param>
/// <param name="groups">Names with others below them, and the setting that somebody means who gives the group a value.</param>
/// <param name="client">The group whose names are the client's own.</param>
/// <param name="emptyAllowed">The setting that may be empty: a template writes it whether there is something to say or not.</param>
internal sealed class SettingNames(string section, string[] settings, (string Name, string Main)[] groups, string client, string emptyAllowed)
{
    private const StringComparison Any = StringComparison.OrdinalIgnoreCase;

    /// <exception cref="UsageException">Something is not understood. Its name is told, never its value: it may be a password.</exception>
    public void Check(IConfigurationSection root)
    {
        if (root.Value is not null)
        {
            throw new UsageException($"{section} is a group and takes no value of its own. {There()}");
        }

        foreach (IConfigurationSection entry in root.GetChildren())
        {
            Check(entry, entry.Path[(section.Length + 1)..]);
        }
    }

    private void Check(IConfigurationSection entry, string name)
    {
        IConfigurationSection[] below = [.. entry.GetChildren()];
        if (Array.Find(groups, group => group.Name.Equals(name, Any)) is { Name: not null } group)
        {
            if (entry.Value is not null)
            {
                throw new UsageException($"{section}:{group.Name} is a group and takes no value of its own. Perhaps {section}:{group.Main} is meant. {There()}");
            }

            foreach (IConfigurationSection child in below)
            {
                Check(child, $"{group.Name}:{child.Key}");
            }
        }
        else if (name.StartsWith(client + ":", Any))
        {
            if (below.Length > 0)
            {
                throw new UsageException($"{below[0].Path} is not understood: the name of a client's setting is one word with dots, as in {section}:{client}:ssl.ca.location.");
            }
        }
        else if (Array.Find(settings, known => known.Equals(name, Any)) is { } setting)
        {
            CheckOne(entry, setting, below);
        }
        else
        {
            string full = Leaf(entry).Path;
            string nearest = Nearest.Of(name, settings) is { } near ? $"The nearest is {section}:{near}. " : "";
            throw new UsageException($"The configuration has no setting {full}. {nearest}{There()}");
        }
    }

    private void CheckOne(IConfigurationSection entry, string setting, IConfigurationSection[] below)
    {
        if (below.Length > 0)
        {
            string several = setting.EndsWith($":{nameof(KafkaOptions.BootstrapServers)}", Any) ? " Give several brokers as one value, separated by commas." : "";
            throw new UsageException($"{section}:{setting} is one value, and the configuration has {below[0].Path} below it.{several}");
        }

        if (string.IsNullOrWhiteSpace(entry.Value) && setting != emptyAllowed)
        {
            throw new UsageException($"{section}:{setting} is empty. Give it a value, or leave it out for its default.");
        }
    }

    private static IConfigurationSection Leaf(IConfigurationSection entry)
    {
        while (entry.Value is null && entry.GetChildren().FirstOrDefault() is { } below)
        {
            entry = below;
        }

        return entry;
    }

    private string There() => $"There are: {string.Join(", ", settings.Append($"{client}:NAME"))}.";
}
