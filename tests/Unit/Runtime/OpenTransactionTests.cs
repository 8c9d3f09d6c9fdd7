using System.Text;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>A producer has a transaction open in an input: what lies behind it is there, and cannot be read yet.</summary>
public sealed class OpenTransactionTests : IDisposable
{
    private static readonly KeyedTopic<string, string> In = Topic.Keyed<string, string>("in");
    private static readonly KeyedTopic<string, string> Out = Topic.Keyed<string, string>("out");
    private static readonly TopicPartition Input = new("in", 0);

    private readonly Cluster _cluster;
    private readonly TransactionalWriter _producer;
    private readonly List<string> _warnings = [];

    public OpenTransactionTests()
    {
        Dataflow flow = new("held");
        flow.Input("in", In).Output("write", Out);
        _cluster = new(flow, shards: 1)
        {
            Says = (_, line) =>
            {
                if (line.Contains("a producer has a transaction open there", StringComparison.Ordinal))
                {
                    _warnings.Add(line);
                }
            },
        };
        _cluster.Broker.Produce("in", "a"u8.ToArray(), "first"u8.ToArray(), partition: 0);
        _producer = _cluster.Broker.CreateWriter("a producer", TimeSpan.FromMinutes(15));
        _producer.Initialize();
        _producer.Begin();
        Append("in the transaction");
        _cluster.Broker.Produce("in", "a"u8.ToArray(), "behind it"u8.ToArray(), partition: 0);
    }

    public void Dispose()
    {
        _producer.Dispose();
        _cluster.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ARunWaitsForIt(bool isCommitted)
    {
        Cluster.Member member = _cluster.Add("one");
        _cluster.End();
        _cluster.Until(() => member.Instance!.Status.RecordsIn == 1, "what can be read is read");
        for (int i = 0; i < 50; i++)
        {
            _cluster.Round();
        }

        Assert.False(member.IsDone);

        if (isCommitted)
        {
            _producer.Commit();
        }
        else
        {
            _producer.Abort();
        }

        _cluster.Until(() => member.IsDone, "the run is done");

        Assert.Equal(isCommitted ? ["first", "in the transaction", "behind it"] : ["first", "behind it"], _cluster.Outputs(Out).Select(output => output.Value));
    }

    [Fact]
    public void WhatLiesBehindItIsLagAndIsSaid()
    {
        Cluster.Member member = _cluster.Add("one");
        _cluster.Until(() => _cluster.Outputs(Out).Count() == 1, "what can be read is processed");
        Look(member, 1);
        Assert.Equal(2, member.Instance!.Status.Shards[0].Lag);

        Look(member, 4);
        Assert.Empty(_warnings);
        Look(member, 6);
        string warning = Assert.Single(_warnings);
        Assert.StartsWith("Step in cannot read in[0] past offset 1 of 3, since ", warning, StringComparison.Ordinal);
        Assert.EndsWith("abort --topic in --partition 0 --start-offset 1'.", warning, StringComparison.Ordinal);

        _producer.Commit();
        _cluster.Until(() => _cluster.Outputs(Out).Count() == 3, "all is processed");
        Look(member, 10);
        Assert.Equal(0, member.Instance!.Status.Shards[0].Lag);
        Assert.Single(_warnings);
    }

    /// <summary>Lag is looked at every 5 s.</summary>
    private void Look(Cluster.Member member, int times)
    {
        for (int i = 0; i < times; i++)
        {
            _cluster.Clock.Advance(TimeSpan.FromSeconds(5));
            while (member.Instance!.LagWatch.Step())
            {
            }
        }
    }

    private void Append(string value) => _producer.Append(Input, new(0, "a"u8, true, Encoding.UTF8.GetBytes(value), true, Headers.Empty));
}
