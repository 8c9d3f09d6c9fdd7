using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

public sealed class OpenFilesTests
{
    [Theory]
    [InlineData("Max open files            100                  1048576              files     ", 1_048_576L)]
    [InlineData("Max open files            1024                 unlimited            files     ", null)]
    [InlineData("Max locked memory         8388608              8388608              bytes     ", null)]
    public void TheHardLimitCounts(string line, long? limit) => Assert.Equal(limit, OpenFiles.Limit(["Limit                     Soft Limit           Hard Limit           Units     ", line]));

    [Theory]
    [InlineData(255, true)]
    [InlineData(256, false)]
    public void FewerThanAStartTakesAreRefused(long limit, bool isRefused) => Assert.Equal(isRefused, OpenFiles.Refusal(limit) is not null);
}
