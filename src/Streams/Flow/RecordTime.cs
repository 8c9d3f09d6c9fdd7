namespace KStreamSharp;

/// <summary>
/// Which timestamps of records are times: those that a <see cref="DateTimeOffset"/> holds, so that no step meets another one.
/// </summary>
internal static class RecordTime
{
    private static readonly long First = DateTimeOffset.MinValue.ToUnixTimeMilliseconds();
    private static readonly long Last = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();

    /// <summary>Whether it is one.</summary>
    /// <param name="timestamp">Milliseconds since 1970.</param>
    public static bool IsOne(long timestamp) => timestamp >= First && timestamp <= Last;

    /// <summary>The time.</summary>
    /// <exception cref="BadRecordException">It is none; the message says what it looks like.</exception>
    public static DateTimeOffset Of(long timestamp)
    {
        Check(timestamp);
        return DateTimeOffset.FromUnixTimeMilliseconds(timestamp);
    }

    /// <inheritdoc cref="Of"/>
    public static void Check(long timestamp)
    {
        if (!IsOne(timestamp))
        {
            throw new BadRecordException(timestamp < 0
                ? $"the record's timestamp {timestamp} lies before the year 1: it is no time in milliseconds since 1970"
                : $"the record's timestamp {timestamp} lies after the year 9999: is it in {(timestamp / 1000 > Last ? "nanoseconds" : "microseconds")}?");
        }
    }
}
