using System.Buffers;
using System.Text;

namespace KStreamSharp.Flows.Flights;

/// <summary>
/// Puts rows into a topic of the embedded broker that nobody else writes. The count of records in the topic says where to go
/// on, since rows always come in the same order.
/// </summary>
internal sealed class Feed<T>(EmbeddedBroker broker, KeyedTopic<string, T> topic, IReadOnlyList<T> rows, Func<T, string> key, Func<T, DateTimeOffset> timestamp)
{
    private const int BatchMax = 1_000;

    /// <summary>The rows that the topic has.</summary>
    public int Loaded { get; private set; } = (int)broker.EndOffsets(topic.Name);

    public int Left => rows.Count - Loaded;

    /// <summary>Loads the next rows, as many as there are.</summary>
    public void Load(int count)
    {
        List<NewRecord> batch = [.. rows.Skip(Loaded).Take(count).Select(Record)];
        if (batch.Count > 0)
        {
            broker.Produce(topic.Name, batch);
            Loaded += batch.Count;
        }
    }

    /// <summary>Loads all rows that are left, saying how far it is each second.</summary>
    public void LoadAll(TextWriter output, TimeProvider time, CancellationToken stop)
    {
        if (Loaded > 0 && Left > 0)
        {
            output.WriteLine($"Loading {topic.Name}: continuing after {Loaded:N0} of {rows.Count:N0}");
        }

        Progress progress = new(output, time);
        while (Left > 0)
        {
            stop.ThrowIfCancellationRequested();
            Load(BatchMax);
            progress.Say($"Loading {topic.Name}: {Loaded:N0} of {rows.Count:N0}");
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

    private NewRecord Record(T row)
    {
        ArrayBufferWriter<byte> value = new(512);
        topic.Value.Serialize(row, value, new(topic.Name, RecordPart.Value));
        return new NewRecord(Encoding.UTF8.GetBytes(key(row)), value.WrittenSpan.ToArray(), timestamp(row));
    }
}
