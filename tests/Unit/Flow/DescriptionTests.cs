using Xunit;

namespace KStreamSharp.Tests.Flow;

/// <summary>What a flow says of itself: steps, topics, states, and where records are repartitioned, and why.</summary>
public class DescriptionTests
{
    [Fact]
    public void AsText() => Assert.Equal(
        """
        flow shop
          orders             input         topic orders
          lines              input         topic lines
          split              flat_map      from lines
          long               branch        from split
          by-word            key_on        from long:trues
          total.repartition  repartition   from by-word; topic shop-total.repartition; because step 'by-word' changed the key, and step 'total' needs all values of a key in one shard
          total              stateful_map  from total.repartition; state int
          end                output        from total; topic totals
          both               merge         from orders, total
          batches            collect       from both; state List<int>
          out                output        from batches; topic batches
          pairs              join          from orders, total; state sides
          seen               inspect       from pairs

        """.ReplaceLineEndings("\n"),
        Shop().Describe().ToText());

    [Fact]
    public void RepartitionTopicsAreNamedAfterTheApplication() =>
        Assert.Contains("topic prod-total.repartition;", Shop().Describe("prod").ToText(), StringComparison.Ordinal);

    [Fact]
    public void AsJson() => Assert.Equal(
        """
        {
          "flow": "small",
          "steps": [
            {
              "id": "in",
              "operator": "input",
              "upstreams": [],
              "topic": "in",
              "state": null,
              "reason": null
            },
            {
              "id": "sum",
              "operator": "fold_final",
              "upstreams": [
                "in"
              ],
              "topic": null,
              "state": "(long, Dictionary<string, int?>)",
              "reason": null
            },
            {
              "id": "none",
              "operator": "raises",
              "upstreams": [
                "sum"
              ],
              "topic": null,
              "state": null,
              "reason": null
            }
          ]
        }
        """.ReplaceLineEndings("\n"),
        Small().Describe().ToJson().ReplaceLineEndings("\n"));

    [Fact]
    public void AsMermaid() => Assert.Equal(
        """
        flowchart TD
          subgraph flow_shop["shop"]
            step_orders["orders<br/>input"]
            step_lines["lines<br/>input"]
            step_split["split<br/>flat_map"]
            step_long["long<br/>branch"]
            step_by_2dword["by-word<br/>key_on"]
            step_total_2erepartition["total.repartition<br/>repartition<br/>because step 'by-word' changed the key, and step 'total' needs all values of a key in one shard"]
            step_total[["total<br/>stateful_map<br/>state int"]]
            step_end["end<br/>output"]
            step_both["both<br/>merge"]
            step_batches[["batches<br/>collect<br/>state List&lt;int&gt;"]]
            step_out["out<br/>output"]
            step_pairs[["pairs<br/>join<br/>state sides"]]
            step_seen["seen<br/>inspect"]
          end
          topic_orders[("orders")] --> step_orders
          topic_lines[("lines")] --> step_lines
          step_lines --> step_split
          step_split --> step_long
          step_long -- trues --> step_by_2dword
          step_by_2dword --> step_total_2erepartition
          step_total_2erepartition --> topic_shop_2dtotal_2erepartition[("shop-total.repartition")]
          step_total_2erepartition --> step_total
          step_total --> step_end
          step_end --> topic_totals[("totals")]
          step_orders --> step_both
          step_total --> step_both
          step_both --> step_batches
          step_batches --> step_out
          step_out --> topic_batches[("batches")]
          step_orders --> step_pairs
          step_total --> step_pairs
          step_pairs --> step_seen

        """.ReplaceLineEndings("\n"),
        Shop().Describe().ToMermaid());

    [Fact]
    public void ARepartitionSaysWhy()
    {
        Dataflow flow = new("why");
        Stream<string> lines = flow.Input("lines", Topic.Values<string>("lines"));
        lines.CountFinal("count", line => line).Raises("a");
        lines.Redistribute("spread").Raises("b");
        KeyedStream<string, int> orders = flow.Input("orders", Topic.Keyed<string, int>("orders"));
        orders.Repartition("asked").Raises("c");
        orders.KeyOn("other", (_, order) => $"{order}").Join("meet", orders).Raises("d");

        Assert.Equal(
            [
                ("count.repartition", "step 'count' changed the key, and step 'count' needs all values of a key in one shard"),
                ("spread.repartition", "step 'spread' spreads the items over all shards"),
                ("asked.repartition", "step 'asked' asks for it"),
                ("meet.0-repartition", "step 'other' changed the key, and step 'meet' needs all values of a key in one shard"),
            ],
            flow.Describe().Steps.Where(step => step.Reason is not null).Select(step => (step.Id, step.Reason!)));
    }

    [Fact]
    public void StatelessStepsCostNoTopic()
    {
        Dataflow flow = new("stateless");
        flow.Input("orders", Topic.Keyed<string, int>("orders"))
            .KeyOn("other", (key, order) => $"{key}{order}")
            .MapValue("double", order => order * 2)
            .Filter("some", (_, order) => order > 0)
            .KeyRemove("values")
            .Output("out", Topic.Values<int>("out"));
        Assert.Equal(["orders", "out"], flow.Describe().Steps.Select(step => step.Topic).OfType<string>());
    }

    private static Dataflow Small()
    {
        Dataflow flow = new("small");
        flow.Input("in", Topic.Keyed<string, int>("in"))
            .FoldFinal("sum", () => (Sum: 0L, Seen: new Dictionary<string, int?>()), (all, order) => (all.Sum + order, all.Seen))
            .Raises("none");
        return flow;
    }

    private static Dataflow Shop()
    {
        Dataflow flow = new("shop");
        KeyedStream<string, int> orders = flow.Input("orders", Topic.Keyed<string, int>("orders"));
        (Stream<string> longer, _) = flow.Input("lines", Topic.Values<string>("lines")).FlatMap("split", line => line.Split(' ')).Branch("long", word => word.Length > 3);
        KeyedStream<string, int> total = longer.KeyOn("by-word", word => word).StatefulMap("total", (ref int? count, string _) => (count = (count ?? 0) + 1).Value);
        total.Output("end", Topic.Keyed<string, int>("totals"));
        orders.Merge("both", total).Collect("batches", TimeSpan.FromSeconds(1), 10).Output("out", Topic.Keyed<string, IReadOnlyList<int>>("batches"));
        orders.Join("pairs", total).Inspect("seen");
        return flow;
    }
}
