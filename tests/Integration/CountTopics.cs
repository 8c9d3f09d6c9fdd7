using System.Buffers.Binary;
using System.Text;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>The input and output of one counting application on the broker of the tests, and what its outputs must be.</summary>
public sealed class CountTopics : IDisposable
{
    private readonly KafkaBroker _broker;
    private readonly OutputWriter _writer;
    private readonly Dictionary<string, int> _loaded = [];
    private readonly Reader _reader;
    private readonly Dictionary<string, List<long>> _counts = [];
    private int _next;

    public CountTopics(string address, int partitions, IReadOnlyDictionary<string, string>? settings = null)
    {
        _broker = new KafkaBroker(new KafkaOptions { BootstrapServers = address, Settings = settings ?? new Dictionary<string, string>() });
        Partitions = partitions;
        _broker.CreateTopic(new TopicSpec(Input, partitions, TopicCleanup.Keep));
        _broker.CreateTopic(new TopicSpec(Output, partitions, TopicCleanup.Keep));
        _writer = _broker.CreateOutputWriter();
        _reader = _broker.CreateReader(readCommitted: true);
        for (int partition = 0; partition < partitions; partition++)
        {
            _reader.Assign(new(Output, partition), 0);
        }
    }

    public string App { get; } = $"count-{Guid.NewGuid().ToString("N")[..12]}";

    public string Input => $"{App}-in";

    public string Output => $"{App}-out";

    public int Partitions { get; }

    public int Loaded => _loaded.Values.Sum();

    /// <summary>The outputs that have been read so far.</summary>
    public int Counted => _counts.Values.Sum(counts => counts.Count);

    public void Load(int records, int keys = 30)
    {
        for (int i = 0; i < records; i++)
        {
            string key = $"k{_next++ % keys}";
            _loaded[key] = _loaded.GetValueOrDefault(key) + 1;
            byte[] bytes = Encoding.UTF8.GetBytes(key);
            _writer.Append(new(Input, Murmur2.Partition(bytes, Partitions)), new(1_700_000_000_000 + _next, bytes, true, "v"u8, true, Headers.Empty));
        }

        _writer.Flush();
    }

    /// <summary>Reads what has been committed since the last call.</summary>
    public void ReadOn()
    {
        bool any = true;
        while (any)
        {
            any = false;
            for (int partition = 0; partition < Partitions; partition++)
            {
                if (_reader.Read(new(Output, partition), 1_000) is not { } batch)
                {
                    continue;
                }

                any = true;
                for (int i = 0; i < batch.Count; i++)
                {
                    string key = Encoding.UTF8.GetString(batch[i].Key);
                    (_counts.TryGetValue(key, out List<long>? counts) ? counts : _counts[key] = []).Add(BinaryPrimitives.ReadInt64BigEndian(batch[i].Value));
                }
            }
        }
    }

    /// <summary>Waits until as much has been counted as was loaded; looks after the processes meanwhile.</summary>
    public void AwaitAll(TimeSpan limit, params InstanceProcess[] running)
    {
        Until(limit, () => Counted >= Loaded, () => $"{Counted} of {Loaded} counted", running);
    }

    public void Until(TimeSpan limit, Func<bool> condition, Func<string> what, params InstanceProcess[] running)
    {
        long began = TimeProvider.System.GetTimestamp();
        while (true)
        {
            ReadOn();
            if (condition())
            {
                return;
            }

            foreach (InstanceProcess process in running)
            {
                process.AssertAlive();
            }

            if (TimeProvider.System.GetElapsedTime(began) > limit)
            {
                Assert.Fail($"After {limit}: {what()}. {string.Join(" ", running.Select(process => process.ToString()))}");
            }

            _reader.Wait(TimeSpan.FromMilliseconds(100));
        }
    }

    /// <summary>Every key's outputs are 1, 2, 3 ... in order, each once.</summary>
    public void AssertExact()
    {
        ReadOn();
        Assert.Equal(_loaded.Keys.Order(), _counts.Keys.Order());
        foreach ((string key, List<long> counts) in _counts)
        {
            Assert.Equal(Enumerable.Range(1, _loaded[key]).Select(count => (long)count), counts);
        }
    }

    /// <summary>The group's positions reach the input's end, and no transaction is left open on any partition.</summary>
    public void AwaitSettled(TimeSpan limit, params InstanceProcess[] running)
    {
        TopicPartition[] inputs = [.. Of(Input)];
        TopicPartition[] written = [.. Of(Output), .. Of(InternalTopics.Changelog(App)), .. Of(InternalTopics.Shards(App))];
        Until(
            limit,
            () => _broker.TryGetCommittedOffsets(App, inputs, out long?[] offsets)
                && inputs.Zip(offsets).All(pair => (pair.Second ?? 0) == _broker.EndOffset(pair.First, committedOnly: false)),
            () => "the group's positions are not at the input's end",
            running);
        Until(
            limit,
            () => written.All(partition => _broker.EndOffset(partition, committedOnly: true) == _broker.EndOffset(partition, committedOnly: false)),
            () => "a transaction is left open",
            running);
    }

    public void Dispose()
    {
        _writer.Dispose();
        _reader.Dispose();
        _broker.Dispose();
    }

    private IEnumerable<TopicPartition> Of(string topic) => Enumerable.Range(0, Partitions).Select(partition => new TopicPartition(topic, partition));
}
