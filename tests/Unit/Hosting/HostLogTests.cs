using KStreamSharp.Hosting;
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
        using (log.Hold())
        {
            log.LogWarning("first");
            log.LogInformation("never shown");
            Assert.Equal("", errors.ToString());
        }

        log.LogError("second");
        string[] lines = errors.ToString().TrimEnd().Split('\n');
        Assert.Equal(2, lines.Length);
        Assert.EndsWith("warning [0] first", lines[0].TrimEnd(), StringComparison.Ordinal);
        Assert.EndsWith("error [0] second", lines[1].TrimEnd(), StringComparison.Ordinal);
    }

    [Fact]
    public void TheLevelSaysWhatIsWritten()
    {
        StringWriter errors = new();
        using HostLog log = new(errors, TimeProvider.System) { Level = LogLevel.Information };
        log.LogDebug("hidden");
        log.LogInformation("shown");
        Assert.EndsWith("information [0] shown", errors.ToString().TrimEnd(), StringComparison.Ordinal);
        Assert.Single(errors.ToString().TrimEnd().Split('\n'));
    }

    [Fact]
    public void WhatWasJustSaidIsNotSaidAgain()
    {
        StringWriter errors = new();
        ManualClock clock = new();
        using HostLog log = new(errors, clock);
        log.LogWarning("away");
        log.LogWarning("away");
        log.LogWarning("something else");
        Assert.Equal(2, errors.ToString().TrimEnd().Split('\n').Length);

        clock.Advance(TimeSpan.FromSeconds(10));
        log.LogWarning("away");
        Assert.Equal(3, errors.ToString().TrimEnd().Split('\n').Length);
    }
}
