using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Confluent.Kafka;
using KStreamSharp.Tests.Chaos;
using ClientPartition = Confluent.Kafka.TopicPartition;

namespace KStreamSharp.Tests.Kubernetes;

/// <summary>What the flow `count` has put out, beside what its input asks for: each key counts 1, 2, 3 ... n.</summary>
/// <param name="Inputs">Records that the group's positions say are processed.</param>
/// <param name="Outputs">Outputs that a reader of committed records sees.</param>
/// <param name="Lost">Numbers that are missing.</param>
/// <param name="Doubled">Numbers that are there again, or out of order.</param>
internal sealed record Counts(long Inputs, long Outputs, long Lost, long Doubled)
{
    public static Counts Look(string address, string app, string input, string output, int partitions)
    {
        // In this order: outputs are committed with the positions, so those of what was read before are there.
        long[] positions = Positions(address, app, input, partitions);
        List<ConsumeResult<byte[], byte[]>> outputs = Read(address, output, partitions);
        List<ConsumeResult<byte[], byte[]>> inputs = Read(address, input, partitions);
        Dictionary<string, long> asked = [];
        long processed = 0;
        foreach (ConsumeResult<byte[], byte[]> record in inputs.Where(record => record.Offset.Value < positions[record.Partition.Value]))
        {
            string key = Encoding.UTF8.GetString(record.Message.Key);
            asked[key] = asked.GetValueOrDefault(key) + 1;
            processed++;
        }

        Dictionary<string, long> reached = [];
        (long lost, long doubled, long count) = (0, 0, 0);
        foreach (ConsumeResult<byte[], byte[]> record in outputs)
        {
            string key = Encoding.UTF8.GetString(record.Message.Key);
            long number = BinaryPrimitives.ReadInt64BigEndian(record.Message.Value);
            long before = reached.GetValueOrDefault(key);
            lost += Math.Max(0, number - before - 1);
            doubled += number <= before ? 1 : 0;
            reached[key] = Math.Max(before, number);
            count++;
        }

        lost += asked.Sum(key => Math.Max(0, key.Value - reached.GetValueOrDefault(key.Key)));
        return new(processed, count, lost, doubled);
    }

    /// <summary>Waits until the group has processed every record that is there.</summary>
    public static async Task<Counts> AtEndAsync(string address, string app, string input, string output, int partitions, TimeSpan limit)
    {
        long began = Stopwatch.GetTimestamp();
        using Topics topics = new(address);
        while (true)
        {
            long[] positions = Positions(address, app, input, partitions);
            if (Sources(input, partitions).Zip(positions).All(pair => topics.End(pair.First) == Math.Max(0, pair.Second)))
            {
                return Look(address, app, input, output, partitions);
            }

            if (Stopwatch.GetElapsedTime(began) > limit)
            {
                throw new InvalidOperationException($"{app} has not come to the end of {input} within {limit}: {string.Join(' ', positions)}.");
            }

            await Task.Delay(500);
        }
    }

    /// <summary>How far the group has come in each partition.</summary>
    public static long[] Positions(string address, string app, string input, int partitions) => Topics.Positions(address, app, Sources(input, partitions));

    private static ClientPartition[] Sources(string input, int partitions) => [.. Enumerable.Range(0, partitions).Select(partition => new ClientPartition(input, partition))];

    /// <summary>What there is now, while more is written: the end is seen between two records, so the fetch must not wait for the next one.</summary>
    private static List<ConsumeResult<byte[], byte[]>> Read(string address, string topic, int partitions)
    {
        ConsumerConfig config = Clients.Consumer(address, IsolationLevel.ReadCommitted);
        config.FetchWaitMaxMs = 1;
        using IConsumer<byte[], byte[]> consumer = new ConsumerBuilder<byte[], byte[]>(config).SetErrorHandler((_, _) => { }).SetLogHandler((_, _) => { }).Build();
        consumer.Assign(Enumerable.Range(0, partitions).Select(partition => new TopicPartitionOffset(topic, partition, Offset.Beginning)));
        List<ConsumeResult<byte[], byte[]>> records = [];
        HashSet<int> ended = [];
        while (ended.Count < partitions)
        {
            ConsumeResult<byte[], byte[]> result = consumer.Consume(TimeSpan.FromSeconds(60)) ?? throw new InvalidOperationException($"{topic} could not be read.");
            if (result.IsPartitionEOF)
            {
                ended.Add(result.Partition.Value);
            }
            else
            {
                records.Add(result);
            }
        }

        return records;
    }
}
