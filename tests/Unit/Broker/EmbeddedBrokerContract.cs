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

/// <summary>The contract, with readers that fetch ahead and pause.</summary>
public sealed class EmbeddedBrokerWithPrefetchContract : BrokerContract
{
    private readonly ManualClock _clock = new();
    private EmbeddedBroker? _broker;

    private protected override Broker CreateBroker()
    {
        _broker = EmbeddedBroker.InMemory(time: _clock);
        _broker.Prefetch = new EmbeddedPrefetch { RecordsMax = 50, FetchMax = 30 };
        return _broker;
    }

    private protected override void PassTime(TimeSpan time) => _clock.Advance(time);

    private protected override void Compact(string topic) => _broker!.Compact();

    private protected override bool IsFull(Reader reader, TopicPartition partition) => ((PrefetchingReader)reader).IsPaused(partition);
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
