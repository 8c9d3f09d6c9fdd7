namespace KStreamSharp.Testing;

/// <summary>The snapshot store of a simulation: in memory, and failing when it is told to.</summary>
internal sealed class SimulatedStore
{
    private readonly HashSet<string> _damaged = [];
    private int _failing;
    private bool _carriedOut;

    public SimulatedStore()
    {
        Store.Before = (call, _) => _carriedOut ? Task.CompletedTask : Next(call, "before");
        Store.After = (call, _) =>
        {
            if (_carriedOut)
            {
                Next(call, "after").GetAwaiter().GetResult();
            }
        };
    }

    /// <summary>Told of every call that fails.</summary>
    public event Action<string> Failed = _ => { };

    public MemorySnapshotStore Store { get; } = new();

    /// <summary>Whether any object has ever been damaged.</summary>
    public bool IsDamaged => _damaged.Count > 0;

    public bool IsDamagedAt(string name) => _damaged.Contains(name);

    /// <summary>The next calls fail, before or after they are carried out.</summary>
    public void Fail(int calls, bool carriedOut) => (_failing, _carriedOut) = (calls, carriedOut);

    /// <summary>No call fails any more.</summary>
    public void Settle() => _failing = 0;

    /// <summary>An object is lost, or one of its bytes is another; false when there is none.</summary>
    public bool Damage(int which, bool lost)
    {
        if (Store.Objects.Count == 0)
        {
            return false;
        }

        string name = Store.Objects.Keys.ElementAt(which % Store.Objects.Count);
        byte[] content = Store.Objects[name];
        if (lost || content.Length == 0)
        {
            Store.Objects.Remove(name);
        }
        else
        {
            byte[] changed = [.. content];
            changed[which % changed.Length] ^= 1;
            Store.Objects[name] = changed;
        }

        _damaged.Add(name);
        return true;
    }

    private Task Next(string call, string when)
    {
        if (_failing == 0)
        {
            return Task.CompletedTask;
        }

        _failing--;
        Failed($"{call} {when}");
        throw new IOException($"the simulation lets {call} fail");
    }
}
