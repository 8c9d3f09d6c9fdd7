using System.CommandLine;
using System.Globalization;
using KStreamSharp.Hosting;

namespace KStreamSharp.Flows;

/// <summary>Options that say clearly what they take.</summary>
internal static class FlowOptions
{
    public static Option<int?> WholeNumber(string name, string helpName, string description, int max, int? ifMissing) => new(name)
    {
        Description = description,
        HelpName = helpName,
        DefaultValueFactory = ifMissing is null ? null : _ => ifMissing,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= 1 && number <= max)
            {
                return number;
            }

            result.AddError($"{name} '{text}': a whole number from 1 to {max} is needed.");
            return ifMissing;
        },
    };

    /// <summary>Builds what has topics in it, whose names the user gave.</summary>
    /// <exception cref="UsageException">A name is none.</exception>
    public static T NamesOfTopics<T>(Func<T> build)
    {
        try
        {
            return build();
        }
        catch (ArgumentException error)
        {
            throw new UsageException(error.Message.Split(" (Parameter")[0], error);
        }
    }
}
