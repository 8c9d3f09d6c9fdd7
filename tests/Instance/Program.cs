using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using KStreamSharp;

// One instance of a counting application as a process of its own, which can end or stop itself at a numbered step. The tests
// against Kafka start it, read its lines and send it signals.
Option<string> kafka = new("--kafka") { Required = true };
Option<string> app = new("--app") { Required = true };
Option<string> input = new("--input") { Required = true };
Option<string> output = new("--output") { Required = true };
Option<string> folder = new("--folder") { Required = true };
Option<string> instance = new("--instance") { Required = true };
Option<KafkaGroupProtocol> protocol = new("--protocol");
Option<bool> untilEnd = new("--until-end");
Option<bool> leaves = new("--leaves") { Description = "gives up the membership when stopped" };
Option<string?> killAt = new("--kill-at") { Description = "STEP:N: SIGKILL when a step is reached for the Nth time" };
Option<string?> pauseAt = new("--pause-at") { Description = "STEP:N: SIGSTOP when a step is reached for the Nth time" };
Option<string[]> set = new("--set") { Description = "NAME=VALUE: a setting of the Kafka client" };
RootCommand root = new() { set, kafka, app, input, output, folder, instance, protocol, untilEnd, leaves, killAt, pauseAt };
root.SetAction(async parsed =>
{
    Failpoint? failpoint = parsed.GetValue(killAt) is { } kill ? Failpoint.Parse(kill, Signals.Kill)
        : parsed.GetValue(pauseAt) is { } pause ? Failpoint.Parse(pause, Signals.Stop) : null;
    Dataflow flow = new("count");
    flow.Input("in", Topic.Keyed(parsed.GetValue(input)!, Serde.Bytes, Serde.Bytes))
        .StatefulMap("count", (ref long? count, byte[] _) => count = (count ?? 0) + 1)
        .Output("out", Topic.Keyed(parsed.GetValue(output)!, Serde.Bytes, Serde.For<long?>()));
    using KafkaBroker broker = new(new KafkaOptions { BootstrapServers = parsed.GetValue(kafka)!, GroupProtocol = parsed.GetValue(protocol), Settings = (parsed.GetValue(set) ?? []).Select(pair => pair.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1]) });
    using StreamEngine engine = new(flow, broker, new StreamOptions
    {
        AppId = parsed.GetValue(app),
        InstanceId = parsed.GetValue(instance),
        StateDir = parsed.GetValue(folder)!,
        UntilEnd = parsed.GetValue(untilEnd),
        Workers = 2,
        CommitInterval = TimeSpan.FromMilliseconds(1),
        RecordsPerTurnMax = 50,
        SessionTimeout = TimeSpan.FromSeconds(6),
        TransactionTimeout = TimeSpan.FromSeconds(5),
        RevocationBudget = TimeSpan.FromSeconds(3),
    })
    {
        LeavesGroup = parsed.GetValue(leaves),
        Reached = failpoint is null ? null : failpoint.Reached,
    };
    using CancellationTokenSource stopping = new();
    using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
    {
        signal.Cancel = true;
        stopping.Cancel();
    });
    Task running = engine.RunAsync(stopping.Token);
    using PeriodicTimer tick = new(TimeSpan.FromMilliseconds(100));
    while (await Task.WhenAny(running, tick.WaitForNextTickAsync().AsTask()) != running)
    {
        EngineStatus status = engine.Status;
        string shards = string.Join(',', status.Shards.Where(shard => shard.State == ShardState.Running).Select(shard => shard.Shard));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"status {status.RecordsIn} {status.Commits} {status.RecordsRestored} [{shards}]"));
    }

    try
    {
        await running;
        return 0;
    }
    catch (StreamException error)
    {
        Console.WriteLine($"failed {error.Message}");
        return (int)error.Code;
    }
});

// The orderly end takes as long as it takes: the command line's own limit of two seconds would end the process with 143.
return await root.Parse(args).InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });

/// <summary>Sends this process a signal when a step has been reached often enough.</summary>
internal sealed class Failpoint(string step, int times, int signal)
{
    private int _left = times;

    public static Failpoint Parse(string text, int signal)
    {
        int colon = text.LastIndexOf(':');
        return new Failpoint(text[..colon], int.Parse(text[(colon + 1)..], CultureInfo.InvariantCulture), signal);
    }

    public void Reached(string at)
    {
        if (at == step && Interlocked.Decrement(ref _left) == 0)
        {
            Console.WriteLine($"reached {at}");
            Console.Out.Flush();
            if (Signals.Send(Environment.ProcessId, signal) != 0)
            {
                Environment.FailFast("no signal could be sent");
            }

            // A signal to oneself may arrive a moment later: nothing may be done in that moment.
            using ManualResetEventSlim never = new();
            never.Wait(signal == Signals.Kill ? TimeSpan.FromMinutes(1) : TimeSpan.FromMilliseconds(200));
        }
    }
}

/// <summary>Signals of Unix by their numbers on Linux.</summary>
internal static partial class Signals
{
    public const int Kill = 9;
    public const int Stop = 19;

    [LibraryImport("libc", EntryPoint = "kill")]
    internal static partial int Send(int process, int signal);
}
