using KStreamSharp.Hosting;

namespace KStreamSharp.Flows.Flights;

/// <summary>
/// Puts rows into a topic that nobody else writes. Rows always come in the same order, and so do those of each partition:
/// what a partition has already says where to go on, also when an end in the middle left one partition further than another.
/// </summary>
internal sealed class Feed<T> : IDisposable
    where T : class
{
    private const int BatchMax = 1_000;

    private readonly Broker _broker;
    private readonly KeyedTopic<string, T> _topic;
    private readonly TopicWriter<string, T> _writer;
    private readonly IReadOnlyList<T> _rows;
    private readonly Func<T, string> _key;
    private readonly Func<T, DateTimeOffset> _timestamp;
    private readonly List<T> _left;
    private int _next;

    public Feed(Broker broker, KeyedTopic<string, T> topic, IReadOnlyList<T> rows, Func<T, string> key, Func<T, DateTimeOffset> timestamp)
    {
        _broker = broker;
        _topic = topic;
        _writer = new(broker, topic);
        _rows = rows;
        _key = key;
        _timestamp = timestamp;
        long[] has = [.. _writer.EndOffsets()];
        _left = [.. rows.Where(row => --has[_writer.PartitionOf(key(row))] < 0)];
    }

    /// <summary>The rows that the topic has.</summary>
    public int Loaded => _rows.Count - Left;

    public int Left => _left.Count - _next;

    /// <summary>Makes sure that what the topic has are the first rows of each partition.</summary>
    /// <exception cref="UsageException">It has something else.</exception>
    public void Check(string source)
    {
        if (_writer.EndOffsets().Sum() == 0)
        {
            return;
        }

        Queue<T>[] expected = [.. _writer.EndOffsets().Select(_ => new Queue<T>())];
        foreach (T row in _rows)
        {
            expected[_writer.PartitionOf(_key(row))].Enqueue(row);
        }

        using TopicReader<string, T> reader = new(_broker, _topic);
        foreach (Record<string, T> record in reader.ReadToEnd())
        {
            if (!expected[_writer.PartitionOf(record.Key ?? "")].TryDequeue(out T? row) || _key(row) != record.Key || !row.Equals(record.Value))
            {
                throw new UsageException(
                    $"Topic '{_topic.Name}' holds other records than the rows of {source} in their order: loading would mix them up. Name the file that was loaded by --data, or delete the topic first.");
            }
        }

        // Whatever was dropped from a partition's start was a row once, and is missing now.
        if (_rows.Count - expected.Sum(queue => queue.Count) != Loaded)
        {
            throw new UsageException($"Topic '{_topic.Name}' has dropped records (its retention, or deletion): it cannot be completed. Delete it and load again.");
        }
    }

    /// <summary>Loads the next rows, as many as there are.</summary>
    public void Load(int count)
    {
        for (int end = Math.Min(_next + count, _left.Count); _next < end; _next++)
        {
            _writer.Append(_key(_left[_next]), _left[_next], _timestamp(_left[_next]));
        }

        _writer.Flush();
    }

    /// <summary>Loads all rows that are left, saying how far it is each second.</summary>
    public void LoadAll(TextWriter output, TimeProvider time, CancellationToken stop = default)
    {
        if (Loaded > 0 && Left > 0)
        {
            output.WriteLine($"Loading {_topic.Name}: continuing after {Loaded:N0} of {_rows.Count:N0}");
        }

        Progress progress = new(output, time);
        while (Left > 0)
        {
            stop.ThrowIfCancellationRequested();
            Load(BatchMax);
            progress.Say($"Loading {_topic.Name}: {Loaded:N0} of {_rows.Count:N0}");
        }
    }

    /// <summary>Loads the rows that are left at an even pace.</summary>
    public async Task ReplayAsync(int rowsPerSecond, TimeProvider time, CancellationToken stop)
    {
        using PeriodicTimer tick = new(TimeSpan.FromMilliseconds(50), time);
        long began = time.GetTimestamp();
        int first = Loaded;
        while (Left > 0 && await tick.WaitForNextTickAsync(stop))
        {
            double due = time.GetElapsedTime(began).TotalSeconds * rowsPerSecond;
            for (int count = (int)Math.Min(due - (Loaded - first), Left); count > 0; count -= BatchMax)
            {
                stop.ThrowIfCancellationRequested();
                Load(Math.Min(count, BatchMax));
            }
        }
    }

    public void Dispose() => _writer.Dispose();
}
