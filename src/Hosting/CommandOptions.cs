using System.CommandLine;
using System.Globalization;
using System.Numerics;

namespace KStreamSharp.Hosting;

/// <summary>Options of commands that say clearly what they take.</summary>
internal static class CommandOptions
{
    /// <summary>One of a few words.</summary>
    public static Option<string?> Choice(string name, string helpName, string description, params string[] choices)
    {
        Option<string?> option = new(name) { Description = description, HelpName = helpName };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: { } text }] && !choices.Contains(text))
            {
                result.AddError($"{name} '{text}': {string.Join(" or ", choices)} is needed.");
            }
        });
        return option;
    }

    /// <summary>A whole number that is not below a least one.</summary>
    public static Option<T?> Number<T>(string name, string helpName, string description, T min)
        where T : struct, IBinaryInteger<T> => new(name)
        {
            Description = description,
            HelpName = helpName,
            CustomParser = result =>
            {
                string text = result.Tokens[0].Value;
                if (T.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out T number) && number >= min)
                {
                    return number;
                }

                result.AddError($"{name} '{text}': a whole number from {min} on is needed.");
                return null;
            },
        };
}
