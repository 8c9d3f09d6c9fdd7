using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Confluent.Kafka;
using Confluent.Kafka.Admin;

namespace KStreamSharp.Tests.Chaos;

/// <summary>
/// When all else has been checked: a topic that an application needs is deleted and made anew while its instances work. Nobody
/// can go on from there, so every instance must end, refuse to start again, name the topic, and have put out nothing wrong.
/// </summary>
internal sealed class RemadeTopic(World world)
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    public Invariant Refused { get; } = new("I19", "a topic deleted and made anew: each instance ends, refuses to start and names it; no output is wrong");

    public async Task<IReadOnlyList<string>> RunAsync(PlannedFault plan)
    {
        Application[] counting = [.. world.Applications.Where(app => app.Flow != "copy" && app.Guarantee == Guarantee.ExactlyOnce)];
        if (counting.Length == 0)
        {
            return [];
        }

        Application app = counting[plan.Target % counting.Length];
        string[] topics = [app.Changelog, .. app.Sources];
        string topic = topics[plan.Variant % topics.Length];
        using (Load load = new(world.Address, app.Input, plan.Variant))
        {
            load.Start();
            app.Instances.ForEach(instance => instance.Start(willRefuse: true));
            foreach (HostInstance instance in app.Instances)
            {
                if (!await world.WorksAsync(instance, Limit))
                {
                    return [];
                }
            }

            load.Stop(Limit);
        }

        world.Say($"{topic} is deleted and made anew while {string.Join(" and ", app.Instances)} run.");
        await world.Admin.DeleteTopicsAsync([topic]);
        await MakeAsync(topic, app.Partitions, topic == app.Changelog);
        using (Load load = new(world.Address, app.Input, plan.Variant + 1))
        {
            load.Start();
            await RefuseAsync(app, topic, "while it ran");
            load.Stop(Limit);
        }

        app.Instances.ForEach(instance => instance.Start(willRefuse: true));
        await RefuseAsync(app, topic, "at its next start");
        CheckCounts(app);
        return [$"{(topic == app.Changelog ? "the changelog" : topic == app.Input ? "the input" : "a repartition topic")} was made anew"];
    }

    private async Task RefuseAsync(Application app, string topic, string when)
    {
        foreach (HostInstance instance in app.Instances)
        {
            int? code = await instance.ExitAsync(Limit);
            string words = instance.Current!.LastWords;
            Refused.Require(
                code is (int)ExitCode.Broker or (int)ExitCode.State && words.Contains(topic, StringComparison.Ordinal),
                () => $"{instance}, {topic}, {when}: {(code is null ? $"still there after {Limit.TotalSeconds:0} s" : $"ended with {code}: {words}")}");
            await instance.KillAsync();
        }
    }

    private async Task MakeAsync(string topic, int partitions, bool isCompacted)
    {
        TopicSpecification specification = new() { Name = topic, NumPartitions = partitions, ReplicationFactor = -1, Configs = new() { ["cleanup.policy"] = isCompacted ? "compact" : "delete", ["retention.ms"] = "-1" } };
        for (DateTime began = DateTime.UtcNow; ;)
        {
            try
            {
                await world.Admin.CreateTopicsAsync([specification]);
                return;
            }
            catch (CreateTopicsException error) when (error.Results.Exists(result => result.Error.Code == ErrorCode.TopicAlreadyExists) && DateTime.UtcNow - began < Limit)
            {
                // The old one is not gone yet, or an instance was faster: then it is made anew all the same.
                await Task.Delay(200, world.Stop);
                if (error.Results[0].Error.Code == ErrorCode.TopicAlreadyExists && DateTime.UtcNow - began > TimeSpan.FromSeconds(10))
                {
                    return;
                }
            }
        }
    }

    /// <summary>Whatever was lost with the topic: the counts of each key go 1, 2, 3 ... without a gap and a repeat.</summary>
    private void CheckCounts(Application app)
    {
        Dictionary<string, long> last = [];
        using Topics topics = new(world.Address);
        topics.Scan(app.Output, app.Partitions, record =>
        {
            string key = Encoding.UTF8.GetString(record.Message.Key);
            long count = BinaryPrimitives.ReadInt64BigEndian(record.Message.Value);
            long before = last.GetValueOrDefault(key);
            Refused.Require(count == before + 1, () => string.Create(CultureInfo.InvariantCulture, $"{app}, key {key}: count {count} after {before}"));
            last[key] = count;
        });
    }
}
