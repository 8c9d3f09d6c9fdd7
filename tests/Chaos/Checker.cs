using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Confluent.Kafka;
using ClientPartition = Confluent.Kafka.TopicPartition;

namespace KStreamSharp.Tests.Chaos;

/// <summary>An invariant: what was looked at, and what was found to be wrong.</summary>
internal sealed class Invariant(string id, string what)
{
    public string Id { get; } = id;

    public string What { get; } = what;

    public long Looked { get; set; }

    public List<string> Breaches { get; } = [];

    /// <summary>What a person may want to know beside it.</summary>
    public string Note { get; set; } = "";

    public void Require(bool holds, Func<string> breach)
    {
        Looked++;
        if (!holds)
        {
            Breaches.Add(breach());
        }
    }
}

/// <summary>
/// Looks at the raw topics, the folders and the logs when all is over, and says what is not as it must be. Knows the flows by
/// their description only: it computes by itself what they must have put out.
/// </summary>
internal sealed partial class Checker(World world, Standstill standstill) : IDisposable
{
    private static readonly List<string> Numbers = [];

    private readonly Dictionary<string, int> _wipes = [];
    private readonly Topics _topics = new(world.Address);

    public Invariant Completeness { get; } = new("I1", "outputs = what the inputs ask for: nothing lost, nothing doubled, nothing strange");

    public Invariant Order { get; } = new("I2", "copies of a key in the order of the input");

    public Invariant Running { get; } = new("I3", "running counts of each key: 1, 2, 3 ... n");

    public Invariant Positions { get; } = new("I4", "committed positions = the input's end; nothing beyond, nothing left");

    public Invariant Settled { get; } = new("I5", "a reader of committed records comes to the end of every topic: no transaction hangs");

    public Invariant State { get; } = new("I6", "the changelog replayed = the local folder, byte for byte");

    public Invariant Owner { get; } = new("I8", "each shard: owner epochs never go down, and each has one writer");

    public Invariant Restores { get; } = new("I9", "restores begin and end no earlier than the one before");

    public Invariant Wipes { get; } = new("wipe", "local state is wiped for damage, a truncated changelog or a better snapshot, never for a crash");

    public Invariant Alive { get; } = new("I13", "after the last fault every instance works, lag 0; none ended without an excuse");

    public Invariant Bounded { get; } = new("I14", "memory and open files in the last third as in the first");

    public Invariant CleanEnd { get; } = new("I15", "SIGTERM: exit 0 within 20 s; the next start restores nothing");

    public Invariant Fired { get; } = new("I16", "each kind of fault was seen to happen");

    public Invariant Repeats { get; } = new("I17", "at least once: nothing skipped, repeats only of what was put out before");

    public IReadOnlyList<Invariant> All => [Completeness, Order, Running, Positions, Settled, State, Owner, Restores, Wipes, Alive, Bounded, CleanEnd, Fired, Repeats, standstill.Moving, world.RemadeTopic.Refused];

    public void Dispose() => _topics.Dispose();

    /// <summary>How many records of its sources an application has not processed yet; of a repartition topic only once its input is read.</summary>
    public long Behind(Application app)
    {
        ClientPartition[] inputs = Partitions(app.Input, app.Partitions);
        long behind = Topics.Positions(world.Address, app.Id, inputs).Zip(inputs).Sum(pair => _topics.End(pair.Second) - Math.Max(pair.First, 0));
        if (behind > 0 || app.Repartition is not { } repartition)
        {
            return behind;
        }

        // Its ends are those of transactions, too, so what is left must be read.
        ClientPartition[] partitions = Partitions(repartition, app.Partitions);
        long[] positions = Topics.Positions(world.Address, app.Id, partitions);
        foreach ((ClientPartition partition, long position) in partitions.Zip(positions))
        {
            _topics.Scan(partition, position < 0 ? null : position, _ => behind++);
        }

        return behind;
    }

    /// <summary>
    /// The shards of which no folder has come to the changelog's end: an owner that is stopped in the midst of a restore leaves
    /// it there, and the one before it may have lost what it had not flushed.
    /// </summary>
    public int[] ShardsBehind(Application app) => [.. _topics.Read(app.Changelog, app.Partitions)
        .Select((changelog, shard) => (Last: changelog.Records.LastOrDefault(record => record.Message.Key[0] == 0)?.Offset.Value ?? -1, shard))
        .Where(one => one.Last >= 0 && !app.Instances.Exists(instance => !instance.IsDamaged && Position(instance, one.shard) > one.Last))
        .Select(one => one.shard)];

    public void CheckTopics(long written)
    {
        Application first = world.Applications[0];
        Dictionary<Application, Dictionary<string, List<string>>> models = world.Applications.ToDictionary(app => app, _ => new Dictionary<string, List<string>>());
        HashSet<string> numbers = [];
        long records = 0;
        IReadOnlyList<PartitionEnds> input = _topics.Scan(first.Input, first.Partitions, record =>
        {
            records++;
            numbers.Add(Text(record.Message.Value));
            foreach (Application app in world.Applications)
            {
                AddToModel(app, models[app], record);
            }
        });
        Completeness.Require(
            numbers.Count == written && records == written,
            () => $"the input itself is wrong: {written} records were written, {records} are there, {numbers.Count} different");
        foreach (Application app in world.Applications)
        {
            IReadOnlyList<PartitionEnds> output = CheckOutputs(app, models[app]);
            CheckPositions(app, input);
            CheckSettled(app, output);
            CheckState(app);
            CheckOwners(app);
            models.Remove(app);
        }
    }

    public void CheckLogs()
    {
        foreach (HostInstance instance in world.Instances)
        {
            CheckRestores(instance);
            CheckWipes(instance);
            CheckBounds(instance);
        }

        foreach (Application app in world.Applications)
        {
            CheckEnds(app);
        }

        foreach (OrderlyEnd end in world.OrderlyEnds)
        {
            bool known = end.ExitCode == 0 || (end.InTrouble && end.ExitCode is (int)ExitCode.Broker or (int)ExitCode.Stalled);
            CleanEnd.Require(known, () => $"{end.Instance} ended with {end.ExitCode?.ToString(CultureInfo.InvariantCulture) ?? "nothing in 45 s"} after SIGTERM at {end.Asked:HH:mm:ss}{(end.InTrouble ? ", the broker being away around then" : "")}: {end.Instance.Lives[end.Life].LastWords}");
            CleanEnd.Require(end.InTrouble || end.Took < TimeSpan.FromSeconds(20), () => $"{end.Instance} took {end.Took.TotalSeconds:0.0} s to end after SIGTERM at {end.Asked:HH:mm:ss}");
        }

        Alive.Note += Excuses(world.UnexpectedEnds);
        foreach (UnexpectedEnd end in world.UnexpectedEnds)
        {
            Alive.Require(end.Excuse is not null, () => $"{end.Instance} ended by itself at {end.At:HH:mm:ss} with {end.ExitCode}: {end.LastWords}");
        }
    }

    private long Position(HostInstance instance, int shard)
    {
        string folder = Path.Combine(instance.AppFolder, $"shard-{shard}");
        return Directory.Exists(folder) ? Folders.Position(folder, Path.Combine(world.Folder, "look")) : 0;
    }

    private static string Excuses(IEnumerable<UnexpectedEnd> ends) => string.Join(
        ", ", ends.Where(end => end.Excuse is not null).GroupBy(end => $"with {end.ExitCode}, {end.Excuse}").Select(kind => $"{kind.Count()} ended {kind.Key}"));

    private static ClientPartition[] Partitions(string topic, int count) => [.. Enumerable.Range(0, count).Select(partition => new ClientPartition(topic, partition))];

    private static string Text(byte[] bytes) => Encoding.UTF8.GetString(bytes);

    /// <summary>"r" and the FNV-1a hash of the key modulo 65,536.</summary>
    private static string NewKey(byte[] key) => $"r{key.Aggregate(2166136261u, (hash, one) => (hash ^ one) * 16777619u) % 65536}";

    [GeneratedRegex(@"^Shard (\d+): local state at offset (\d+), ")]
    private static partial Regex LocalForm();

    [GeneratedRegex(@"^Shard (\d+): restored (\d+) changelog records up to offset (\d+) ")]
    private static partial Regex RestoredForm();

    /// <summary>What each key must put out, in order.</summary>
    private static void AddToModel(Application app, Dictionary<string, List<string>> model, ConsumeResult<byte[], byte[]> record)
    {
        string key = app.Flow == "rekey-count" ? NewKey(record.Message.Key) : Text(record.Message.Key);
        List<string> outputs = OfKey(model, key);
        outputs.Add(app.Flow == "copy" ? Whole(record) : Number(outputs.Count + 1));
    }

    private static void AddToOutputs(Application app, Dictionary<string, List<string>> outputs, ConsumeResult<byte[], byte[]> record) =>
        OfKey(outputs, Text(record.Message.Key)).Add(app.Flow == "copy" ? Whole(record) : Number(BinaryPrimitives.ReadInt64BigEndian(record.Message.Value)));

    private static List<string> OfKey(Dictionary<string, List<string>> all, string key) => all.TryGetValue(key, out List<string>? known) ? known : all[key] = [];

    /// <summary>The same object each time: there are millions of outputs, of some thousand counts.</summary>
    private static string Number(long count)
    {
        const int kept = 100_000;
        if (count is < 0 or >= kept)
        {
            return count.ToString(CultureInfo.InvariantCulture);
        }

        while (Numbers.Count <= count)
        {
            Numbers.Add(Numbers.Count.ToString(CultureInfo.InvariantCulture));
        }

        return Numbers[(int)count];
    }

    /// <summary>All that a copy must keep, the partition too.</summary>
    private static string Whole(ConsumeResult<byte[], byte[]> record) =>
        $"{record.Partition.Value}/{Text(record.Message.Value)}/{record.Message.Timestamp.UnixTimestampMs}/{string.Join(',', record.Message.Headers.Select(header => $"{header.Key}={Text(header.GetValueBytes())}"))}";

    private IReadOnlyList<PartitionEnds> CheckOutputs(Application app, Dictionary<string, List<string>> model)
    {
        Dictionary<string, List<string>> outputs = [];
        IReadOnlyList<PartitionEnds> output = _topics.Scan(app.Output, app.Partitions, record => AddToOutputs(app, outputs, record));
        int repeated = 0;
        foreach (string strange in outputs.Keys.Except(model.Keys))
        {
            Completeness.Require(false, () => $"{app}: outputs for key {strange}, which no input has");
        }

        foreach ((string key, List<string> wanted) in model)
        {
            List<string> found = outputs.GetValueOrDefault(key) ?? [];
            if (app.Guarantee == Guarantee.ExactlyOnce)
            {
                Completeness.Require(found.Count == wanted.Count && found.ToHashSet().SetEquals(wanted), () => $"{app}, key {key}: {wanted.Count} outputs are asked for, there are {found.Count}, {found.Distinct().Count()} different: {Difference(wanted, found)}");
                (app.Flow == "copy" ? Order : Running).Require(found.SequenceEqual(wanted), () => $"{app}, key {key}: {Difference(wanted, found)}");
                continue;
            }

            repeated += found.Count - wanted.Count;
            Completeness.Require(wanted.ToHashSet().SetEquals(found), () => $"{app}, key {key}: {Difference(wanted, [.. found.Distinct()])}");
            Repeats.Require(found.Distinct().SequenceEqual(wanted), () => $"{app}, key {key}: the first appearance of each is out of order: {Difference(wanted, [.. found.Distinct()])}");
        }

        Completeness.Note += $"{app}: {outputs.Values.Sum(found => found.Count)} outputs of {model.Values.Sum(wanted => wanted.Count)} inputs, {model.Count} keys. ";
        if (app.Guarantee == Guarantee.AtLeastOnce)
        {
            Repeats.Note += $"{app}: {repeated} outputs repeated. ";
        }

        return output;
    }

    private static string Difference(List<string> wanted, List<string> found)
    {
        int at = wanted.Zip(found).TakeWhile(pair => pair.First == pair.Second).Count();
        return $"from place {at} on {Some(wanted)} is asked for, there is {Some(found)}";

        string Some(List<string> list) => $"[{string.Join(' ', list.Skip(Math.Max(0, at - 1)).Take(6))}{(list.Count > at + 5 ? " ..." : "")}] of {list.Count}";
    }

    private void CheckPositions(Application app, IReadOnlyList<PartitionEnds> input)
    {
        long[] positions = Topics.Positions(world.Address, app.Id, Partitions(app.Input, app.Partitions));
        for (int partition = 0; partition < app.Partitions; partition++)
        {
            long end = input[partition].End;
            Positions.Require(positions[partition] == end || (end == 0 && positions[partition] <= 0), () => $"{app}: partition {partition} of the input ends at {end}, the group is at {positions[partition]}");
        }
    }

    private void CheckSettled(Application app, IReadOnlyList<PartitionEnds> output)
    {
        foreach (string topic in app.Written)
        {
            IReadOnlyList<PartitionEnds> partitions = topic == app.Output ? output : _topics.Scan(topic, app.Partitions, _ => { });
            foreach ((PartitionEnds ends, int partition) in partitions.Select((ends, partition) => (ends, partition)))
            {
                Settled.Require(ends.Position == ends.End, () => $"{topic}[{partition}] ends at {ends.End}, a reader of committed records at {ends.Position}");
            }
        }
    }

    private void CheckState(Application app)
    {
        int same = 0;
        foreach ((PartitionContent changelog, int shard) in _topics.Read(app.Changelog, app.Partitions).Select((content, shard) => (content, shard)))
        {
            Dictionary<string, string> replayed = [];
            HashSet<string> touched = [];
            HashSet<string> steps = [];
            long last = -1;
            foreach (ConsumeResult<byte[], byte[]> record in changelog.Records)
            {
                byte[] key = record.Message.Key;
                if (key[0] == 0)
                {
                    last = record.Offset.Value;
                    continue;
                }

                string step = Encoding.UTF8.GetString(key, 1, key[0]);
                string name = $"{step}/{Convert.ToHexString(key.AsSpan(1 + key[0]))}";
                steps.Add(step);
                touched.Add(name);
                if (record.Message.Value is null)
                {
                    replayed.Remove(name);
                }
                else
                {
                    replayed[name] = Convert.ToHexString(record.Message.Value);
                }
            }

            State.Note = $"{State.Note}{(shard == 0 ? $"{app}: of {changelog.End} offsets of its changelog's first partition {changelog.Records.Count} records are left. " : "")}";
            int current = 0;
            foreach (HostInstance instance in app.Instances.Where(instance => !instance.IsDamaged))
            {
                string folder = Path.Combine(instance.AppFolder, $"shard-{shard}");
                if (Directory.Exists(folder) && Compare(folder) is { } difference)
                {
                    current++;
                    State.Require(difference.Length == 0, () => $"{app}, shard {shard}, folder of {instance}: {difference}");
                }
            }

            same += current;
            State.Require(current > 0 || changelog.End == 0, () => $"{app}, shard {shard}: no folder has come to the changelog's end ({changelog.End}, last commit at {last}) after an orderly end");

            string? Compare(string folder) => Folders.Look(folder, Path.Combine(world.Folder, "look"), store =>
            {
                if ((store.ReadMarker()?.ChangelogPosition ?? 0) <= last)
                {
                    // An earlier owner's: it holds less, as it should.
                    return null;
                }

                Dictionary<string, string> local = Folders.States(store, steps);
                string[] wrong = [.. replayed.Where(state => local.GetValueOrDefault(state.Key) != state.Value).Select(state => state.Key)
                    .Concat(local.Keys.Where(name => !replayed.ContainsKey(name) && (touched.Contains(name) || changelog.Start == 0)))];
                return wrong.Length == 0 ? "" : $"{wrong.Length} states differ, the first is {wrong[0]}: {local.GetValueOrDefault(wrong[0]) ?? "nothing"}, in the changelog {replayed.GetValueOrDefault(wrong[0]) ?? "nothing"}";
            });
        }

        State.Note += $"{same} folders compared. ";
    }

    private void CheckOwners(Application app)
    {
        int takeovers = 0;
        foreach (IGrouping<int, SeenMarker> shard in world.Watch.Markers(app).GroupBy(marker => marker.Shard))
        {
            SeenMarker? before = null;
            foreach (SeenMarker marker in shard)
            {
                Owner.Require(before is null || marker.Epoch >= before.Epoch, () => $"{app}, shard {shard.Key}: owner epoch {marker.Epoch} at offset {marker.Offset} after {before!.Epoch} at {before.Offset}");
                Owner.Require(
                    before is null || marker.Epoch != before.Epoch || marker.Writer == before.Writer,
                    () => $"{app}, shard {shard.Key}: owner epoch {marker.Epoch} has two writers, {before!.Writer} at {before.Offset} and {marker.Writer} at {marker.Offset}");
                takeovers += before is not null && marker.Epoch > before.Epoch ? 1 : 0;
                before = marker;
            }
        }

        Owner.Note += $"{app}: {takeovers} takeovers. ";
    }

    /// <summary>The position at which a folder's restore begins, and the end up to which it goes, only grow; a fault that touches the folder, or a wipe that is told, allows one step back.</summary>
    private void CheckRestores(HostInstance instance)
    {
        Dictionary<int, (long Position, DateTime At)> began = [];
        Dictionary<int, (long Position, DateTime At)> ended = [];
        foreach (LogLine line in instance.Lines)
        {
            if (line.Id == 300 && LocalForm().Match(line.Text) is { Success: true } local)
            {
                See(began, local.Groups[1].Value, local.Groups[2].Value, line.At, "begins", mayGoBack: true);
            }
            else if (line.Id == 302 && RestoredForm().Match(line.Text) is { Success: true } restored)
            {
                See(ended, restored.Groups[1].Value, restored.Groups[3].Value, line.At, "ends", mayGoBack: false);
            }
        }

        void See(Dictionary<int, (long Position, DateTime At)> seen, string shardText, string positionText, DateTime at, string what, bool mayGoBack)
        {
            int shard = int.Parse(shardText, CultureInfo.InvariantCulture);
            long position = long.Parse(positionText, CultureInfo.InvariantCulture);
            if (seen.TryGetValue(shard, out (long Position, DateTime At) before))
            {
                bool touched = mayGoBack && (instance.FolderTouched.Exists(moment => moment >= before.At && moment <= at)
                    || instance.Lines.Any(line => line.Id is 301 or 306 or 308 && line.At >= before.At && line.At <= at));
                Restores.Require(touched || position >= before.Position, () => $"{instance}, shard {shard}: a restore {what} at offset {position} at {at:HH:mm:ss.fff}, one before it at {before.Position} at {before.At:HH:mm:ss.fff}");
            }

            seen[shard] = (position, at);
        }
    }

    private void CheckWipes(HostInstance instance)
    {
        Wipes.Looked++;
        foreach (LogLine wipe in instance.Lines.Where(line => line.Id == 301))
        {
            string? reason = wipe.Text.Contains("it is damaged", StringComparison.Ordinal) && instance.DamagedAt.Exists(at => at <= wipe.At) ? "damage"
                : wipe.Text.Contains("the changelog begins at", StringComparison.Ordinal) && instance.App.NeedsSnapshots ? "a truncated changelog"
                : WipeForSnapshot().IsMatch(wipe.Text) ? "a better snapshot"
                : null;
            Wipes.Require(reason is not null, () => $"{instance} at {wipe.At:HH:mm:ss}: {wipe.Text}");
            if (reason is not null)
            {
                _wipes[reason] = _wipes.GetValueOrDefault(reason) + 1;
            }
        }

        Wipes.Note = string.Join(", ", _wipes.Select(reason => $"{reason.Value} for {reason.Key}"));
    }

    [GeneratedRegex(@"is wiped: snapshot \d+-\d+ of \d+ bytes")]
    private static partial Regex WipeForSnapshot();

    private void CheckBounds(HostInstance instance)
    {
        IReadOnlyList<Sample> samples = instance.Samples;
        if (samples.Count < 12)
        {
            return;
        }

        int third = samples.Count / 3;
        (long memory, int handles) = (samples.Take(third).Max(sample => sample.ResidentBytes) >> 20, samples.Take(third).Max(sample => sample.Handles));
        (long lastMemory, int lastHandles) = (samples.TakeLast(third).Max(sample => sample.ResidentBytes) >> 20, samples.TakeLast(third).Max(sample => sample.Handles));
        Bounded.Require(lastMemory <= memory * 1.5 + 100, () => $"{instance}: {memory} MiB in the first third, {lastMemory} MiB in the last");
        Bounded.Require(lastHandles <= handles * 1.5 + 100, () => $"{instance}: {handles} open files in the first third, {lastHandles} in the last");
        Bounded.Note += $"{instance}: {memory} to {lastMemory} MiB, {handles} to {lastHandles} files. ";
    }

    /// <summary>After an orderly end, and if nobody else had the shard meanwhile, the next start of the same folder has nothing to restore.</summary>
    private void CheckEnds(Application app)
    {
        int restarts = 0;
        (HostInstance Instance, LogLine Line, int Shard, long Records)[] restored = [.. app.Instances
            .SelectMany(instance => instance.Lines.Select(line => (instance, line, match: RestoredForm().Match(line.Text))))
            .Where(one => one.line.Id == 302 && one.match.Success)
            .Select(one => (one.instance, one.line, int.Parse(one.match.Groups[1].Value, CultureInfo.InvariantCulture), long.Parse(one.match.Groups[2].Value, CultureInfo.InvariantCulture)))
            .OrderBy(one => one.line.At)];
        foreach (OrderlyEnd end in world.OrderlyEnds.Where(end => end.Instance.App == app && end.ExitCode == 0))
        {
            foreach (int shard in end.Shards)
            {
                (HostInstance Instance, LogLine Line, int Shard, long Records) next = restored.FirstOrDefault(one => one.Shard == shard && one.Line.At > end.Asked);
                if (next.Instance == end.Instance && next.Line.Life == end.Life + 1 && !end.Instance.FolderTouched.Exists(at => at >= end.Asked && at <= next.Line.At))
                {
                    restarts++;
                    CleanEnd.Require(next.Records == 0, () => $"{end.Instance}, shard {shard}: {next.Records} records restored at {next.Line.At:HH:mm:ss} after the orderly end at {end.Asked:HH:mm:ss}");
                }
            }
        }

        CleanEnd.Note += $"{app}: {restarts} shards came back to their folder. ";
    }
}
