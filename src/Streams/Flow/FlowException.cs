namespace KStreamSharp;

/// <summary>A flow was put together wrongly; the message names the step and what to do. Thrown while the flow is built.</summary>
public sealed class FlowException : Exception
{
    /// <summary>An error of building.</summary>
    /// <param name="message">What is wrong, with the step's id.</param>
    public FlowException(string message)
        : base(message)
    {
    }
}
