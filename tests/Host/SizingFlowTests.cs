using System.Text;
using KStreamSharp.Flows;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests;

public class SizingFlowTests
{
    private static readonly RecordTopic<byte[], byte[]> In = Topic.Records("in", Serde.Bytes, Serde.Bytes);

    [Fact]
    public void CopyKeepsKeyValueHeadersAndTimestamp()
    {
        RecordTopic<byte[], byte[]> copies = Topic.Records("out", Serde.Bytes, Serde.Bytes);
        using FlowDriver driver = Drive(new CopyFlow(), 1);
        DateTimeOffset at = new(2001, 2, 3, 4, 5, 6, 789, TimeSpan.Zero);
        Headers headers = Headers.Empty.With("a", "1").With("a", null).With("", "x");
        Record<byte[], byte[]>[] records = [new([1, 0, 255], [2], at, headers), new(null!, [3], at, Headers.Empty), new([], [], at, Headers.Empty), new([4], null!, at, Headers.Empty)];
        foreach (Record<byte[], byte[]> record in records)
        {
            driver.Push(In, record);
        }

        driver.Run();

        IReadOnlyList<Record<byte[], byte[]>> copied = driver.Outputs(copies);
        Assert.Equal(records.Select(record => record.Key), copied.Select(record => record.Key));
        Assert.Equal(records.Select(record => record.Value), copied.Select(record => record.Value));
        Assert.Equal(records.Select(record => record.Headers.ToArray()), copied.Select(record => record.Headers.ToArray()));
        Assert.All(copied, record => Assert.Equal(at, record.Timestamp));
    }

    [Fact]
    public void CountPutsOutTheRunningCountOfTheKeyForEachRecordInOrder()
    {
        KeyedTopic<byte[], byte[]> counts = Topic.Keyed("out", Serde.Bytes, Serde.Bytes);
        using FlowDriver driver = Drive(new CountFlow(), 1);
        foreach (byte key in new byte[] { 7, 8, 7, 7, 8 })
        {
            driver.Push(In, new([key], key == 8 ? null! : [1], driver.Now, Headers.Empty));
        }

        driver.Run();

        Assert.Equal(
            [(7, "0000000000000001"), (8, "0000000000000001"), (7, "0000000000000002"), (7, "0000000000000003"), (8, "0000000000000002")],
            driver.Outputs(counts).Select(record => ((int)record.Key[0], Convert.ToHexString(record.Value))));
    }

    [Fact]
    public void RekeyCountCountsByTheHashOfTheKey()
    {
        KeyedTopic<string, long> counts = Topic.Keyed<string, long>("out");
        using FlowDriver driver = Drive(new RekeyCountFlow(), 4);
        string[] keys = [.. Enumerable.Range(0, 300).Select(i => $"key-{i % 100}")];
        foreach (string key in keys)
        {
            driver.Push(In, new(Encoding.UTF8.GetBytes(key), [1], driver.Now, Headers.Empty));
        }

        driver.End();

        Assert.Equal(
            keys.GroupBy(key => RekeyCountFlow.NewKey(Encoding.UTF8.GetBytes(key))).SelectMany(group => group.Select((_, index) => (group.Key, index + 1L))).Order(),
            driver.Outputs(counts).Select(record => (record.Key, record.Value)).Order());
    }

    [Theory]
    [InlineData("", "r40389")]
    [InlineData("a", "r10540")]
    public void TheNewKeyOfAKeyStaysTheSameInEveryVersion(string key, string newKey) => Assert.Equal(newKey, RekeyCountFlow.NewKey(Encoding.UTF8.GetBytes(key)));

    private static FlowDriver Drive(SizingFlow sizing, int shards)
    {
        Dataflow flow = new(sizing.Id);
        sizing.Build(flow, "in", "out");
        return new FlowDriver(flow, new FlowDriverOptions { Shards = shards });
    }
}
