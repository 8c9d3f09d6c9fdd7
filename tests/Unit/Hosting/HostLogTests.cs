using System.Text.Json;
using KStreamSharp.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

public class HostLogTests
{
    [Fact]
    public void LinesAreHeldBackUntilTheScreenIsFree()
    {
        StringWriter errors = new();
        using HostLog log = new(errors, TimeProvider.System);
        ILogger test = log.CreateLogger("test");
        using (log.Hold())
        {
            test.LogWarning("first");
            test.LogInformation("never shown");
            Assert.Equal("", errors.ToString());
        }

        test.LogError("second");
        string[] lines = errors.ToString().TrimEnd().Split('\n');
        Assert.Equal(2, lines.Length);
        Assert.EndsWith("warning [0] first", lines[0].TrimEnd(), StringComparison.Ordinal);
        Assert.EndsWith("error [0] second", lines[1].TrimEnd(), StringComparison.Ordinal);
    }

    [Fact]
    public void TheLevelSaysWhatIsWritten()
    {
        StringWriter errors = new();
        using HostLog log = new(errors, TimeProvider.System) { Settings = new() { Level = LogLevel.Information } };
        ILogger test = log.CreateLogger("test");
        test.LogDebug("hidden");
        test.LogInformation("shown");
        Assert.EndsWith("information [0] shown", errors.ToString().TrimEnd(), StringComparison.Ordinal);
        Assert.Single(errors.ToString().TrimEnd().Split('\n'));
    }

    [Fact]
    public void WhatWasJustSaidIsNotSaidAgain()
    {
        StringWriter errors = new();
        ManualClock clock = new();
        using HostLog log = new(errors, clock);
        ILogger test = log.CreateLogger("test");
        test.LogWarning("away");
        test.LogWarning("away");
        test.LogWarning("something else");
        Assert.Equal(2, errors.ToString().TrimEnd().Split('\n').Length);

        clock.Advance(TimeSpan.FromSeconds(10));
        test.LogWarning("away");
        Assert.Equal(3, errors.ToString().TrimEnd().Split('\n').Length);
    }

    [Fact]
    public void ACategoryHasTheLevelOfItsLongestBeginning()
    {
        LogSettings settings = LogSettings.Read(
            new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
            {
                ["Logging:LogLevel:Default"] = "Error",
                ["Logging:LogLevel:KStreamSharp"] = "Information",
                ["Logging:LogLevel:KStreamSharp.Kafka"] = "debug",
            }).Build(),
            level: null,
            isJson: false);

        Assert.Equal(LogLevel.Debug, settings.Of("KStreamSharp.Kafka"));
        Assert.Equal(LogLevel.Information, settings.Of("KStreamSharp"));
        Assert.Equal(LogLevel.Information, settings.Of("KStreamSharp.Other"));
        Assert.Equal(LogLevel.Error, settings.Of("KStreamSharply"));
        Assert.Equal(LogLevel.Error, settings.Of("mine"));
    }

    [Fact]
    public void ALevelThatIsNoneIsRefusedByTheNameOfItsSetting()
    {
        IConfiguration configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?> { ["Logging:LogLevel:mine"] = "loud" }).Build();

        Assert.StartsWith("Logging:LogLevel:mine 'loud': a level is needed: ", Assert.Throws<UsageException>(() => LogSettings.Read(configuration, level: null, isJson: false)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AsJsonALineHasItsPropertiesAndTheWholeError()
    {
        StringWriter errors = new();
        using HostLog log = new(errors, TimeProvider.System) { Settings = new() { IsJson = true } };

        log.CreateLogger("a.category").LogWarning(new EventId(7), new InvalidOperationException("because"), "Shard {Shard} of {App}\nis \"late\"", 3, "app");

        using JsonDocument line = JsonDocument.Parse(Assert.Single(errors.ToString().TrimEnd().Split('\n')));
        JsonElement root = line.RootElement;
        Assert.Equal(("warning", 7, "a.category"), (root.GetProperty("level").GetString(), root.GetProperty("id").GetInt32(), root.GetProperty("category").GetString()));
        Assert.Equal("Shard 3 of app\nis \"late\"", root.GetProperty("message").GetString());
        Assert.Equal(["Shard", "App"], root.GetProperty("properties").EnumerateObject().Select(property => property.Name));
        Assert.Contains("System.InvalidOperationException: because", root.GetProperty("exception").GetString(), StringComparison.Ordinal);
        Assert.True(root.GetProperty("time").TryGetDateTimeOffset(out _));
    }
}
