using Confluent.Kafka;

namespace KStreamSharp;

/// <summary>
/// Where keys and values of read records lie until their batch is over: blocks that are used again, since the client's own
/// memory is gone when its call returns.
/// </summary>
internal sealed class RecordMemory : IDeserializer<RecordMemory.Bytes>
{
    private const int BlockSize = 64 << 10;
    private const int SpareMax = 256;

    private readonly Stack<Block> _spare = [];
    private Block _current = new(BlockSize);

    /// <summary>Called by the client with its own memory.</summary>
    public Bytes Deserialize(ReadOnlySpan<byte> data, bool isNull, SerializationContext context)
    {
        if (data.IsEmpty)
        {
            return new(null, isNull ? -1 : 0, 0);
        }

        Block block = data.Length > BlockSize / 4 ? new Block(data.Length) : Room(data.Length);
        data.CopyTo(block.Memory.AsSpan(block.Used));
        Bytes bytes = new(block, block.Used, data.Length);
        block.Used += data.Length;
        block.Live++;
        return bytes;
    }

    public void Release(in Bytes bytes)
    {
        if (bytes.Block is { } block && --block.Live == 0 && block.Memory.Length == BlockSize)
        {
            block.Used = 0;
            if (block != _current && _spare.Count < SpareMax)
            {
                _spare.Push(block);
            }
        }
    }

    private Block Room(int length)
    {
        if (_current.Used + length > BlockSize)
        {
            _current = _spare.TryPop(out Block? spare) ? spare : new Block(BlockSize);
        }

        return _current;
    }

    /// <summary>A key or a value; absent when <paramref name="At"/> is −1.</summary>
    internal readonly record struct Bytes(Block? Block, int At, int Length)
    {
        public bool IsPresent => At >= 0;

        public ReadOnlySpan<byte> Span => Block is null ? default : Block.Memory.AsSpan(At, Length);
    }

    internal sealed class Block(int size)
    {
        public byte[] Memory { get; } = new byte[size];

        public int Used { get; set; }

        public int Live { get; set; }
    }
}
