using System.CommandLine;
using System.Text.Json;
using KStreamSharp.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

public sealed class KStreamHostTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-host-").FullName;
    private readonly StringWriter _output = new();
    private readonly StringWriter _errors = new();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("run nothing", "There is no flow 'nothing'. There are: words, other.")]
    [InlineData("describe nothing", "There is no flow 'nothing'. There are: words, other.")]
    [InlineData("run", "Which flow? run one of: words, other.")]
    [InlineData("walk", "There is no command 'walk'. There are: run FLOW, describe FLOW, state list FLOW [STEP], state get FLOW STEP KEY, snapshots list FLOW, snapshots verify FLOW [SNAPSHOT], snapshots take FLOW, snapshots delete FLOW [SNAPSHOT], reset FLOW, produce TOPIC [KEY] VALUE, tail TOPIC, health; flows: words, other. See --help.")]
    [InlineData("run words more", "run words takes options only; 'more' is none.")]
    [InlineData("run words --report xml", "--report 'xml': json is needed.")]
    [InlineData("run words --log-level loud", "--log-level 'loud': debug, information, warning, error is needed.")]
    [InlineData("describe words --format png", "--format 'png': text or json or mermaid is needed.")]
    [InlineData("run words --workers none", "--workers 'none': a whole number is needed.")]
    public async Task AMistakeIsToldInOneLineWithWhatThereIs(string line, string message)
    {
        Assert.Equal((int)ExitCode.Usage, await Run(new WordsFlow(), line.Split(' ')));
        Assert.Equal(message, _errors.ToString().TrimEnd());
    }

    [Theory]
    [InlineData("--worker", " The nearest is --workers.")]
    [InlineData("--untilend", " The nearest is --until-end.")]
    [InlineData("--kafka-server=secret:1", " The nearest is --kafka.")]
    [InlineData("--state", " The nearest is --state-dir.")]
    [InlineData("--zzzzzzzz", "")]
    public async Task AnUnknownOptionNamesTheNearest(string option, string nearest)
    {
        Assert.Equal((int)ExitCode.Usage, await Run(new WordsFlow(), "run", "words", option));
        Assert.Equal($"run words has no option '{option.Split('=')[0]}'.{nearest} 'run words --help' lists them.", _errors.ToString().TrimEnd());
    }

    [Theory]
    [InlineData("--kafka-set sasl.password = secret")]
    [InlineData("--kafka-set sasl.password= secret")]
    [InlineData("--kafka one:9092 --kafka-set sasl.password secret")]
    [InlineData("--kafka one:9092 --kafka-set sasl.password=secret --kafka-set acks=1")]
    [InlineData("--kafka one:9092 --kafka-set sasl.password=secret --kafka-set no.such=secret")]
    [InlineData("--kafka one:9092 --kafka-set linger.ms=secret")]
    public async Task TheValueOfAClientSettingIsNeverShown(string options)
    {
        Assert.Equal((int)ExitCode.Usage, await Run(new WordsFlow(), RunArgs(options.Split(' '))));
        Assert.NotEmpty(_errors.ToString());
        Assert.DoesNotContain("secret", _output.ToString() + _errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("text", "flow words")]
    [InlineData("json", "\"flow\": \"words\"")]
    [InlineData("mermaid", "flowchart TD")]
    public async Task AFlowIsDescribedInTheFormatAskedFor(string format, string part)
    {
        Assert.Equal(0, await Run(new WordsFlow(), "describe", "words", "--format", format));
        Assert.Contains(part, _output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFiniteRunEndsWithAReportThatAMachineCanRead()
    {
        Assert.Equal(0, await RunWords("--report", "json"));

        string last = _output.ToString().TrimEnd().Split('\n')[^1];
        using JsonDocument report = JsonDocument.Parse(last);
        Assert.Equal(
            ["system", "workload", "guarantee", "done", "records", "seconds", "records_per_s", "cpu_s_per_million", "rss_mb", "restored", "restore_s"],
            report.RootElement.EnumerateObject().Select(property => property.Name));
        Assert.Equal("words", report.RootElement.GetProperty("workload").GetString());
        Assert.True(report.RootElement.GetProperty("done").GetBoolean());
        Assert.Equal(3, report.RootElement.GetProperty("records").GetInt64());
    }

    [Theory]
    [InlineData("", "words", 4)]
    [InlineData("--app-id mine --shards 2", "mine", 2)]
    public async Task ARunSaysFirstWhatItWorksWith(string options, string app, int shards)
    {
        string[] more = options.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(0, await RunWords(more));
        Assert.Equal(
            $"Embedded broker in {Path.Combine(_folder, "broker")}, flow words{(app == "words" ? "" : $" as application {app}")}: words -> said, {shards} shards, state in {Path.Combine(_folder, app)}",
            _output.ToString().Split(Environment.NewLine)[0]);

        _output.GetStringBuilder().Clear();
        Assert.Equal(0, await RunWords(["--app-id", app]));
        Assert.Contains($" {shards} shards, ", _output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFlowSeesItsOwnOptionsAndItsOutputsAtTheEnd()
    {
        Assert.Equal(0, await RunWords("--shout"));
        Assert.Contains("finished: A! B! C!", _output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ASecondFiniteRunGoesOnWhereTheFirstEnded()
    {
        Assert.Equal(0, await RunWords());
        Assert.Equal(0, await RunWords());
        Assert.Contains("finished: a b c a b c", _output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task CodeOfAStepThatThrowsEndsTheProcessWithItsOwnCode()
    {
        Assert.Equal((int)ExitCode.UserCode, await Run(new WordsFlow { OnWord = _ => throw new InvalidOperationException("no such word") }, RunArgs()));
        Assert.Contains("'word'", _errors.ToString(), StringComparison.Ordinal);
        Assert.Contains("no such word", _errors.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ARecordThatCannotBeReadEndsTheProcessWithItsOwnCode()
    {
        Assert.Equal((int)ExitCode.BadRecord, await Run(new WordsFlow { Words = [[0xff, 0xfe]] }, RunArgs()));
        Assert.Contains("words", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFaultOfWhatAccompaniesTheFlowStopsIt()
    {
        WordsFlow flow = new() { Accompany = _ => throw new UsageException("the display is broken") };
        Assert.Equal((int)ExitCode.Usage, await Run(flow, "run", "words", "--state-dir", _folder, "--log-level", "information"));
        Assert.Contains("the display is broken", _errors.ToString(), StringComparison.Ordinal);
        Assert.Contains("information [101] Instance ", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AStateFolderInUseNamesTheProcess()
    {
        using (EmbeddedBroker.Open(Path.Combine(_folder, "broker")))
        {
            Assert.Equal((int)ExitCode.State, await Run(new WordsFlow(), RunArgs()));
        }

        Assert.Contains($"in use by process {Environment.ProcessId}", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFlowIsMadeOfServicesAndLogs()
    {
        int code = await KStreamHost.RunAsync(
            ["describe", "words"],
            host =>
            {
                host.Services.AddSingleton("greeting");
                host.AddFlow<ServiceFlow>();
            },
            _output,
            _errors);

        Assert.Equal(0, code);
        Assert.Contains("greeting", _output.ToString(), StringComparison.Ordinal);
        Assert.EndsWith("warning [0] built", _errors.ToString().TrimEnd(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(new string[0], false)]
    [InlineData(new[] { "--log-level", "information" }, true)]
    public async Task TheLogTellsTheLifeOfTheInstanceWhenAskedTo(string[] more, bool told)
    {
        Assert.Equal(0, await RunWords(more));
        Assert.Equal(told, _errors.ToString().Contains("information [100] Instance ", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("list")]
    [InlineData("get")]
    [InlineData("run")]
    [InlineData("load")]
    [InlineData("verify")]
    [InlineData("reset")]
    [InlineData("state")]
    [InlineData("tail")]
    [InlineData("health")]
    public async Task AFlowWithTheNameOfACommandIsRefused(string id)
    {
        int code = await KStreamHost.RunAsync(["state", "list", id], host => host.AddFlow(new Dataflow("sum")).AddFlow(new Dataflow(id)), _output, _errors);
        Assert.Equal((int)ExitCode.Usage, code);
        Assert.Equal($"Flow '{id}' has the name of a command. Give it another id; its application keeps its own by --app-id {id}.", _errors.ToString().TrimEnd());
    }

    [Fact]
    public async Task OptionsWithoutACommandGoWithTheFirstFlow()
    {
        Assert.Equal(0, await Run(new WordsFlow(), "--until-end", "--state-dir", _folder, "--shout"));
        Assert.Contains("finished: A! B! C!", _output.ToString(), StringComparison.Ordinal);
        Assert.Equal((int)ExitCode.Usage, await Run(new WordsFlow(), "--htp", "127.0.0.1:1"));
        Assert.StartsWith("run words has no option '--htp'. The nearest is --http.", _errors.ToString(), StringComparison.Ordinal);
        _output.GetStringBuilder().Clear();
        Assert.Equal(0, await Run(new WordsFlow(), "--help"));
        Assert.Contains("Without a command: run words.", _output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFlowThatBeginsAnewFindsNothingOfBefore()
    {
        Assert.Equal(0, await RunWords());
        Assert.Equal(0, await Run(new WordsFlow { Anew = true }, RunArgs()));
        Assert.EndsWith("finished: a b c", _output.ToString().TrimEnd(), StringComparison.Ordinal);
        Assert.Equal((int)ExitCode.Usage, await Run(new WordsFlow { Anew = true }, [.. RunArgs(), "--kafka", "one:9092"]));
        Assert.StartsWith("A run on Kafka cannot begin anew", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task TwoFlowsOfOneNameAreRefused()
    {
        int code = await KStreamHost.RunAsync(["run", "a"], host => host.AddFlow(new Dataflow("a")).AddFlow(new Dataflow("a")), _output, _errors);
        Assert.Equal((int)ExitCode.Usage, code);
        Assert.Contains("two flows 'a'", _errors.ToString(), StringComparison.Ordinal);
    }

    private string[] RunArgs(params string[] more) => ["run", "words", "--until-end", "--state-dir", _folder, .. more];

    private Task<int> RunWords(params string[] more) => Run(new WordsFlow(), RunArgs(more));

    private Task<int> Run(WordsFlow flow, params string[] args) => KStreamHost.RunAsync(
        args,
        host =>
        {
            host.Services.AddSingleton(flow);
            host.AddFlow<HeldFlow>().AddFlow(Other());
        },
        _output,
        _errors);

    private static Dataflow Other()
    {
        Dataflow flow = new("other");
        flow.Input("in", Topic.Values<string>("words")).Inspect("look");
        return flow;
    }

    /// <summary>Passes on to the flow of the test.</summary>
    private sealed class HeldFlow(WordsFlow flow) : IFlow
    {
        public string Id => flow.Id;

        public IEnumerable<Option> Options => flow.Options;

        public Dataflow Build(FlowArguments arguments) => flow.Build(arguments);

        public bool BeginsAnew(FlowArguments arguments) => flow.Anew;

        public Task PrepareAsync(FlowRun run, CancellationToken stop) => flow.PrepareAsync(run, stop);

        public Task AccompanyAsync(FlowRun run, CancellationToken stop) => flow.AccompanyAsync(run, stop);

        public Task FinishAsync(FlowRun run) => flow.FinishAsync(run);
    }

    private sealed class WordsFlow : IFlow
    {
        private static readonly ValueTopic<string> In = Topic.Values<string>("words");
        private static readonly ValueTopic<string> Out = Topic.Values<string>("said");

        private readonly Option<bool> _shout = new("--shout") { Description = "loud" };

        public byte[][] Words { get; init; } = [[.. "a"u8], [.. "b"u8], [.. "c"u8]];

        public bool Anew { get; init; }

        public Func<string, string> OnWord { get; init; } = word => word;

        public Func<CancellationToken, Task> Accompany { get; init; } = _ => Task.CompletedTask;

        public string Id => "words";

        public IEnumerable<Option> Options => [_shout];

        public Dataflow Build(FlowArguments arguments)
        {
            bool shout = arguments.Value(_shout);
            Dataflow flow = new("words");
            flow.Input("in", In).Map("word", OnWord).Map("say", word => shout ? $"{word.ToUpperInvariant()}!" : word).Output("out", Out);
            return flow;
        }

        public Task PrepareAsync(FlowRun run, CancellationToken stop)
        {
            ((EmbeddedBroker)run.Broker).Produce(In.Name, Words.Select(word => new NewRecord(null, word, Partition: 0)));
            return Task.CompletedTask;
        }

        public Task AccompanyAsync(FlowRun run, CancellationToken stop) => Accompany(stop);

        public Task FinishAsync(FlowRun run)
        {
            run.Output.WriteLine($"finished: {string.Join(' ', ((EmbeddedBroker)run.Broker).ReadAll(Out.Name).Select(record => System.Text.Encoding.UTF8.GetString(record.Value!)))}");
            return Task.CompletedTask;
        }
    }

    private sealed class ServiceFlow(string greeting, ILogger<ServiceFlow> logger) : IFlow
    {
        public string Id => "words";

        public Dataflow Build(FlowArguments arguments)
        {
            logger.LogWarning("built");
            Dataflow flow = new("words");
            flow.Input("in", Topic.Values<string>("words")).Inspect(greeting);
            return flow;
        }
    }
}
