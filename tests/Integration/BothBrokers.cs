using System.Globalization;
using System.Text;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A record of a test as text.</summary>
internal sealed record Row(string? Key, string? Value, long Timestamp, string Headers = "")
{
    public override string ToString() => $"{Key ?? "-"}: {Value ?? "-"} at {Timestamp}{(Headers.Length > 0 ? $" {{{Headers}}}" : "")}";
}

/// <summary>
/// Runs one flow object to the end on the embedded broker and on Kafka, over the same records, as often as there are batches
/// of them; every run begins with an empty state folder. What the outputs hold must be the same, per key in order.
/// </summary>
internal sealed class BothBrokers(string address, ITestOutputHelper output) : IDisposable
{
    private const int InputPartitions = 3;
    private const int OutputPartitions = 2;

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly string _app = $"both-{Guid.NewGuid().ToString("N")[..12]}";
    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-both-").FullName;
    private readonly KafkaBroker _kafka = new(new KafkaOptions { BootstrapServers = address });
    private readonly EmbeddedBroker _embedded = EmbeddedBroker.InMemory();
    private int _folders;

    public Dataflow NewFlow() => new(_app);

    /// <summary>A topic with texts, its name this test's own.</summary>
    public KeyedTopic<string, string?> Texts(string name) => Topic.Keyed<string, string?>($"{_app}-{name}");

    /// <summary>A topic of values only.</summary>
    public ValueTopic<string> Values(string name) => Topic.Values($"{_app}-{name}", Serde.Utf8);

    /// <summary>A topic of whole records.</summary>
    public RecordTopic<string?, string?> Records(string name) => Topic.Records<string?, string?>($"{_app}-{name}");

    /// <summary>Output topics whose timestamps are not compared: behind a batch step they are the batch's, and where a batch ends is up to what was read at once.</summary>
    public IReadOnlyList<string> Untimed { get; init; } = [];

    /// <summary>The outputs by the names of their topics: each key's records in order; records without key in any.</summary>
    public async Task<Dictionary<string, Row[]>> Run(Dataflow flow, params (string Topic, Row[] Rows)[][] batches)
    {
        Dictionary<string, Row[]> embedded = await Run(_embedded, "embedded", flow, batches);
        Dictionary<string, Row[]> kafka = await Run(_kafka, "kafka", flow, batches);
        Assert.Equal(embedded.Keys.Order(), kafka.Keys.Order());
        foreach (string topic in embedded.Keys)
        {
            Assert.NotEmpty(embedded[topic]);
            Assert.Equal(Compared(embedded), Compared(kafka));

            Row[] Compared(Dictionary<string, Row[]> rows) =>
                Untimed.Contains(topic) ? [.. rows[topic].Select(row => row with { Timestamp = 0 }).OrderBy(row => row.ToString(), StringComparer.Ordinal)] : rows[topic];
        }

        return kafka;
    }

    public void Dispose()
    {
        _kafka.Dispose();
        _embedded.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task<Dictionary<string, Row[]>> Run(Broker broker, string name, Dataflow flow, (string Topic, Row[] Rows)[][] batches)
    {
        Step[] inputs = [.. flow.Steps.Where(step => step.Operator == "input")];
        Step[] outputs = [.. flow.Steps.Where(step => step.Operator == "output")];
        Array.ForEach(inputs, step => broker.CreateTopic(new TopicSpec(step.Topic!, InputPartitions, TopicCleanup.Keep)));
        Array.ForEach(outputs, step => broker.CreateTopic(new TopicSpec(step.Topic!, OutputPartitions, TopicCleanup.Keep)));
        foreach ((string Topic, Row[] Rows)[] batch in batches)
        {
            Array.ForEach(batch, rows => Load(broker, $"{_app}-{rows.Topic}", rows.Rows));
            StreamOptions options = new() { InstanceId = name, StateDir = Path.Combine(_folder, $"{++_folders}"), UntilEnd = true, Workers = 2, RecordsPerTurnMax = 7 };
            using StreamEngine engine = new(flow, broker, options, new TestLogging(name, output));
            await engine.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Limit, TestContext.Current.CancellationToken);
            await Settled(broker);
        }

        return outputs.ToDictionary(step => step.Topic![(_app.Length + 1)..], step => Read(broker, step.Topic!));
    }

    /// <summary>
    /// Until readers see what the run committed: Kafka answers a commit before that, and a run that does not see that the one
    /// before it is over takes part in that one.
    /// </summary>
    private async Task Settled(Broker broker)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(Limit);
        using PeriodicTimer turns = new(TimeSpan.FromMilliseconds(20));
        TopicPartition[] ledger = [.. Enumerable.Range(0, InputPartitions).Select(number => new TopicPartition(InternalTopics.Shards(_app), number))];
        while (Array.Exists(ledger, partition => broker.EndOffset(partition, committedOnly: true) < broker.EndOffset(partition, committedOnly: false)))
        {
            await turns.WaitForNextTickAsync(limit.Token);
        }
    }

    private static void Load(Broker broker, string topic, Row[] rows)
    {
        using OutputWriter writer = broker.CreateOutputWriter();
        foreach (Row row in rows)
        {
            byte[] key = Bytes(row.Key);
            int partition = row.Key is null ? (int)(row.Timestamp % InputPartitions) : Murmur2.Partition(key, InputPartitions);
            Headers headers = row.Headers.Split(' ', StringSplitOptions.RemoveEmptyEntries)
                .Select(header => header.Split('='))
                .Aggregate(Headers.Empty, (all, header) => all.With(header[0], header.ElementAtOrDefault(1)));
            writer.Append(new(topic, partition), new(row.Timestamp, key, row.Key is not null, Bytes(row.Value), row.Value is not null, headers));
        }

        writer.Flush();
    }

    private static Row[] Read(Broker broker, string topic)
    {
        using Reader reader = broker.CreateReader(readCommitted: true);
        List<Row> rows = [];
        long began = TimeProvider.System.GetTimestamp();
        foreach (TopicPartition partition in Enumerable.Range(0, OutputPartitions).Select(number => new TopicPartition(topic, number)))
        {
            reader.Assign(partition, 0);
            for (long end = broker.EndOffset(partition, committedOnly: false); reader.Position(partition) < end; reader.Wait(TimeSpan.FromMilliseconds(50)))
            {
                Assert.True(TimeProvider.System.GetElapsedTime(began) < Limit, $"{partition} ends at {end}, but gives nothing after {reader.Position(partition)}");
                RecordBatch? batch = reader.Read(partition, 1_000);
                for (int i = 0; i < (batch?.Count ?? 0); i++)
                {
                    rows.Add(AsRow(batch![i]));
                }
            }

            reader.Unassign(partition);
        }

        // Stable: the order of a key stays as it was.
        return [.. rows.Where(row => row.Key is not null).OrderBy(row => row.Key, StringComparer.Ordinal), .. rows.Where(row => row.Key is null).OrderBy(row => row.ToString(), StringComparer.Ordinal)];
    }

    private static Row AsRow(RecordView record) => new(
        record.HasKey ? Encoding.UTF8.GetString(record.Key) : null,
        record.HasValue ? Encoding.UTF8.GetString(record.Value) : null,
        record.Timestamp,
        string.Join(' ', record.Headers.Select(header => header.Value is { } value ? string.Create(CultureInfo.InvariantCulture, $"{header.Key}={Encoding.UTF8.GetString(value)}") : header.Key)));

    private static byte[] Bytes(string? text) => text is null ? [] : Encoding.UTF8.GetBytes(text);
}
