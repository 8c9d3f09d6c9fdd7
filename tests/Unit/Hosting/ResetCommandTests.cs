using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

/// <summary>The command, over an embedded broker in a folder: what it says, asks and refuses.</summary>
public sealed class ResetCommandTests : IDisposable
{
    private static readonly KeyedTopic<string, int> In = Topic.Keyed<string, int>("in");

    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-reset-").FullName;
    private readonly StringWriter _output = new();
    private readonly StringWriter _errors = new();

    public ResetCommandTests()
    {
        using EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(_folder, "broker"));
        broker.CreateTopic("in", 2);
        for (int i = 0; i < 4; i++)
        {
            broker.Produce("in", "k"u8.ToArray(), [0, 0, 0, 1], partition: 1);
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task WithYesItSaysWhatItWillDoAndDoesIt()
    {
        await Ok("run", "app", "--until-end");
        Assert.Equal(["1", "2", "3", "4"], Results());

        await Ok("reset", "app", "--yes");
        string[] lines = _output.ToString().TrimEnd().Split(Environment.NewLine);
        Assert.Equal("The reset of application app will", lines[0]);
        Assert.Contains("  delete topic app-changelog", lines);
        Assert.Contains("deleted topic app-changelog", lines);
        Assert.Contains($"deleted folder {Path.Combine(_folder, "app")}", lines);
        Assert.Equal("Application app is reset.", lines[^1]);
        Assert.False(Directory.Exists(Path.Combine(_folder, "app")));

        await Ok("run", "app", "--until-end");
        Assert.Equal(["1", "2", "3", "4", "1", "2", "3", "4"], Results());
    }

    [Fact]
    public async Task WithKeepStateTheCountGoesOn()
    {
        await Ok("run", "app", "--until-end");
        await Ok("reset", "app", "--keep-state", "--yes");
        Assert.Contains("moved the positions of group app in topic in to 0, 0", _output.ToString(), StringComparison.Ordinal);
        await Ok("run", "app", "--until-end");
        Assert.Equal(["1", "2", "3", "4", "5", "6", "7", "8"], Results());
        await Ok("reset", "app", "--keep-state", "--to", "latest", "--yes");
        await Ok("run", "app", "--until-end");
        Assert.Equal(8, Results().Length);
    }

    [Fact]
    public async Task OnATerminalTheApplicationIsToBeNamed()
    {
        await Ok("run", "app", "--until-end");
        Assert.Equal((int)ExitCode.Usage, await Run(new StringReader("yes\n"), "reset", "app"));
        Assert.Equal("That is not 'app'. Nothing was changed.", _errors.ToString().TrimEnd());
        Assert.True(Directory.Exists(Path.Combine(_folder, "app")));
        Assert.Equal((int)ExitCode.Usage, await Run(new StringReader(""), "reset", "app"));

        Assert.Equal(0, await Run(new StringReader("app\n"), "reset", "app"));
        Assert.Contains("Type the application's id to go on: ", _output.ToString(), StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(_folder, "app")));
    }

    [Fact]
    public async Task WithoutATerminalItRefusesAfterSayingWhatItWouldDo()
    {
        await Ok("run", "app", "--until-end");
        Assert.Equal((int)ExitCode.Usage, await Run(null, "reset", "app"));
        Assert.Contains("  delete topic app-changelog", _output.ToString(), StringComparison.Ordinal);
        Assert.Contains("--yes", _errors.ToString(), StringComparison.Ordinal);
        Assert.True(Directory.Exists(Path.Combine(_folder, "app")));
        await Ok("run", "app", "--until-end");
        Assert.Equal(4, Results().Length);
    }

    [Fact]
    public async Task WhatWasNeverStartedHasNothingToReset()
    {
        await Ok("reset", "app");
        Assert.Equal("Application app has nothing to reset.", _output.ToString().TrimEnd());
        await Ok("reset", "app", "--keep-state");
    }

    [Fact]
    public async Task AFolderInUseIsNotReset()
    {
        await Ok("run", "app", "--until-end");
        using (FolderLock.Take(Path.Combine(_folder, "app"), process => process))
        {
            Assert.Equal((int)ExitCode.State, await Run(null, "reset", "app", "--yes"));
        }

        Assert.Contains($"in use by process {Environment.ProcessId}", _errors.ToString(), StringComparison.Ordinal);
    }

    /// <summary>Names are checked as what they become: the folder of another application, or of all of them.</summary>
    [Theory]
    [InlineData("reset app --app-id . --yes", ExitCode.Usage)]
    [InlineData("reset app --app-id .. --yes", ExitCode.Usage)]
    [InlineData("reset app --app-id broker --yes", ExitCode.State)]
    [InlineData("run app --until-end --app-id ..", ExitCode.Usage)]
    [InlineData("run app --until-end --instance-id .", ExitCode.Usage)]
    [InlineData("run app --until-end --app-id broker", ExitCode.State)]
    [InlineData("state list app --app-id .", ExitCode.Usage)]
    [InlineData("state list app --app-id broker", ExitCode.State)]
    [InlineData("snapshots list app --app-id ..", ExitCode.Usage)]
    [InlineData("describe app --app-id .", ExitCode.Usage)]
    public async Task ANameThatWouldBeAnothersFolderIsRefusedAndNothingIsDeleted(string line, ExitCode code)
    {
        await Ok("run", "app", "--until-end");
        Assert.Equal((int)code, await Run(null, line.Split(' ')));
        Assert.True(File.Exists(Path.Combine(_folder, "broker", "journal")));
        Assert.True(Directory.Exists(Path.Combine(_folder, "app")));
        await Ok("run", "app", "--until-end");
        Assert.Equal(["1", "2", "3", "4"], Results());
    }

    [Fact]
    public async Task AWrongFolderIsNamedAndNotMade()
    {
        string wrong = Path.Combine(_folder, "wrong");
        Assert.Equal((int)ExitCode.State, await KStreamHost.RunAsync(["reset", "app", "--state-dir", wrong], host => host.AddFlow(Flow()), _output, _errors));
        Assert.StartsWith($"There is no broker in {wrong}.", _errors.ToString(), StringComparison.Ordinal);
        Assert.False(Directory.Exists(wrong));
    }

    [Theory]
    [InlineData("reset app --to latest", "--to goes with --keep-state.")]
    [InlineData("reset app --keep-state --to middle", "--to 'middle': earliest or latest is needed.")]
    [InlineData("reset gone", "There is no flow 'gone'. There are: app.")]
    public async Task AMistakeIsToldInOneLine(string line, string message)
    {
        Assert.Equal((int)ExitCode.Usage, await Run(null, line.Split(' ')));
        Assert.StartsWith(message, _errors.ToString(), StringComparison.Ordinal);
    }

    private static Dataflow Flow()
    {
        Dataflow flow = new("app");
        flow.Input("in", In).StatefulMap("count", (ref int? count, int _) => count = (count ?? 0) + 1).MapValue("text", count => $"{count}").Output("out", Topic.Keyed<string, string>("out"));
        return flow;
    }

    private async Task Ok(params string[] words) => Assert.True(await Run(null, words) == 0, _errors.ToString());

    private Task<int> Run(TextReader? terminal, params string[] words)
    {
        _output.GetStringBuilder().Clear();
        return KStreamHost.RunAsync([.. words, "--state-dir", _folder], host => host.AddFlow(Flow()), _output, _errors, terminal);
    }

    private string[] Results()
    {
        using EmbeddedBroker broker = EmbeddedBroker.Open(Path.Combine(_folder, "broker"));
        return [.. broker.ReadAll("out").Select(record => System.Text.Encoding.UTF8.GetString(record.Value!))];
    }
}
