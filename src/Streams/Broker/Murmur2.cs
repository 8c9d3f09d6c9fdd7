using System.Buffers.Binary;

namespace KStreamSharp;

/// <summary>The hash by which Java's producer, and this engine, spread keys over partitions (MurmurHash2, 32 bits, Kafka's seed).</summary>
internal static class Murmur2
{
    private const uint Multiplier = 0x5bd1e995;
    private const uint Seed = 0x9747b28c;

    public static int Partition(ReadOnlySpan<byte> key, int partitions) => partitions == 1 ? 0 : (Hash(key) & 0x7fffffff) % partitions;

    public static int Hash(ReadOnlySpan<byte> data)
    {
        uint hash = Seed ^ (uint)data.Length;
        for (; data.Length >= 4; data = data[4..])
        {
            uint block = BinaryPrimitives.ReadUInt32LittleEndian(data) * Multiplier;
            block = (block ^ (block >> 24)) * Multiplier;
            hash = (hash * Multiplier) ^ block;
        }

        if (data.Length > 0)
        {
            for (int i = data.Length - 1; i >= 0; i--)
            {
                hash ^= (uint)data[i] << (8 * i);
            }

            hash *= Multiplier;
        }

        hash = (hash ^ (hash >> 13)) * Multiplier;
        return (int)(hash ^ (hash >> 15));
    }
}
