using System.Diagnostics;
using Confluent.Kafka;
using ClientPartition = Confluent.Kafka.TopicPartition;

namespace KStreamSharp.Tests.Chaos;

/// <summary>A partition as a reader of committed records sees it, to its end.</summary>
/// <param name="Records">What can be read.</param>
/// <param name="Position">Where that reader comes to an end.</param>
/// <param name="End">The end of the log, open transactions and all.</param>
/// <param name="Start">The begin of the log.</param>
internal sealed record PartitionContent(IReadOnlyList<ConsumeResult<byte[], byte[]>> Records, long Position, long End, long Start);

/// <summary>What a reader of committed records sees of a partition's bounds.</summary>
/// <param name="Position">Where it comes to an end.</param>
/// <param name="End">The end of the log, open transactions and all.</param>
/// <param name="Start">The begin of the log.</param>
internal sealed record PartitionEnds(long Position, long End, long Start);

/// <summary>Reads topics from begin to end with a plain consumer.</summary>
internal sealed class Topics(string address) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    private readonly IConsumer<byte[], byte[]> _committed = Build(address, IsolationLevel.ReadCommitted);
    private readonly IConsumer<byte[], byte[]> _all = Build(address, IsolationLevel.ReadUncommitted);

    public IReadOnlyList<PartitionContent> Read(string topic, int partitions) => [.. Enumerable.Range(0, partitions).Select(partition => Read(new ClientPartition(topic, partition), null))];

    /// <summary>From an offset on; null for the begin.</summary>
    public PartitionContent Read(ClientPartition partition, long? from)
    {
        List<ConsumeResult<byte[], byte[]>> records = [];
        PartitionEnds ends = Scan(partition, from, records.Add);
        return new(records, ends.Position, ends.End, ends.Start);
    }

    public IReadOnlyList<PartitionEnds> Scan(string topic, int partitions, Action<ConsumeResult<byte[], byte[]>> look) =>
        [.. Enumerable.Range(0, partitions).Select(partition => Scan(new ClientPartition(topic, partition), null, look))];

    /// <summary>From an offset on, null for the begin; keeps nothing.</summary>
    public PartitionEnds Scan(ClientPartition partition, long? from, Action<ConsumeResult<byte[], byte[]>> look)
    {
        WatermarkOffsets ends = _all.QueryWatermarkOffsets(partition, TimeSpan.FromSeconds(20));
        _committed.Assign(new TopicPartitionOffset(partition, Math.Max(from ?? 0, ends.Low.Value)));
        long heard = Stopwatch.GetTimestamp();
        while (true)
        {
            ConsumeResult<byte[], byte[]>? result = _committed.Consume(TimeSpan.FromSeconds(1));
            if (result is { IsPartitionEOF: true })
            {
                return new(result.Offset.Value, ends.High.Value, ends.Low.Value);
            }

            if (result is not null)
            {
                look(result);
                heard = Stopwatch.GetTimestamp();
            }
            else if (Stopwatch.GetElapsedTime(heard) > Limit)
            {
                throw new InvalidOperationException($"{partition} could not be read to its end: nothing came for {Limit}.");
            }
        }
    }

    /// <summary>Whether a reader of committed records finds nothing from an offset on.</summary>
    public bool IsEmptyAfter(ClientPartition partition, long from)
    {
        _committed.Assign(new TopicPartitionOffset(partition, from));
        return _committed.Consume(TimeSpan.FromSeconds(5)) is null or { IsPartitionEOF: true };
    }

    public long End(ClientPartition partition) => _all.QueryWatermarkOffsets(partition, TimeSpan.FromSeconds(20)).High.Value;

    /// <summary>The committed positions of a group; −1 for none.</summary>
    public static long[] Positions(string address, string group, IReadOnlyList<ClientPartition> partitions)
    {
        using IConsumer<byte[], byte[]> consumer = Build(address, IsolationLevel.ReadCommitted, group);
        List<TopicPartitionOffset> committed = consumer.Committed(partitions, TimeSpan.FromSeconds(20));
        return [.. partitions.Select(partition => committed.Find(one => one.TopicPartition == partition)?.Offset.Value is { } offset and >= 0 ? offset : -1)];
    }

    public void Dispose()
    {
        _committed.Dispose();
        _all.Dispose();
    }

    public static IConsumer<byte[], byte[]> Build(string address, IsolationLevel isolation, string group = "kstream-chaos") =>
        new ConsumerBuilder<byte[], byte[]>(Clients.Consumer(address, isolation, group)).SetErrorHandler((_, _) => { }).SetLogHandler((_, _) => { }).Build();
}
