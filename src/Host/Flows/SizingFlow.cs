using System.CommandLine;
using System.Globalization;
using System.Text;
using KStreamSharp.Hosting;

namespace KStreamSharp.Flows;

/// <summary>A flow from one topic of bytes to another, for smoke tests and to size a cluster.</summary>
internal abstract class SizingFlow : IFlow
{
    private const int KeyCount = 10_000;
    private const int ValueBytes = 100;
    private const int RecordBytesMax = 200;
    private const int BatchMax = 10_000;
    private const int PartitionsOfNew = 4;

    private readonly Option<string> _input;
    private readonly Option<string> _output;
    private readonly Option<int?> _generate;

    protected SizingFlow(string id)
    {
        Id = id;
        _input = new("--input") { Description = "the topic to read", HelpName = "TOPIC", DefaultValueFactory = _ => "input" };
        _output = new("--output") { Description = "the topic to write", HelpName = "TOPIC", DefaultValueFactory = _ => $"{id}-output" };
        _generate = FlowOptions.WholeNumber(
            "--generate", "N", $"first write N records to the input, which is made if it is missing: {KeyCount:N0} keys, values of {ValueBytes} bytes", int.MaxValue, ifMissing: null);
    }

    public string Id { get; }

    public abstract string Summary { get; }

    public IEnumerable<Option> Options => [_input, _output, _generate];

    public Dataflow Build(FlowArguments arguments) => FlowOptions.NamesOfTopics(() =>
    {
        Dataflow flow = new(Id);
        Build(flow, arguments.Value(_input)!, arguments.Value(_output)!);
        return flow;
    });

    public Task PrepareAsync(FlowRun run, CancellationToken stop)
    {
        string topic = run.Arguments.Value(_input)!;
        int count = run.Arguments.Value(_generate) ?? 0;
        if (count > 0 && run.PartitionCount(topic) is null)
        {
            run.CreateTopic(topic, run.Arguments.Options.Shards ?? PartitionsOfNew);
        }

        int partitions = run.RequireTopic(topic, "Create it, name another by --input, or let --generate N make and fill it.");
        run.CreateOutputs(partitions);
        long room = new EmbeddedBrokerOptions().RetentionBytes / RecordBytesMax * partitions;
        if (run.Broker is EmbeddedBroker && count > room)
        {
            throw new UsageException($"--generate {count}: the embedded broker keeps at most about {room:N0} such records of topic {topic}. Give it more partitions (--shards, in a new state folder), or generate less.");
        }

        if (count > 0)
        {
            Generate(run, topic, count, stop);
        }

        return Task.CompletedTask;
    }

    internal abstract void Build(Dataflow flow, string input, string output);

    private static void Generate(FlowRun run, string topic, int count, CancellationToken stop)
    {
        byte[] value = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("0123456789", ValueBytes / 10)));
        using TopicWriter<byte[], byte[]> writer = new(run.Broker, Topic.Keyed(topic, Serde.Bytes, Serde.Bytes));
        Progress progress = new(run.Output, TimeProvider.System);
        for (int done = 0; done < count;)
        {
            stop.ThrowIfCancellationRequested();
            for (int end = Math.Min(done + BatchMax, count); done < end; done++)
            {
                writer.Append(Key(done), value);
            }

            writer.Flush();
            progress.Say($"Generating: {done:N0} of {count:N0}");
        }
    }

    /// <summary>Keys in an order that is mixed and always the same.</summary>
    private static byte[] Key(int i) => Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"key-{(long)i * 7919 % KeyCount:D5}"));
}
