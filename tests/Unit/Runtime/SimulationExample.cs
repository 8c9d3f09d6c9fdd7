using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>The example of <c>docs/simulation.md</c>.</summary>
public class SimulationExample
{
    // example
    [Fact]
    public void OrderTotalsAreExactWhateverHappens()
    {
        KeyedTopic<string, int> orders = Topic.Keyed<string, int>("orders");
        KeyedTopic<string, long> totals = Topic.Keyed<string, long>("order-totals");
        Dataflow flow = new("order-totals");
        flow.Input("orders", orders)
            .StatefulMap("total", (ref long? total, int amount) => (total = (total ?? 0) + amount).Value)
            .Output("totals", totals);

        Simulation simulation = new(flow, Push, Check);
        for (int seed = 0; seed < 10; seed++)
        {
            SimulationReport report = simulation.Run(seed);
            Assert.True(report.Breach is null, $"seed {seed}: {report.Breach}\n{string.Join("\n", report.Events)}");
        }

        void Push(Random random, SimulationTopics topics) => topics.Push(orders, $"customer-{random.Next(5)}", random.Next(100));

        void Check(SimulationTopics topics)
        {
            foreach (IGrouping<string, int> customer in topics.Records(orders).GroupBy(order => order.Key, order => order.Value))
            {
                long sum = 0;
                Assert.Equal(
                    customer.Select(amount => sum += amount),
                    topics.Records(totals).Where(total => total.Key == customer.Key).Select(total => total.Value));
            }
        }
    }
    // end

    [Fact]
    public void ThePageShowsTheExampleThatRuns()
    {
        string source = Repository.Read("tests/Unit/Runtime/SimulationExample.cs");
        string[] lines = source.Split("    // example\n")[1].Split("    // end\n")[0].TrimEnd().Split('\n');
        Assert.Contains(string.Join('\n', lines.Select(line => line.Length > 4 ? line[4..] : "")), Repository.Read("docs/simulation.md"));
    }
}
