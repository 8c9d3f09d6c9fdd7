using System.Text;
using Xunit;

namespace KStreamSharp.Tests;

public class HeadersTests
{
    [Fact]
    public void HeadersKeepTheirOrderAndTheirRepeats()
    {
        Headers headers = new(new("a", [1]), new("b", null), new("a", [2]));

        Assert.Equal(3, headers.Count);
        Assert.Equal(["a", "b", "a"], headers.Select(header => header.Key));
        Assert.Equal([[1], null, [2]], headers.Select(header => header.Value));
        Assert.Equal("b", headers[1].Key);
    }

    [Fact]
    public void WithAddsAtTheEndAndLeavesTheFormerAsTheyAre()
    {
        Headers one = Headers.Empty.With("trace", "ä");
        Headers two = one.With("none", null);

        Assert.Empty(Headers.Empty);
        Assert.Single(one);
        Assert.Equal(Encoding.UTF8.GetBytes("ä"), one[0].Value);
        Assert.Equal(2, two.Count);
        Assert.Null(two[1].Value);
    }

    [Fact]
    public void TheTextOfANameIsThatOfItsLastHeader()
    {
        Headers headers = Headers.Empty.With("a", "first").With("a", "last").With("b", "x").With("b", null).With("c", "");

        Assert.Equal("last", headers.Text("a"));
        Assert.Null(headers.Text("b"));
        Assert.Equal("", headers.Text("c"));
        Assert.Null(headers.Text("A"));
    }

    [Fact]
    public void ANameIsNeeded() => Assert.Throws<ArgumentException>(() => new Headers(new KeyValuePair<string, byte[]?>(null!, [])));

    [Fact]
    public void TheArrayIsCopied()
    {
        KeyValuePair<string, byte[]?>[] items = [new("a", [1])];
        Headers headers = new(items);
        items[0] = new("changed", null);

        Assert.Equal("a", headers[0].Key);
    }

    [Fact]
    public void AnIndexOutsideIsRefused() => Assert.ThrowsAny<Exception>(() => Headers.Empty[0]);
}
