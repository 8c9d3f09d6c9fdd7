using System.Globalization;
using System.Runtime.InteropServices;
using KStreamSharp;
using KStreamSharp.Hosting;
using KStreamSharp.Tests.Chaos;

const string Usage = "usage: [--scenario faults|backlog] [--kafka HOST:PORT] [--seed N] [--minutes M] [--backlog RECORDS] [--guarantee exactly-once|at-least-once] [--toxiproxy PATH] [--faults KIND,KIND...]";

if (args is ["host", .. string[] ofHost])
{
    // One of the processes that this program starts.
    return await KStreamHost.RunAsync(ofHost, host => host.AddFlow<SlowCountFlow>());
}

ChaosOptions options = new();
for (int i = 0; i < args.Length; i += 2)
{
    string value = i + 1 < args.Length ? args[i + 1] : "";
    switch (args[i])
    {
        case "--scenario" when value is "faults" or "backlog":
            options = options with { IsBacklog = value == "backlog" };
            break;
        case "--backlog" when long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long records) && records is > 0 and <= 20_000_000:
            options = options with { Backlog = records };
            break;
        case "--kafka" when value.Contains(':', StringComparison.Ordinal):
            options = options with { Kafka = value };
            break;
        case "--seed" when int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int seed):
            options = options with { Seed = seed };
            break;
        case "--minutes" when double.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double minutes) && minutes is > 0 and <= 10_000:
            options = options with { Length = TimeSpan.FromMinutes(minutes) };
            break;
        case "--guarantee" when value is "exactly-once" or "at-least-once":
            options = options with { Guarantee = value == "exactly-once" ? Guarantee.ExactlyOnce : Guarantee.AtLeastOnce };
            break;
        case "--toxiproxy" when File.Exists(value):
            options = options with { Toxiproxy = value };
            break;
        case "--faults" when value.Length > 0 && value.Split(',').All(name => Faults.All.Any(kind => kind.Name == name)):
            options = options with { Kinds = value.Split(',') };
            break;
        default:
            Console.Error.WriteLine($"'{args[i]} {value}' is not understood; {Usage}");
            Console.Error.WriteLine($"faults: {string.Join(", ", Faults.All.Select(kind => kind.Name))}");
            return 2;
    }
}

// The relays must not wait for a thread while another one waits for the broker.
ThreadPool.SetMinThreads(32, 32);
using CancellationTokenSource stopping = new();
using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
try
{
    return await ChaosRun.RunAsync(options, stopping.Token) ? 0 : 1;
}
catch (OperationCanceledException) when (stopping.IsCancellationRequested)
{
    Console.Error.WriteLine("Interrupted; everything that was started is gone.");
    return 130;
}
catch (Exception error)
{
    bool known = error is InvalidOperationException or Confluent.Kafka.KafkaException or System.ComponentModel.Win32Exception or HttpRequestException;
    Console.Error.WriteLine($"The run could not be carried out: {(known ? error.Message : error)}");
    Console.WriteLine("0 passed, 1 failed");
    return 1;
}

void Stop(PosixSignalContext signal)
{
    signal.Cancel = true;
    stopping.Cancel();
}
