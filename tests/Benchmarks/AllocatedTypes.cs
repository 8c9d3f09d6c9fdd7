using System.Diagnostics.Tracing;
using System.Globalization;

namespace KStreamSharp.Tests.Benchmarks;

/// <summary>Listens to the runtime, which names the type of an allocated object about every 100 kB; of all threads, pushes included.</summary>
internal sealed class AllocatedTypes : EventListener
{
    private const int GcKeyword = 1;
    private const int Shown = 12;

    private readonly Dictionary<string, long> _bytes = [];

    public void Print()
    {
        lock (_bytes)
        {
            double all = Math.Max(1, _bytes.Values.Sum());
            foreach ((string type, long bytes) in _bytes.OrderByDescending(entry => entry.Value).Take(Shown))
            {
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"    {bytes / all,6:P1}  {type}"));
            }
        }
    }

    protected override void OnEventSourceCreated(EventSource eventSource)
    {
        if (eventSource.Name == "Microsoft-Windows-DotNETRuntime")
        {
            EnableEvents(eventSource, EventLevel.Verbose, (EventKeywords)GcKeyword);
        }
    }

    protected override void OnEventWritten(EventWrittenEventArgs eventData)
    {
        if (eventData.EventName?.StartsWith("GCAllocationTick", StringComparison.Ordinal) != true || eventData.PayloadNames is not { } names)
        {
            return;
        }

        string type = (string)eventData.Payload![names.IndexOf("TypeName")]!;
        long bytes = Convert.ToInt64(eventData.Payload[names.IndexOf("AllocationAmount64")], CultureInfo.InvariantCulture);
        lock (_bytes)
        {
            _bytes[type] = _bytes.GetValueOrDefault(type) + bytes;
        }
    }
}
