using System.CommandLine;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>The commands <c>produce</c> and <c>tail</c>: records of a flow's topics, by the flow's serdes; also on the embedded broker of a process that runs.</summary>
internal sealed class TopicCommands
{
    private static readonly TimeSpan Turn = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(5);

    private readonly IReadOnlyList<IFlow> _flows;
    private readonly ILoggerFactory _logging;
    private readonly TextWriter _output;

    public TopicCommands(IReadOnlyList<IFlow> flows, ILoggerFactory logging, TextWriter output)
    {
        _flows = flows;
        _logging = logging;
        _output = output;
        Produce = MakeProduce();
        Tail = MakeTail();
    }

    public Command Produce { get; }

    public Command Tail { get; }

    private Command MakeProduce()
    {
        HostSettings settings = new();
        Argument<string> topic = new("TOPIC") { Description = "an input of one of the flows" };
        Argument<string[]> words = new("[KEY] VALUE") { Description = "strings as they are, anything else as JSON; without KEY where records have none", Arity = new ArgumentArity(1, 2) };
        Command command = WithOptions(new("produce", "Write a record to a topic, by the flow's serdes; also while a run has the embedded broker.") { topic, words }, settings);
        command.SetAction(parsed =>
        {
            HostOptions host = settings.Read(parsed);
            (Dataflow flow, TopicForm form) = Find(parsed.GetValue(topic)!, host, isInput: true);
            (byte[]? key, byte[]? value) = Parse(parsed.GetValue(topic)!, form, parsed.GetValue(words)!);
            using Access access = new(host, flow, parsed.GetValue(topic)!, _logging);
            access.Session.Produce(key, value);
        });
        return command;
    }

    private Command MakeTail()
    {
        HostSettings settings = new();
        Argument<string> topic = new("TOPIC") { Description = "an input or output of one of the flows" };
        Option<bool> fromStart = new("--from-start") { Description = "begin with the oldest record (default: the newest ten of each partition)" };
        Option<bool> untilEnd = new("--until-end") { Description = "end when all that is there is shown" };
        Command command = WithOptions(new("tail", "Show the records of a topic as they come, by the flow's serdes; Ctrl-C ends.") { topic, fromStart, untilEnd }, settings);
        command.SetAction(parsed =>
        {
            using StopSignals signals = new();
            Follow(settings.Read(parsed), parsed.GetValue(topic)!, parsed.GetValue(fromStart), parsed.GetValue(untilEnd), signals.Token);
        });
        return command;
    }

    private static Command WithOptions(Command command, HostSettings settings)
    {
        foreach (Option option in settings.LoadOptions)
        {
            command.Options.Add(option);
        }

        return command;
    }

    /// <summary>Between two looks nothing is held: a run can take the folder at any time, and is asked from then on.</summary>
    private void Follow(HostOptions host, string topic, bool fromStart, bool untilEnd, CancellationToken stop)
    {
        (Dataflow flow, TopicForm form) = Find(topic, host, isInput: false);
        long[]? positions = null;
        while (!stop.IsCancellationRequested)
        {
            try
            {
                using Access access = new(host, flow, topic, _logging);
                do
                {
                    TopicRows read = access.Session.Read(positions, fromStart);
                    positions = read.Positions;
                    foreach (TopicRow row in read.Rows)
                    {
                        _output.WriteLine(Show(form, row));
                    }

                    if (read.AtEnd && untilEnd)
                    {
                        return;
                    }

                    if (read.Rows.Count == 0)
                    {
                        stop.WaitHandle.WaitOne(Turn);
                    }

                    if (read.AtEnd && access.HoldsFolder)
                    {
                        break;
                    }
                }
                while (!stop.IsCancellationRequested);
            }
            catch (IOException)
            {
                // The process that had the broker has ended.
            }

            while (host.Kafka is null && !stop.IsCancellationRequested && positions is not null && FolderLock.Holder(BrokerCalls.EmbeddedFolder(host)) is null)
            {
                stop.WaitHandle.WaitOne(Turn);
            }
        }
    }

    private static string Show(TopicForm form, TopicRow row)
    {
        string value = row.Value is { } bytes ? Text(bytes, form.ShowValue) : "null";
        return !form.HasKeys ? value : $"{(row.Key is { } key ? Text(key, form.ShowKey) : "null")}  {value}";
    }

    private static string Text(byte[] bytes, Shown show)
    {
        try
        {
            string json = show(bytes);
            return StateLook.Plain(json) ?? json;
        }
        catch (Exception)
        {
            // Another serde wrote it.
            return "0x" + Convert.ToHexStringLower(bytes);
        }
    }

    private static (byte[]? Key, byte[]? Value) Parse(string topic, TopicForm form, string[] words)
    {
        if (form.HasKeys != (words.Length == 2))
        {
            throw new UsageException(form.HasKeys ? $"The records of topic '{topic}' have keys: produce {topic} KEY VALUE." : $"The records of topic '{topic}' have no keys: produce {topic} VALUE.");
        }

        return (form.HasKeys ? Part("Key", words[0], form.ParseKey) : null, Part("Value", words[^1], form.ParseValue));

        byte[]? Part(string what, string text, Func<string, byte[]?> parse)
        {
            try
            {
                return parse(text);
            }
            catch (Exception error)
            {
                throw new UsageException($"{what} '{text}' of topic '{topic}': {error.Message}", error);
            }
        }
    }

    /// <summary>The flow that has a topic, as its options' defaults build it.</summary>
    private (Dataflow Flow, TopicForm Form) Find(string topic, HostOptions host, bool isInput)
    {
        List<string> known = [];
        foreach (IFlow flow in _flows)
        {
            Command defaults = new(flow.Id);
            foreach (Option option in flow.Options)
            {
                defaults.Options.Add(option);
            }

            Dataflow built = flow.Build(new FlowArguments(defaults.Parse([]), host.Stream));
            Step[] steps = [.. built.Steps.Where(step => step.Records is not null && (step.Input is not null || !isInput))];
            if (Array.Find(steps, step => step.Topic == topic) is { } found)
            {
                return (built, found.Records!);
            }

            known.AddRange(steps.Select(step => step.Topic!));
        }

        throw new UsageException($"No flow here {(isInput ? "reads" : "reads or writes")} a topic '{topic}'. There are: {string.Join(", ", known.Distinct())}.");
    }

    private delegate string Shown(ReadOnlySpan<byte> bytes);

    /// <summary>The topic on Kafka, on the embedded broker of a process that runs, or on the one that nobody runs now.</summary>
    private sealed class Access : IDisposable
    {
        private readonly IDisposable? _broker;

        public Access(HostOptions host, Dataflow flow, string topic, ILoggerFactory logging)
        {
            string folder = Path.GetFullPath(BrokerCalls.EmbeddedFolder(host));
            if (host.Kafka is null && FolderLock.Holder(folder) is { } process)
            {
                Session = BrokerPipe.Connect(folder, process, topic, ConnectPatience);
                return;
            }

            Broker broker = BrokerCalls.Open(host, logging);
            _broker = (IDisposable)broker;
            try
            {
                if (broker is EmbeddedBroker)
                {
                    FlowTopics.Make(flow, broker, host.Stream);
                    HoldsFolder = true;
                }

                Session = new TopicSession(broker, topic);
            }
            catch
            {
                _broker.Dispose();
                throw;
            }
        }

        public ITopicSession Session { get; }

        public bool HoldsFolder { get; }

        public void Dispose()
        {
            Session.Dispose();
            _broker?.Dispose();
        }
    }
}
