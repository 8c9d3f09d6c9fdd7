using System.Text;

namespace KStreamSharp.Tests;

/// <summary>What the tests of the embedded broker write shorter by this.</summary>
internal static class EmbeddedParts
{
    /// <summary>As on Kafka, positions without a member are not fenced. The engine never sends them so.</summary>
    public static GroupToken NoMember { get; } = new("", -1);

    public static byte[] Utf8(this string text) => Encoding.UTF8.GetBytes(text);

    public static string? Text(this byte[]? bytes) => bytes is null ? null : Encoding.UTF8.GetString(bytes);

    /// <summary>A topic that keeps everything.</summary>
    public static TopicPartition Topic(this EmbeddedBroker broker, string name, TopicCleanup cleanup = TopicCleanup.Keep, int partitions = 1)
    {
        broker.CreateTopic(new TopicSpec(name, partitions, cleanup));
        return new TopicPartition(name, 0);
    }

    public static long Put(this EmbeddedBroker broker, TopicPartition partition, string key, string? value) =>
        broker.Produce(partition.Topic, key.Utf8(), value?.Utf8(), partition: partition.Partition);

    public static void Put(this TransactionalWriter writer, TopicPartition partition, string key, string? value) =>
        writer.Append(partition, new OutgoingRecord(1_700_000_000_000, key.Utf8(), true, value?.Utf8(), value is not null, Headers.Empty));

    public static EmbeddedWriter Writer(this EmbeddedBroker broker, string id)
    {
        EmbeddedWriter writer = (EmbeddedWriter)broker.CreateWriter(id, TimeSpan.FromMinutes(1));
        writer.Initialize();
        return writer;
    }

    /// <summary>The values of a topic, partition by partition.</summary>
    public static string?[] Values(this EmbeddedBroker broker, string topic, bool readCommitted = true) =>
        [.. broker.ReadAll(topic, readCommitted).Select(record => record.Value.Text())];

    /// <summary>The folder as kill -9 would leave it: what was handed to the operating system, copied into another folder.</summary>
    public static void CopyJournal(string from, string to)
    {
        Directory.CreateDirectory(to);
        using FileStream source = new(Path.Combine(from, "journal"), FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using FileStream target = File.Create(Path.Combine(to, "journal"));
        source.CopyTo(target);
    }
}
