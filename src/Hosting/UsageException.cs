namespace KStreamSharp.Hosting;

/// <summary>The user made a mistake on the command line, in the configuration or in a file; shown without a stack trace, exit code 2.</summary>
public sealed class UsageException : Exception
{
    /// <summary>A mistake.</summary>
    /// <param name="message">What is wrong and how to mend it.</param>
    /// <param name="inner">What told so, or null.</param>
    public UsageException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
