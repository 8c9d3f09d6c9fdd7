using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using KStreamSharp.Hosting;

namespace KStreamSharp.Flows;

/// <summary>
/// A CSV file with a header line, plain or gzip, read row by row (RFC 4180: quotes, doubled quotes, line breaks inside
/// quotes). The columns asked for may stand in any order among others. <c>NA</c> means no value.
/// </summary>
internal sealed class CsvFile : IDisposable
{
    private const string NoValue = "NA";

    private readonly string _name;
    private readonly SHA256 _hash = SHA256.Create();
    private readonly StreamReader _reader;
    private readonly string[] _columns;
    private readonly int[] _places;
    private readonly int _width;
    private readonly List<string> _fields = [];
    private int _line;
    private int _rowLine;

    /// <exception cref="UsageException">The file cannot be read, or it lacks a column.</exception>
    public CsvFile(string path, params string[] columns)
    {
        _name = Path.GetFileName(path);
        _columns = columns;
        _reader = new StreamReader(new CryptoStream(OpenPlain(path), _hash, CryptoStreamMode.Read), Encoding.UTF8);
        try
        {
            if (!ReadFields())
            {
                throw Wrong("the file is empty; its first line must name the columns");
            }

            _width = _fields.Count;
            _places = [.. columns.Select(column => _fields.IndexOf(column) is >= 0 and int place ? place : throw Wrong($"there is no column '{column}'"))];
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The SHA-256 of the whole text without compression, in hexadecimal; once every row has been read.</summary>
    public string Hash => Convert.ToHexStringLower(_hash.Hash!);

    /// <summary>Goes to the next row; false after the last.</summary>
    /// <exception cref="UsageException">The row is malformed.</exception>
    public bool Read()
    {
        if (!ReadFields())
        {
            return false;
        }

        return _fields.Count == _width ? true : throw Wrong($"{_width} fields are needed, as the first line has; there are {_fields.Count}");
    }

    /// <summary>The text of a column, by its place among the columns asked for; null for NA.</summary>
    public string? OptionalText(int column) => _fields[_places[column]] is var text && text == NoValue ? null : text;

    /// <inheritdoc cref="OptionalText"/>
    public string Text(int column) => OptionalText(column) is { Length: > 0 } text ? text : throw Wrong($"column '{_columns[column]}' needs a value");

    /// <summary>The whole number of a column; null for NA.</summary>
    public int? OptionalInt(int column)
    {
        string text = _fields[_places[column]];
        return text == NoValue ? null
            : int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) ? number
            : throw Wrong($"column '{_columns[column]}' needs a whole number or NA; it has '{text}'");
    }

    /// <inheritdoc cref="OptionalInt"/>
    public int Int(int column) => OptionalInt(column) ?? throw Wrong($"column '{_columns[column]}' needs a whole number");

    /// <summary>The time of a column, in UTC.</summary>
    public DateTime Utc(int column)
    {
        string text = _fields[_places[column]];
        return DateTime.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out DateTime time)
            ? time
            : throw Wrong($"column '{_columns[column]}' needs a time, for example 2013-01-01T10:00:00Z; it has '{text}'");
    }

    public void Dispose()
    {
        _reader.Dispose();
        _hash.Dispose();
    }

    private static Stream OpenPlain(string path)
    {
        if (Directory.Exists(path))
        {
            throw new UsageException($"The data file '{path}' is a folder.");
        }

        try
        {
            InputBytes file = new(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0));
            return file.IsNext([0x1f, 0x8b]) ? new GzipMembers(file) : file;
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new UsageException($"There is no data file '{path}'.", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"The data file '{path}' cannot be read: {error.Message}", error);
        }
    }

    private UsageException Wrong(string what, Exception? inner = null) => new($"{_name} line {Math.Max(1, _rowLine)}: {what}.", inner);

    private bool ReadFields()
    {
        string? line = ReadLine();
        _rowLine = _line;
        _fields.Clear();
        if (line is null)
        {
            return false;
        }

        if (!line.Contains('"', StringComparison.Ordinal))
        {
            _fields.AddRange(line.Split(','));
            return true;
        }

        ReadQuoted(line);
        return true;
    }

    private void ReadQuoted(string line)
    {
        int at = 0;
        while (true)
        {
            if (at == line.Length || line[at] != '"')
            {
                int comma = line.IndexOf(',', at);
                _fields.Add(comma < 0 ? line[at..] : line[at..comma]);
                at = comma < 0 ? line.Length : comma;
            }
            else
            {
                _fields.Add(ReadQuotedField(ref line, ref at));
            }

            if (at == line.Length)
            {
                return;
            }

            if (line[at++] != ',')
            {
                throw Wrong("a comma is needed after a closing quote");
            }
        }
    }

    /// <summary>Reads from the opening quote to behind the closing one; the field may go on over several lines.</summary>
    private string ReadQuotedField(ref string line, ref int at)
    {
        StringBuilder field = new();
        at++;
        while (true)
        {
            int quote = line.IndexOf('"', at);
            if (quote < 0)
            {
                field.Append(line, at, line.Length - at).Append('\n');
                line = ReadLine() ?? throw Wrong("a quote is not closed");
                at = 0;
                continue;
            }

            field.Append(line, at, quote - at);
            at = quote + 1;
            if (at == line.Length || line[at] != '"')
            {
                return field.ToString();
            }

            field.Append('"');
            at++;
        }
    }

    private string? ReadLine()
    {
        try
        {
            string? line = _reader.ReadLine();
            _line += line is null ? 0 : 1;
            return line;
        }
        catch (Exception error) when (error is IOException or InvalidDataException)
        {
            _rowLine = _line + 1;
            throw Wrong(error is InvalidDataException ? error.Message : $"the file cannot be read on: {error.Message.TrimEnd('.')}", error);
        }
    }
}
