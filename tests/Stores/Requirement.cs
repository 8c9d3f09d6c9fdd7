using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Where there is no server, tests are skipped, or fail when <c>KSTREAM_REQUIRE_STORES</c> is 1.</summary>
internal static class Requirement
{
    /// <summary>What tests ask a fixture for; skips or fails the test when there is none.</summary>
    public static T Of<T>(T? made, string why)
        where T : class
    {
        if (made is null)
        {
            Assert.SkipWhen(Environment.GetEnvironmentVariable("KSTREAM_REQUIRE_STORES") != "1", why);
            Assert.Fail(why);
        }

        return made;
    }
}
