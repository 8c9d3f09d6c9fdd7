using KStreamSharp.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

/// <summary>The first program of the README is fed and read by commands, whether it runs or not.</summary>
public sealed class TopicCommandsTests : IDisposable
{
    private static readonly KeyedTopic<string, decimal> Orders = Topic.Keyed<string, decimal>("orders");
    private static readonly KeyedTopic<string, decimal?> Totals = Topic.Keyed<string, decimal?>("order-totals");

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-topics-").FullName;
    private readonly StringWriter _output = new();
    private readonly StringWriter _errors = new();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task WhatIsProducedBeforeARunIsReadByItAndShownAfterIt()
    {
        Assert.Equal(0, await Run("produce", "orders", "ann", "5"));
        Assert.Equal(0, await Run("produce", "orders", "ann", "7.5"));
        Assert.Equal(0, await Run("produce", "notes", "a note"));
        Assert.Equal(0, await Run("run", "order-totals", "--until-end"));
        _output.GetStringBuilder().Clear();
        Assert.Equal(0, await Run("tail", "order-totals", "--until-end"));
        Assert.Equal(0, await Run("tail", "notes", "--until-end"));
        Assert.Equal(["ann  5", "ann  12.5", "\"a note\""], Lines());
        Assert.Empty(_errors.ToString());
    }

    [Fact]
    public async Task TheBrokerOfAProcessThatRunsIsReachedToo()
    {
        using EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(_folder, "broker"));
        broker.CreateTopic("orders", 3);
        await using BrokerPipe? pipe = BrokerPipe.Serve(broker, NullLogger.Instance);
        foreach (string name in (string[])["ann", "bob", "cid"])
        {
            Assert.Equal(0, await Run("produce", "orders", name, "1"));
        }

        Assert.Equal(3, broker.ReadAll("orders").Count);
        Assert.Equal(0, await Run("tail", "orders", "--until-end"));
        Assert.Equal(["ann  1", "bob  1", "cid  1"], Lines().Order(StringComparer.Ordinal));
        Assert.Equal((int)ExitCode.Broker, await Run("tail", "order-totals", "--until-end"));
        Assert.StartsWith("Topic 'order-totals' does not exist.", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task OnlyTheNewestOfALongTopicAreShownUnlessAllAreAskedFor()
    {
        using (EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(_folder, "broker")))
        {
            broker.CreateTopic("notes", 1);
            broker.Produce("notes", Enumerable.Range(0, 700).Select(i => new NewRecord(null, [.. "n"u8], Partition: 0)));
        }

        Assert.Equal(0, await Run("tail", "notes", "--until-end"));
        Assert.Equal(10, Lines().Length);
        _output.GetStringBuilder().Clear();
        Assert.Equal(0, await Run("tail", "notes", "--until-end", "--from-start"));
        Assert.Equal(700, Lines().Length);
    }

    [Fact]
    public async Task AProcessThatDoesNotAnswerIsNamed()
    {
        using (EmbeddedBroker.Open(Path.Combine(_folder, "broker")))
        {
            Assert.Equal((int)ExitCode.State, await Run("produce", "orders", "ann", "5"));
        }

        Assert.Contains($"is in use by process {Environment.ProcessId}, which does not answer: ", _errors.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("produce orders 5", "The records of topic 'orders' have keys: produce orders KEY VALUE.")]
    [InlineData("produce notes ann 5", "The records of topic 'notes' have no keys: produce notes VALUE.")]
    [InlineData("produce orders ann five", "Value 'five' of topic 'orders': ")]
    [InlineData("produce order-totals ann 5", "No flow here reads a topic 'order-totals'. There are: orders, notes.")]
    [InlineData("tail nothing", "No flow here reads or writes a topic 'nothing'. There are: orders, order-totals, notes.")]
    [InlineData("produce", "produce takes TOPIC [KEY] VALUE; TOPIC is missing.")]
    [InlineData("produce orders ann 5 6", "produce takes TOPIC [KEY] VALUE and options; '6' is too much.")]
    public async Task AMistakeIsToldInOneLine(string line, string message)
    {
        Assert.Equal((int)ExitCode.Usage, await Run(line.Split(' ')));
        Assert.StartsWith(message, _errors.ToString(), StringComparison.Ordinal);
        Assert.Single(_errors.ToString().TrimEnd().Split('\n'));
    }

    private static Dataflow Flow()
    {
        Dataflow flow = new("order-totals");
        flow.Input("orders", Orders).StatefulMap("total", (ref decimal? total, decimal amount) => total = (total ?? 0) + amount).Output("totals", Totals);
        flow.Input("notes", Topic.Values<string>("notes")).Inspect("look");
        return flow;
    }

    private string[] Lines() => _output.ToString().TrimEnd().Split(Environment.NewLine);

    private Task<int> Run(params string[] words) =>
        KStreamHost.RunAsync([.. words, .. words.Length > 1 ? (string[])["--state-dir", _folder] : []], host => host.AddFlow(Flow()), _output, _errors);
}
