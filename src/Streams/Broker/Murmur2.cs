namespace KStreamSharp;

internal static class Murmur2 { public static int Partition(ReadOnlySpan<byte> key, int partitions) => throw new NotImplementedException(); }
