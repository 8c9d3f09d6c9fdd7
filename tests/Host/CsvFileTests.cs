using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using KStreamSharp.Flows;
using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests;

public sealed class CsvFileTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ColumnsAreFoundByTheirNamesInAnyOrder()
    {
        using CsvFile file = Open("x,number,name\n1,42,Ann\n2,-7,Bob\n");
        Assert.True(file.Read());
        Assert.Equal(("Ann", 42), (file.Text(0), file.Int(1)));
        Assert.True(file.Read());
        Assert.Equal(("Bob", -7), (file.Text(0), file.Int(1)));
        Assert.False(file.Read());
    }

    [Theory]
    [InlineData("\"a,b\",1", "a,b")]
    [InlineData("\"say \"\"yes\"\"\",1", "say \"yes\"")]
    [InlineData("\"two\nlines\",1", "two\nlines")]
    [InlineData("\"\",1", "")]
    [InlineData("plain,1", "plain")]
    public void QuotesHoldCommasQuotesAndLineBreaks(string row, string text)
    {
        using CsvFile file = Open($"name,number\n{row}\n");
        Assert.True(file.Read());
        Assert.Equal(text, file.OptionalText(0));
        Assert.Equal(1, file.Int(1));
    }

    [Fact]
    public void NaIsNoValue()
    {
        using CsvFile file = Open("name,number\nNA,NA\n");
        Assert.True(file.Read());
        Assert.Null(file.OptionalText(0));
        Assert.Null(file.OptionalInt(1));
    }

    [Theory]
    [InlineData("name,number\nAnn,1\nBob,x\n", "data.csv line 3: column 'number' needs a whole number or NA; it has 'x'.")]
    [InlineData("name,number\nAnn,1\nBob,99999999999\n", "data.csv line 3: column 'number' needs a whole number or NA; it has '99999999999'.")]
    [InlineData("name,number\nAnn,NA\n", "data.csv line 2: column 'number' needs a whole number.")]
    [InlineData("name,number\nNA,1\n", "data.csv line 2: column 'name' needs a value.")]
    [InlineData("name,number\nAnn,1\nBob\n", "data.csv line 3: 2 fields are needed, as the first line has; there are 1.")]
    [InlineData("name,number\n\"Ann\nand Bob\",1\nCid,1,2\n", "data.csv line 4: 2 fields are needed, as the first line has; there are 3.")]
    [InlineData("name,number\nAnn,1\n\"Bob,1\nCid,1\n", "data.csv line 3: a quote is not closed.")]
    [InlineData("name,number\n\"Ann\"x,1\n", "data.csv line 2: a comma is needed after a closing quote.")]
    [InlineData("name,size\nAnn,1\n", "data.csv line 1: there is no column 'number'.")]
    [InlineData("", "data.csv line 1: the file is empty; its first line must name the columns.")]
    public void AMistakeIsNamedWithFileAndLine(string text, string message)
    {
        UsageException error = Assert.Throws<UsageException>(() =>
        {
            using CsvFile file = Open(text);
            while (file.Read())
            {
                _ = file.Text(0);
                _ = file.Int(1);
            }
        });
        Assert.Equal(message, error.Message);
    }

    [Fact]
    public void AFileThatIsMissingIsNamed() =>
        Assert.Contains("nothing.csv", Assert.Throws<UsageException>(() => new CsvFile(_folder.File("nothing.csv"), "name")).Message, StringComparison.Ordinal);

    [Fact]
    public void AZippedFileReadsAsTheFileThatIsInIt()
    {
        const string Text = "name,number\nAnn,1\n";
        using CsvFile plain = Open(Text);
        using CsvFile zipped = new(Zip("data.csv.gz", Text), "name", "number");
        Assert.True(plain.Read() && zipped.Read());
        Assert.Equal("Ann", zipped.Text(0));
        Assert.False(plain.Read() || zipped.Read());
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Text))), plain.Hash);
        Assert.Equal(plain.Hash, zipped.Hash);
    }

    [Fact]
    public void AZippedFileThatIsCutOffIsNamedWithTheLineReached()
    {
        string path = Zip("data.csv.gz", "name,number\n" + string.Concat(Enumerable.Range(0, 20_000).Select(i => $"n{i * 7919},{i}\n")));
        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, whole[..(whole.Length / 2)]);
        UsageException error = Assert.Throws<UsageException>(() =>
        {
            using CsvFile file = new(path, "name", "number");
            while (file.Read())
            {
                _ = file.Int(1);
            }
        });
        Assert.StartsWith("data.csv.gz line ", error.Message, StringComparison.Ordinal);
    }

    private CsvFile Open(string text) => new(_folder.Write("data.csv", text), "name", "number");

    private string Zip(string name, string text)
    {
        using GZipStream zip = new(File.Create(_folder.File(name)), CompressionMode.Compress);
        zip.Write(Encoding.UTF8.GetBytes(text));
        return _folder.File(name);
    }
}
