using Xunit;

namespace KStreamSharp.Tests;

public class Smoke
{
    [Fact]
    public void Headers_keep_their_order() => Assert.Single(Headers.Empty.With("a", "b"));
}
