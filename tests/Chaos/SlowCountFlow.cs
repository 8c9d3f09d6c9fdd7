using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using KStreamSharp.Hosting;

namespace KStreamSharp.Tests.Chaos;

/// <summary>The flow "count" as the host has it, but its step takes time while a file says so. This program is its host, too.</summary>
internal sealed class SlowCountFlow : IFlow
{
    private readonly Option<string> _input = new("--input") { Description = "the topic to read", HelpName = "TOPIC", Required = true };
    private readonly Option<string> _output = new("--output") { Description = "the topic to write", HelpName = "TOPIC", Required = true };
    private readonly Option<string> _slow = new("--slow") { Description = "while this file is there, its numbers N, M and K make each Nth record take M ms, and each that is none of a backlog K ms", HelpName = "FILE", Required = true };

    public string Id => "count";

    public IEnumerable<Option> Options => [_input, _output, _slow];

    public Dataflow Build(FlowArguments arguments)
    {
        Slowness slowness = new(arguments.Value(_slow)!);
        Dataflow flow = new(Id);
        flow
            .Input("in", Topic.Keyed(arguments.Value(_input)!, Serde.Bytes, Serde.Bytes))
            .StatefulMap("count", (ref long? count, byte[] value) =>
            {
                slowness.Record(value);
                return (count = (count ?? 0) + 1).Value;
            })
            .Output("out", Topic.Keyed(arguments.Value(_output)!, Serde.Bytes, Serde.Int64));
        return flow;
    }

    public Task PrepareAsync(FlowRun run, CancellationToken stop)
    {
        run.CreateOutputs(run.RequireTopic(run.Arguments.Value(_input)!, "The program of the chaos tests makes it."));
        return Task.CompletedTask;
    }
}

/// <summary>A file by which this program makes a step of another process slow, for as long as it is there.</summary>
internal sealed class Slowness(string file)
{
    private static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(200);

    private static readonly byte[] Backlog = Encoding.ASCII.GetBytes(Load.BacklogValue);

    private long _looked;
    private long _records;
    private int _every;
    private int _milliseconds;
    private int _millisecondsOfOthers;
    private bool _told;

    /// <summary>Written by the slow process once it is.</summary>
    public static string Seen(string file) => $"{file}.seen";

    /// <summary>Each Nth record takes some time, and each that is none of a backlog.</summary>
    public static void Begin(string file, int every, int milliseconds, int millisecondsOfOthers = 0)
    {
        File.Delete(Seen(file));
        File.WriteAllText($"{file}.new", string.Create(CultureInfo.InvariantCulture, $"{every} {milliseconds} {millisecondsOfOthers}"));
        File.Move($"{file}.new", file, overwrite: true);
    }

    public static void End(string file) => File.Delete(file);

    /// <summary>Called for each record, by any worker.</summary>
    public void Record(ReadOnlySpan<byte> value)
    {
        long now = Stopwatch.GetTimestamp();
        long looked = Volatile.Read(ref _looked);
        if (Stopwatch.GetElapsedTime(looked, now) > LookInterval && Interlocked.CompareExchange(ref _looked, now, looked) == looked)
        {
            Look();
        }

        int every = Volatile.Read(ref _every);
        if (every == 0)
        {
            return;
        }

        if (Interlocked.Increment(ref _records) % every == 0)
        {
            Thread.Sleep(_milliseconds);
        }
        else if (_millisecondsOfOthers > 0 && !value.StartsWith(Backlog))
        {
            Thread.Sleep(_millisecondsOfOthers);
        }
    }

    private void Look()
    {
        try
        {
            string[] numbers = File.ReadAllText(file).Split(' ');
            _millisecondsOfOthers = int.Parse(numbers[2], CultureInfo.InvariantCulture);
            _milliseconds = int.Parse(numbers[1], CultureInfo.InvariantCulture);
            Volatile.Write(ref _every, int.Parse(numbers[0], CultureInfo.InvariantCulture));
            if (!_told)
            {
                File.WriteAllText(Seen(file), "");
                _told = true;
            }
        }
        catch (FileNotFoundException)
        {
            Volatile.Write(ref _every, 0);
            _told = false;
        }
    }
}
