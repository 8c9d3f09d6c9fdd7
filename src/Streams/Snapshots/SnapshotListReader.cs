using System.Diagnostics.CodeAnalysis;

namespace KStreamSharp;

/// <summary>
/// Reads the list of a shard's snapshots: its partition of <c>&lt;app&gt;-shards</c> up to the end that it has now. The end is
/// asked read uncommitted, as the changelog's is: the last owner's publish may have been answered before its marker came.
/// </summary>
internal sealed class SnapshotListReader : IDisposable
{
    private readonly TopicPartition _partition;
    private readonly Reader _reader;
    private readonly long _end;
    private IReadOnlyList<SnapshotEntry> _entries = [];

    public SnapshotListReader(Broker broker, string app, int shard)
    {
        _partition = new(InternalTopics.Shards(app), shard);
        _end = broker.EndOffset(_partition, committedOnly: false);
        long start = broker.StartOffset(_partition);
        _reader = broker.CreateReader(readCommitted: true, hurries: true);
        _reader.Assign(_partition, start);
    }

    /// <summary>The ids of snapshots that the owner is asked to drop, as far as has been read.</summary>
    public IReadOnlySet<string> Dropped { get; private set; } = System.Collections.Frozen.FrozenSet<string>.Empty;

    /// <summary>Waits until there may be more to read.</summary>
    public void Wait(TimeSpan atMost) => _reader.Wait(atMost);

    /// <summary>Reads on; true, with the list, when the end is reached.</summary>
    /// <exception cref="StreamException">Another version wrote the list.</exception>
    public bool Step([NotNullWhen(true)] out IReadOnlyList<SnapshotEntry>? entries)
    {
        while (_reader.Position(_partition) < _end && _reader.Read(_partition, 1_000) is { } batch)
        {
            for (int i = 0; i < batch.Count; i++)
            {
                if (batch[i].Key.SequenceEqual(SnapshotList.ListKey))
                {
                    _entries = SnapshotList.Read(batch[i].Value);
                }
                else if (batch[i].Key.SequenceEqual(SnapshotList.DropKey))
                {
                    Dropped = SnapshotList.ReadDrop(batch[i].Value);
                }
            }
        }

        entries = _reader.Position(_partition) >= _end ? _entries : null;
        return entries is not null;
    }

    public void Dispose() => _reader.Dispose();
}
