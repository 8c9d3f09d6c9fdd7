using System.Diagnostics;
using System.Text;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>
/// What every <see cref="Broker"/> keeps to. Derive from it and say how a broker is made; each test uses names of its own, so that
/// tests may share a cluster, and asks again until a time limit wherever a broker may answer a little later.
/// </summary>
public abstract partial class BrokerContract : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private readonly string _suffix = Guid.NewGuid().ToString("N")[..12];
    private readonly Stack<IDisposable> _made = [];
    private Broker? _broker;
    private Reader? _pause;
    private int _topics;

    /// <summary>A broker to test; disposed after the test when it is disposable.</summary>
    private protected abstract Broker CreateBroker();

    /// <summary>Lets the broker's time pass. A broker with a clock of its own moves it; for others time passes by itself.</summary>
    private protected virtual void PassTime(TimeSpan time)
    {
    }

    /// <summary>Makes the broker compact a topic, if it can be told to; what the tests ask holds before and after.</summary>
    private protected virtual void Compact(string topic)
    {
    }

    /// <summary>Whether a member with an instance id keeps its place while it is away.</summary>
    private protected virtual bool HasStaticMembers => true;

    /// <summary>Several times the records that a reader keeps of one partition.</summary>
    private protected virtual int Backlog => 200;

    /// <summary>Whether a reader keeps as much of a partition as it can; one that keeps nothing is always full.</summary>
    private protected virtual bool IsFull(Reader reader, TopicPartition partition) => true;

    private protected Broker Broker => _broker ??= CreateBroker();

    public virtual void Dispose()
    {
        while (_made.TryPop(out IDisposable? made))
        {
            made.Dispose();
        }

        (_broker as IDisposable)?.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>A name that no other test uses.</summary>
    private protected string Unique(string name) => $"contract-{name}-{_suffix}";

    private protected T Made<T>(T made)
        where T : IDisposable
    {
        _made.Push(made);
        return made;
    }

    /// <summary>A topic of this test alone, which keeps everything unless told otherwise.</summary>
    private protected string NewTopic(int partitions = 1, TopicCleanup cleanup = TopicCleanup.Keep)
    {
        string topic = Unique($"topic-{++_topics}");
        Broker.CreateTopic(new TopicSpec(topic, partitions, cleanup));
        Eventually(() => Broker.DescribeTopic(topic) is not null, "the topic is known");
        return topic;
    }

    private protected TopicPartition NewPartition(TopicCleanup cleanup = TopicCleanup.Keep) => new(NewTopic(1, cleanup), 0);

    private protected TransactionalWriter NewWriter(string id, TimeSpan? timeout = null)
    {
        TransactionalWriter writer = Made(Broker.CreateWriter(Unique(id), timeout ?? TimeSpan.FromSeconds(60)));
        Resumed(writer.Initialize);
        return writer;
    }

    private protected Reader NewReader(TopicPartition partition, long offset, bool readCommitted = true)
    {
        Reader reader = Made(Broker.CreateReader(readCommitted));
        reader.Assign(partition, offset);
        return reader;
    }

    /// <summary>Calls again after a Retry, as the engine does.</summary>
    private protected static void Resumed(Action call)
    {
        for (long began = Stopwatch.GetTimestamp(); ;)
        {
            try
            {
                call();
                return;
            }
            catch (BrokerException error) when (error.Consequence == Consequence.Retry && Stopwatch.GetElapsedTime(began) < Limit)
            {
            }
        }
    }

    /// <summary>Asks again and again, yielding by a reader's wait, until the answer is yes; fails when the limit is over.</summary>
    private protected void Eventually(Func<bool> condition, string what)
    {
        _pause ??= Made(Broker.CreateReader(readCommitted: true));
        for (long began = Stopwatch.GetTimestamp(); !condition();)
        {
            if (Stopwatch.GetElapsedTime(began) > Limit)
            {
                Assert.Fail($"Not so within {Limit.TotalSeconds} s: {what}.");
            }

            _pause.Wait(TimeSpan.FromMilliseconds(10));
        }
    }

    /// <summary>The first batch's records, or none.</summary>
    private protected static List<Seen> Take(Reader reader, TopicPartition partition, int max = 1000)
    {
        List<Seen> records = [];
        if (reader.Read(partition, max) is { } batch)
        {
            for (int i = 0; i < batch.Count; i++)
            {
                records.Add(Seen.Of(batch[i]));
            }
        }

        return records;
    }

    /// <summary>What a reader that begins at its position sees until it has passed an offset.</summary>
    private protected List<Seen> ReadTo(Reader reader, TopicPartition partition, long end, int max = 1000)
    {
        List<Seen> records = [];
        Eventually(
            () =>
            {
                while (Take(reader, partition, max) is { Count: > 0 } batch)
                {
                    records.AddRange(batch);
                }

                return reader.Position(partition) >= end;
            },
            $"a reader of {partition} reaches offset {end}");
        return records;
    }

    /// <summary>Everything that a reader sees of a partition up to its end of now.</summary>
    private protected List<Seen> ReadAll(TopicPartition partition, bool readCommitted = true)
    {
        using Reader reader = Broker.CreateReader(readCommitted);
        reader.Assign(partition, Broker.StartOffset(partition));
        return ReadTo(reader, partition, Broker.EndOffset(partition, committedOnly: false));
    }

    /// <summary>The values, as texts, of everything that a reader sees of a partition.</summary>
    private protected string?[] Values(TopicPartition partition, bool readCommitted = true) => [.. ReadAll(partition, readCommitted).Select(record => record.ValueText)];

    /// <summary>Waits until a partition's log is this much longer than it was: the records are there, though perhaps not committed.</summary>
    private protected void AwaitAppended(TopicPartition partition, long beyond) =>
        Eventually(() => Broker.EndOffset(partition, committedOnly: false) > beyond, $"{partition} has grown beyond {beyond}");

    /// <summary>Appends records without a transaction.</summary>
    private protected void Produce(TopicPartition partition, params string[] values)
    {
        using OutputWriter writer = Broker.CreateOutputWriter();
        foreach (string value in values)
        {
            writer.Append(partition, Outgoing("k", value));
        }

        writer.Flush();
    }

    /// <summary>A transaction of some records.</summary>
    private protected static void Transact(TransactionalWriter writer, TopicPartition partition, bool commit, params string[] values)
    {
        writer.Begin();
        foreach (string value in values)
        {
            writer.Append(partition, Outgoing("k", value));
        }

        Resumed(commit ? writer.Commit : writer.Abort);
    }

    private protected static OutgoingRecord Outgoing(string? key, string? value, long timestamp = 1_700_000_000_123, Headers? headers = null) =>
        Outgoing(Bytes(key), Bytes(value), timestamp, headers);

    private protected static OutgoingRecord Outgoing(byte[]? key, byte[]? value, long timestamp, Headers? headers) =>
        new(timestamp, key, key is not null, value, value is not null, headers ?? Headers.Empty);

    private protected static byte[]? Bytes(string? text) => text is null ? null : Encoding.UTF8.GetBytes(text);

    /// <summary>A record that was read, copied out of its batch.</summary>
    internal sealed record Seen(long Offset, long Timestamp, byte[]? Key, byte[]? Value, Headers Headers)
    {
        public string? KeyText => Key is null ? null : Encoding.UTF8.GetString(Key);

        public string? ValueText => Value is null ? null : Encoding.UTF8.GetString(Value);

        public static Seen Of(RecordView record) => new(
            record.Offset,
            record.Timestamp,
            record.HasKey ? record.Key.ToArray() : null,
            record.HasValue ? record.Value.ToArray() : null,
            new Headers([.. record.Headers.Select(header => KeyValuePair.Create(header.Key, header.Value?.ToArray()))]));
    }
}
