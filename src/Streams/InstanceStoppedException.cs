namespace KStreamSharp;

/// <summary>A test stops the instance here, as a crash would.</summary>
internal sealed class InstanceStoppedException(string at) : Exception($"stopped at {at}");
