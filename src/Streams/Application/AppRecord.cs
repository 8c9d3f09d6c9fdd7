using System.Collections.Frozen;
using System.Text;

namespace KStreamSharp;

/// <summary>
/// What is true of an application, whichever instance runs it: its flow, its changelog topic and the repartition topics that
/// are its own. Record <c>application</c> in partition 0 of <c>&lt;app&gt;-shards</c>, made when the application is made. Format:
/// version (1), then the fields in order, by <see cref="BinaryWriter"/>.
/// </summary>
/// <remarks>
/// It is written in a transaction whose id all instances share: whoever begins to write fences the others, and what they left
/// open is settled then. So of two first starts at once one writes, and the other one reads what it wrote.
/// </remarks>
internal sealed record AppRecord
{
    private const byte Version = 1;
    private const int AttemptsMax = 20;

    private static readonly TimeSpan Wait = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan WaitMax = TimeSpan.FromSeconds(60);
    private static readonly byte[] RecordKey = "application"u8.ToArray();

    /// <summary>The id of the flow that the application runs.</summary>
    public required string Flow { get; init; }

    /// <summary>The id of the changelog topic: one that is made anew has another.</summary>
    public required Guid ChangelogId { get; init; }

    /// <summary>The names of the repartition topics that the application has claimed, also for steps that the flow has no longer.</summary>
    public required IReadOnlySet<string> Repartitions { get; init; }

    public byte[] Write()
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream, Encoding.UTF8);
        writer.Write(Version);
        writer.Write(Flow);
        writer.Write(ChangelogId.ToByteArray());
        writer.Write7BitEncodedInt(Repartitions.Count);
        foreach (string topic in Repartitions.Order(StringComparer.Ordinal))
        {
            writer.Write(topic);
        }

        writer.Flush();
        return stream.ToArray();
    }

    /// <exception cref="StreamException">Another version wrote it.</exception>
    public static AppRecord Read(ReadOnlySpan<byte> data)
    {
        if (data.IsEmpty || data[0] != Version)
        {
            throw new StreamException(
                ExitCode.State, $"The record of the application has format {(data.IsEmpty ? 0 : data[0])}; this version reads format {Version}. Run the version that wrote it, or a newer one.");
        }

        using BinaryReader reader = new(new MemoryStream(data.ToArray(), 1, data.Length - 1), Encoding.UTF8);
        string flow = reader.ReadString();
        Guid changelogId = new(reader.ReadBytes(16));
        HashSet<string> repartitions = [];
        for (int left = reader.Read7BitEncodedInt(); left > 0; left--)
        {
            repartitions.Add(reader.ReadString());
        }

        return new() { Flow = flow, ChangelogId = changelogId, Repartitions = repartitions.ToFrozenSet() };
    }

    /// <summary>The record as far as it can be read without waiting for anyone; null when there is none. The topic of shards must be there.</summary>
    public static AppRecord? Find(Broker broker, string app) => Find(broker, app, toTheEnd: false);

    /// <summary>Makes the record what it has to be.</summary>
    /// <param name="broker">The broker. The topic of shards must be there.</param>
    /// <param name="app">The application.</param>
    /// <param name="now">The time, in milliseconds since 1970.</param>
    /// <param name="decide">
    /// Answers what it has to be, given what it is (null for none): the same object when nothing is to be written. Called more
    /// than once when another start is at work.
    /// </param>
    public static AppRecord Settle(Broker broker, string app, long now, Func<AppRecord?, AppRecord> decide)
    {
        for (int attempt = 1; ; attempt++)
        {
            // Most starts end here, and fence nobody. Without a record another first start may be at work: what to make of that is
            // decided when it is fenced.
            AppRecord? known = Find(broker, app, toTheEnd: false);
            if (known is not null && ReferenceEquals(known, decide(known)))
            {
                return known;
            }

            // No instance's id has a slash, so this is nobody else's.
            using TransactionalWriter writer = broker.CreateWriter($"{app}/application", new StreamOptions().TransactionTimeout);
            try
            {
                Retry(writer.Initialize);
                known = Find(broker, app, toTheEnd: true);
                AppRecord wanted = decide(known);
                if (!ReferenceEquals(known, wanted))
                {
                    writer.Begin();
                    writer.Append(new(InternalTopics.Shards(app), 0), new(now, RecordKey, true, wanted.Write(), true, Headers.Empty));
                    Retry(writer.Commit);
                }

                return wanted;
            }
            catch (BrokerException error) when (error.Consequence is Consequence.NewWriter or Consequence.Abort && attempt < AttemptsMax)
            {
                // Another start has begun to write: what it wrote is read next.
            }
        }
    }

    /// <summary>Another application that has claimed a repartition topic; null when none has.</summary>
    public static string? OwnerOf(Broker broker, string topic, string app)
    {
        foreach (string other in InternalTopics.OtherOwners(topic, app))
        {
            try
            {
                if (broker.DescribeTopic(InternalTopics.Shards(other)) is not null && Find(broker, other)?.Repartitions.Contains(topic) == true)
                {
                    return other;
                }
            }
            catch (BrokerException error) when (error.Consequence == Consequence.Stop)
            {
                // A topic that this user may not read: most likely no application's at all.
            }
        }

        return null;
    }

    private static AppRecord? Find(Broker broker, string app, bool toTheEnd)
    {
        TopicPartition partition = new(InternalTopics.Shards(app), 0);
        AppRecord? found = null;
        Retry(() =>
        {
            found = null;
            long end = broker.EndOffset(partition, committedOnly: !toTheEnd);
            long start = broker.StartOffset(partition);
            using Reader reader = broker.CreateReader(readCommitted: true, hurries: true);
            reader.Assign(partition, start);
            for (TimeSpan waited = TimeSpan.Zero; reader.Position(partition) < end;)
            {
                if (reader.Read(partition, 1_000) is not { } batch)
                {
                    if (waited >= WaitMax)
                    {
                        throw new StreamException(
                            ExitCode.Broker, $"{partition} cannot be read past offset {reader.Position(partition)} of {end}: a transaction is still open there. It ends by its time-out; then start again.");
                    }

                    reader.Wait(Wait);
                    waited += Wait;
                    continue;
                }

                for (int i = 0; i < batch.Count; i++)
                {
                    if (batch[i].Key.SequenceEqual(RecordKey))
                    {
                        found = batch[i].HasValue ? Read(batch[i].Value) : null;
                    }
                }
            }
        });
        return found;
    }

    /// <summary>The call took its own time-out; calling again resumes it.</summary>
    private static void Retry(Action call)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                call();
                return;
            }
            catch (BrokerException error) when (error.Consequence == Consequence.Retry && attempt < AttemptsMax)
            {
            }
        }
    }
}
