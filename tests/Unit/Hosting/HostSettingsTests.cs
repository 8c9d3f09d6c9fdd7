using System.CommandLine;
using KStreamSharp.Hosting;
using Microsoft.Extensions.Configuration;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

public class HostSettingsTests
{
    [Theory]
    [InlineData("250ms", 250)]
    [InlineData("2s", 2_000)]
    [InlineData("1.5s", 1_500)]
    [InlineData("00:00:03", 3_000)]
    public void TimesTakeTheirUnit(string text, int milliseconds) =>
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), Read(["--commit-interval", text]).CommitInterval);

    [Theory]
    [InlineData("2m", 2)]
    [InlineData("1h", 60)]
    public void LongTimesTakeTheirUnit(string text, int minutes) => Assert.Equal(TimeSpan.FromMinutes(minutes), Read(["--stall-timeout", text]).StallTimeout);

    [Theory]
    [InlineData("--commit-interval", "5")]
    [InlineData("--commit-interval", "ms")]
    [InlineData("--commit-interval", "-1s")]
    [InlineData("--commit-interval", "1e300h")]
    [InlineData("--commit-interval", "99999999999999h")]
    [InlineData("--workers", "two")]
    [InlineData("--workers", "-1")]
    [InlineData("--guarantee", "at-most-once")]
    public void AValueThatCannotBeReadIsNamed(string option, string text)
    {
        UsageException error = Assert.Throws<UsageException>(() => Read([option, text]));
        Assert.StartsWith($"{option} '{text}': ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AValueOutOfRangeIsRefusedBeforeAnythingStarts()
    {
        StreamException error = Assert.Throws<StreamException>(() => Read(["--workers", "0"]));
        Assert.Equal(ExitCode.Usage, error.Code);
        Assert.Contains("Workers", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheCommandLineWinsOverTheConfiguration()
    {
        StreamOptions options = Read(["--state-dir", "there"], ("StateDir", "here"), ("Workers", "3"), ("UntilEnd", "true"));

        Assert.Equal("there", options.StateDir);
        Assert.Equal(3, options.Workers);
        Assert.True(options.UntilEnd);
    }

    [Fact]
    public void WithoutAnyWordTheDefaultsHold() => Assert.Equal(new StreamOptions(), Read([]));

    [Fact]
    public void AnUnknownNameInTheConfigurationIsRefusedAndTheKnownOnesAreNamed()
    {
        UsageException error = Assert.Throws<UsageException>(() => Read([], ("StateDirectory", "here")));
        Assert.Contains("KStreamSharp:StateDirectory", error.Message, StringComparison.Ordinal);
        Assert.Contains("StateDir,", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("UntilEnd", "perhaps")]
    [InlineData("CommitInterval", "5")]
    public void AValueOfTheConfigurationIsNamedWithItsSection(string key, string text)
    {
        UsageException error = Assert.Throws<UsageException>(() => Read([], (key, text)));
        Assert.StartsWith($"KStreamSharp:{key} '{text}'", error.Message, StringComparison.Ordinal);
    }

    private static StreamOptions Read(string[] args, params (string Key, string Value)[] configured)
    {
        HostSettings settings = new();
        Command command = new("test");
        foreach (Option option in settings.Options)
        {
            command.Options.Add(option);
        }

        IConfiguration configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(configured.Select(entry => KeyValuePair.Create<string, string?>($"KStreamSharp:{entry.Key}", entry.Value)))
            .Build();
        return settings.Read(command.Parse(args), configuration);
    }
}
