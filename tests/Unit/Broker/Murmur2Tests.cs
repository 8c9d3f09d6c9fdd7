using System.Text;
using Xunit;

namespace KStreamSharp.Tests;

public class Murmur2Tests
{
    [Theory]
    [InlineData("21", -973932308)]
    [InlineData("foobar", -790332482)]
    [InlineData("a-little-bit-long-string", -985981536)]
    [InlineData("a-little-bit-longer-string", -1486304829)]
    [InlineData("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)]
    [InlineData("abc", 479470107)]
    public void TheHashIsThatOfJavasProducer(string key, int hash) => Assert.Equal(hash, Murmur2.Hash(Encoding.UTF8.GetBytes(key)));

    [Theory]
    [InlineData("21", -973932308)]
    [InlineData("foobar", -790332482)]
    [InlineData("abc", 479470107)]
    public void ThePartitionIsTheHashWithoutItsSignByTheNumberOfPartitions(string key, int hash)
    {
        foreach (int partitions in new[] { 1, 2, 3, 7, 12, 100, 1000 })
        {
            Assert.Equal((hash & 0x7fffffff) % partitions, Murmur2.Partition(Encoding.UTF8.GetBytes(key), partitions));
        }
    }

    [Fact]
    public void EveryTailLengthHasAPartitionOfItsOwnChoice()
    {
        int[] chosen = [.. Enumerable.Range(0, 64).Select(length => Murmur2.Partition(new byte[length], 1_000_000))];
        Assert.Equal(64, chosen.Distinct().Count());
        Assert.All(chosen, partition => Assert.InRange(partition, 0, 999_999));
    }
}
