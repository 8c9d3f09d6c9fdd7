using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A journal that was cut short or changed.</summary>
public sealed class EmbeddedDamageTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _path;
    private readonly byte[] _whole;
    private readonly int _beforeLast;

    public EmbeddedDamageTests()
    {
        _path = Path.Combine(_folder.Path, "journal");
        using (EmbeddedBroker broker = EmbeddedBroker.Open(_folder.Path))
        {
            TopicPartition partition = broker.Topic("topic");
            broker.Put(partition, "k", "first");
            broker.Put(partition, "k", "second");
        }

        _beforeLast = (int)new FileInfo(_path).Length;
        using (EmbeddedBroker broker = EmbeddedBroker.Open(_folder.Path))
        {
            broker.Put(new("topic", 0), "k", "last");
        }

        _whole = File.ReadAllBytes(_path);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AJournalCutAnywhereInItsLastFrameLosesThatFrameOnlyAndGoesOn()
    {
        for (int length = _beforeLast; length < _whole.Length; length++)
        {
            File.WriteAllBytes(_path, _whole[..length]);
            AssertGoesOnWithoutTheLast();
        }
    }

    [Fact]
    public void AJournalChangedAnywhereInItsLastFrameLosesThatFrameOnlyAndGoesOn()
    {
        for (int at = _beforeLast; at < _whole.Length; at++)
        {
            File.WriteAllBytes(_path, Flipped(at));
            AssertGoesOnWithoutTheLast();
        }
    }

    [Fact]
    public void AJournalChangedAnywhereBeforeItsLastFrameIsRefusedAndLeftAsItIs()
    {
        for (int at = 0; at < _beforeLast; at++)
        {
            byte[] damaged = Flipped(at);
            File.WriteAllBytes(_path, damaged);

            StreamException error = Assert.Throws<StreamException>(() => EmbeddedBroker.Open(_folder.Path));
            Assert.Equal(ExitCode.State, error.Code);
            Assert.Contains(_path, error.Message, StringComparison.Ordinal);
            Assert.Contains("folder", error.Message, StringComparison.Ordinal);
            Assert.Equal(damaged, File.ReadAllBytes(_path));
        }
    }

    [Fact]
    public void ZerosBehindTheLastFrameAreCutOff()
    {
        File.WriteAllBytes(_path, [.. _whole, .. new byte[5000]]);

        using EmbeddedBroker broker = EmbeddedBroker.Open(_folder.Path);
        Assert.Equal(["first", "second", "last"], broker.Values("topic"));
    }

    [Fact]
    public void AJournalWithinARecordIsNoFrameBehind()
    {
        using (EmbeddedBroker broker = EmbeddedBroker.Open(_folder.Path))
        {
            broker.Produce("topic", [1], _whole, partition: 0);
        }

        byte[] longer = File.ReadAllBytes(_path);
        File.WriteAllBytes(_path, longer[..^1]);

        using EmbeddedBroker again = EmbeddedBroker.Open(_folder.Path);
        Assert.Equal(["first", "second", "last"], again.Values("topic"));
    }

    [Fact]
    public void AJournalWhoseMakingWasCutShortBeginsAnew()
    {
        for (int length = 0; length < 12; length++)
        {
            File.WriteAllBytes(_path, _whole[..length]);
            using (EmbeddedBroker broker = EmbeddedBroker.Open(_folder.Path))
            {
                Assert.Null(broker.PartitionCount("topic"));
                broker.CreateTopic("new", 1);
            }

            using EmbeddedBroker again = EmbeddedBroker.Open(_folder.Path);
            Assert.Equal(1, again.PartitionCount("new"));
        }
    }

    [Fact]
    public void ANewerFormatIsRefusedWithBothVersions()
    {
        byte[] newer = [.. _whole];
        newer[8] = 2;
        File.WriteAllBytes(_path, newer);

        StreamException error = Assert.Throws<StreamException>(() => EmbeddedBroker.Open(_folder.Path));
        Assert.Contains("format 2", error.Message, StringComparison.Ordinal);
        Assert.Contains("knows 1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatARewriteLeftUnfinishedIsRemoved()
    {
        File.WriteAllBytes(_path + ".new", [1, 2, 3]);

        using EmbeddedBroker broker = EmbeddedBroker.Open(_folder.Path);
        Assert.False(File.Exists(_path + ".new"));
        Assert.Equal(["first", "second", "last"], broker.Values("topic"));
    }

    private byte[] Flipped(int at)
    {
        byte[] damaged = [.. _whole];
        damaged[at] ^= 0x10;
        return damaged;
    }

    private void AssertGoesOnWithoutTheLast()
    {
        using (EmbeddedBroker broker = EmbeddedBroker.Open(_folder.Path))
        {
            Assert.Equal(["first", "second"], broker.Values("topic"));
            broker.Put(new("topic", 0), "k", "after");
        }

        using EmbeddedBroker again = EmbeddedBroker.Open(_folder.Path);
        Assert.Equal(["first", "second", "after"], again.Values("topic"));
    }
}
