using Confluent.Kafka;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>These hold the client to the form of group metadata that the engine reads.</summary>
public sealed class KafkaGroupMetadataTests
{
    [Theory]
    [InlineData("member-1", 7)]
    [InlineData("mitglied-ü", int.MaxValue)]
    [InlineData("", -1)]
    public void ATokenComesBackAsItWas(string member, int generation)
    {
        GroupToken token = new(member, generation);

        Assert.Equal(token, KafkaGroupMetadata.Read(KafkaGroupMetadata.Write("group", token)));
    }

    [Fact]
    public void AConsumerThatHasNotJoinedIsNoMember()
    {
        using IConsumer<Ignore, Ignore> consumer = new ConsumerBuilder<Ignore, Ignore>(
            new ConsumerConfig { BootstrapServers = "127.0.0.1:1", GroupId = "group", GroupInstanceId = "instance" }).SetLogHandler((_, _) => { }).Build();

        Assert.False(KafkaGroupMetadata.Read(consumer.ConsumerGroupMetadata).IsMember);
    }
}
