namespace KStreamSharp;

/// <summary>
/// The application stops: a record, a step, the state or the broker needs a person. The message says what, where (topic,
/// partition, offset, step) and what to do. Nothing of the open transaction is visible; a restart resumes before it.
/// </summary>
public class StreamException : Exception
{
    internal StreamException(ExitCode code, string message, Exception? inner = null)
        : base(message, inner) => Code = code;

    /// <summary>The kind of failure, and the process's exit code under the host.</summary>
    public ExitCode Code { get; }
}

/// <summary>Exit codes of a host.</summary>
public enum ExitCode
{
    /// <summary>An orderly end.</summary>
    Ok = 0,

    /// <summary>Something that no other code names: most likely a defect of the engine.</summary>
    Internal = 1,

    /// <summary>The command line, the configuration or the flow is wrong.</summary>
    Usage = 2,

    /// <summary>A record cannot be read.</summary>
    BadRecord = 3,

    /// <summary>The code of a step threw.</summary>
    UserCode = 4,

    /// <summary>The state folder is in use, foreign, newer, damaged, or its disk is full.</summary>
    State = 5,

    /// <summary>The broker refused, cannot be reached, or its topics do not fit the application.</summary>
    Broker = 6,

    /// <summary>A worker hung in the code of a step.</summary>
    Stalled = 7,

    /// <summary>A command was asked for something that is not there.</summary>
    NotFound = 8,
}
