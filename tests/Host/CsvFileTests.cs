using System.IO.Compression;
using System.IO.Pipes;
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
        Assert.Matches($"^data.csv.gz line [0-9]+: the gzip file ends too early, at byte {whole.Length / 2}: it is cut off.$", error.Message);
    }

    /// <summary>A writer that flushes, or a download that broke off: what is there can be unpacked without a fault.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    public void AZippedFileThatEndsBetweenTwoBlocksIsCutOff(int trailer)
    {
        using MemoryStream packed = new();
        using (GZipStream zip = new(packed, CompressionLevel.Optimal, leaveOpen: true))
        {
            zip.Write("name,number\nAnn,1\n"u8);
            zip.Flush();
            if (trailer == 0)
            {
                File.WriteAllBytes(_folder.File("data.csv.gz"), packed.ToArray());
            }
        }

        if (trailer > 0)
        {
            File.WriteAllBytes(_folder.File("data.csv.gz"), packed.ToArray()[..^trailer]);
        }

        UsageException error = Assert.Throws<UsageException>(() => Rows(_folder.File("data.csv.gz")));
        long length = new FileInfo(_folder.File("data.csv.gz")).Length;
        Assert.Equal(
            trailer == 0
                ? $"data.csv.gz line 3: the gzip file ends too early, at byte {length}: it is cut off."
                : $"data.csv.gz line 3: the gzip file is cut off or damaged near byte {length}: the checksum of what begins at byte 0 is missing or wrong.",
            error.Message);
    }

    [Fact]
    public void AZippedFileWhoseChecksumIsWrongIsDamaged()
    {
        string path = Zip("data.csv.gz", "name,number\nAnn,1\n");
        byte[] bytes = File.ReadAllBytes(path);
        bytes[^8] ^= 1;
        File.WriteAllBytes(path, [.. bytes, .. new byte[20]]);
        Assert.Contains("damaged near byte ", Assert.Throws<UsageException>(() => Rows(path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3_000)]
    public void MembersOfAZippedFileFollowEachOtherAndZerosBehindThemAreNothing(int rows)
    {
        string text = string.Concat(Enumerable.Range(0, rows).Select(i => $"n{i * 7919},{i}\n"));
        byte[] first = File.ReadAllBytes(Zip("first.gz", "name,number\n" + text));
        byte[] second = File.ReadAllBytes(Zip("second.gz", text));
        File.WriteAllBytes(_folder.File("data.csv.gz"), [.. first, .. second, .. new byte[600]]);
        Assert.Equal(2 * rows, Rows(_folder.File("data.csv.gz")));
        File.WriteAllBytes(_folder.File("data.csv.gz"), [.. first, .. second[..^3]]);
        Assert.Contains("is cut off or damaged", Assert.Throws<UsageException>(() => Rows(_folder.File("data.csv.gz"))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task APipeReadsAsAFile(bool zipped)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no pipe that is a file.");
        string text = "name,number\n" + string.Concat(Enumerable.Range(0, 20_000).Select(i => $"n{i * 7919},{i}\n"));
        byte[] content = zipped ? File.ReadAllBytes(Zip("data.csv.gz", text)) : Encoding.UTF8.GetBytes(text);
        using AnonymousPipeServerStream pipe = new(PipeDirection.Out);
        Task writing = Task.Run(() =>
        {
            pipe.Write(content);
            pipe.Dispose();
        }, TestContext.Current.CancellationToken);
        Assert.Equal(20_000, Rows($"/dev/fd/{pipe.GetClientHandleAsString()}", () => pipe.DisposeLocalCopyOfClientHandle()));
        await writing;
    }

    private static int Rows(string path, Action? opened = null)
    {
        using CsvFile file = new(path, "name", "number");
        opened?.Invoke();
        int rows = 0;
        for (; file.Read(); rows++)
        {
            _ = file.Int(1);
        }

        return rows;
    }

    private CsvFile Open(string text) => new(_folder.Write("data.csv", text), "name", "number");

    private string Zip(string name, string text)
    {
        using GZipStream zip = new(File.Create(_folder.File(name)), CompressionMode.Compress);
        zip.Write(Encoding.UTF8.GetBytes(text));
        return _folder.File(name);
    }
}
