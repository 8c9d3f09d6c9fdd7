namespace KStreamSharp.Testing;

/// <summary>What the code of steps does in a simulation besides its work: it takes time, and fails.</summary>
internal sealed class SimulatedCode
{
    /// <summary>Told of every call, with the step and what it was called for.</summary>
    public Action<string>? Called { get; set; }

    public void Call(string step) => Called?.Invoke(step);
}
