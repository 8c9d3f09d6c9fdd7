namespace KStreamSharp.Flows;

/// <summary>Says how far something is, once a second: what is quick says nothing.</summary>
internal sealed class Progress(TextWriter output, TimeProvider time)
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(1);

    private long _said = time.GetTimestamp();

    public void Say(FormattableString line)
    {
        if (time.GetElapsedTime(_said) >= Every)
        {
            output.WriteLine(FormattableString.Invariant(line));
            _said = time.GetTimestamp();
        }
    }
}
