namespace KStreamSharp;

/// <summary>
/// Looks whether the keys of an input lie in the partitions where its partitioner puts them: the first records, and a
/// sample after. Where topics meet by key, another partitioner would lose matches without a word.
/// </summary>
internal sealed class PartitionerCheck
{
    private const int First = 100;
    private const int SampleEvery = 256;

    private readonly Step _step;
    private readonly TopicPartitioner _partitioner;
    private readonly TopicPartition _partition;
    private readonly int _partitions;
    private long _seen;

    private PartitionerCheck(Step step, FlowPlace place)
    {
        _step = step;
        _partitioner = step.Input!.Partitioner;
        _partition = new(step.Topic!, place.Shard);
        _partitions = place.PartitionCount(step.Topic!);
    }

    /// <summary>The check of an input, or null where none is needed.</summary>
    public static PartitionerCheck? For(Step step, FlowPlace place) =>
        step is { MeetsOthersAt: not null, Input.Partitioner: not TopicPartitioner.Other } ? new(step, place) : null;

    /// <exception cref="StreamException">The key belongs into another partition.</exception>
    public void See(in RecordView record)
    {
        long seen = _seen++;
        if ((seen >= First && seen % SampleEvery != 0) || !record.HasKey)
        {
            return;
        }

        int expected = _partitioner == TopicPartitioner.Murmur2
            ? Murmur2.Partition(record.Key, _partitions)
            : (int)(Crc32.Hash(record.Key) % (uint)_partitions);
        if (expected != _partition.Partition)
        {
            throw new StreamException(
                ExitCode.Broker,
                $"Offset {record.Offset} of {_partition} has a key that {_partitioner} puts into partition {expected}. Step '{_step.MeetsOthersAt}' brings '{_partition.Topic}' together with topics that are spread otherwise: values of one key would not meet. Say how the topic is spread (InputOptions.Partitioner of step '{_step.Id}'), or put .Repartition(\"...\") behind step '{_step.Id}'.");
        }
    }
}

/// <summary>The checksum by which librdkafka's default partitioner spreads keys (CRC-32 of ISO 3309, as in zlib).</summary>
internal static class Crc32
{
    private static readonly uint[] Table = [.. Enumerable.Range(0, 256).Select(Entry)];

    public static uint Hash(ReadOnlySpan<byte> data)
    {
        uint hash = uint.MaxValue;
        foreach (byte part in data)
        {
            hash = Table[(hash ^ part) & 0xff] ^ (hash >> 8);
        }

        return ~hash;
    }

    private static uint Entry(int index)
    {
        uint entry = (uint)index;
        for (int bit = 0; bit < 8; bit++)
        {
            entry = (entry & 1) == 0 ? entry >> 1 : 0xedb88320 ^ (entry >> 1);
        }

        return entry;
    }
}
