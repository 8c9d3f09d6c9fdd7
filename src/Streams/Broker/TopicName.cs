namespace KStreamSharp;

/// <summary>The names that Kafka takes for topics.</summary>
internal static class TopicName
{
    /// <exception cref="ArgumentException">It is empty, or not one that Kafka takes.</exception>
    public static string Checked(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (name.Length > 249 || name is "." or ".." || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-'))
        {
            throw new ArgumentException($"'{name}' is no name for a topic: up to 249 letters, digits, '.', '_' and '-'.", nameof(name));
        }

        return name;
    }
}
