using System.Diagnostics;
using System.Text.Json;

namespace KStreamSharp.Hosting;

/// <summary>The last line of standard output under <c>--report json</c>: the figures of a run for a machine to read.</summary>
internal static class RunReport
{
    public static string Json(string workload, StreamOptions options, EngineStatus status, TimeSpan cpu, bool done)
    {
        double seconds = status.ProcessingTime.TotalSeconds;
        using Process self = Process.GetCurrentProcess();
        return JsonSerializer.Serialize(new Dictionary<string, object>
        {
            ["system"] = "kstreamsharp",
            ["workload"] = workload,
            ["guarantee"] = options.Guarantee == Guarantee.ExactlyOnce ? "exactly-once" : "at-least-once",
            ["done"] = done,
            ["records"] = status.RecordsFromInputs,
            ["seconds"] = Math.Round(seconds, 3),
            ["records_per_s"] = seconds > 0 ? Math.Round(status.RecordsFromInputs / seconds) : 0,
            ["cpu_s_per_million"] = status.RecordsFromInputs > 0 ? Math.Round(cpu.TotalSeconds / status.RecordsFromInputs * 1e6, 2) : 0,
            ["rss_mb"] = self.PeakWorkingSet64 >> 20,
            ["restored"] = status.RecordsRestored,
            ["restore_s"] = Math.Round(status.RestoreTime.TotalSeconds, 3),
        });
    }
}
