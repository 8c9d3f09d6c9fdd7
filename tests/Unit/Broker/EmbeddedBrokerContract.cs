namespace KStreamSharp.Tests;

/// <summary>The contract, on a broker in memory.</summary>
public sealed class EmbeddedBrokerInMemoryContract : BrokerContract
{
    private readonly ManualClock _clock = new();
    private EmbeddedBroker? _broker;

    private protected override Broker CreateBroker() => _broker = EmbeddedBroker.InMemory(time: _clock);

    private protected override void PassTime(TimeSpan time) => _clock.Advance(time);

    private protected override void Compact(string topic) => _broker!.Compact();
}

/// <summary>The contract, on a broker that is kept in a folder.</summary>
public sealed class EmbeddedBrokerInFolderContract : BrokerContract
{
    private readonly ManualClock _clock = new();
    private readonly TemporaryFolder _folder = new();
    private EmbeddedBroker? _broker;

    private protected override Broker CreateBroker() => _broker = EmbeddedBroker.Open(_folder.Path, time: _clock);

    private protected override void PassTime(TimeSpan time) => _clock.Advance(time);

    private protected override void Compact(string topic) => _broker!.Compact();

    public override void Dispose()
    {
        base.Dispose();
        _folder.Dispose();
        GC.SuppressFinalize(this);
    }
}
