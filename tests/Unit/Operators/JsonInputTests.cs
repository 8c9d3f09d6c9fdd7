using System.Text;
using System.Text.Json;
using KStreamSharp.Testing;
using Xunit;

namespace KStreamSharp.Tests.Operators;

/// <summary>JSON of others that does not fit the type is a bad record, and the message says what to change.</summary>
public class JsonInputTests
{
    private static readonly KeyedTopic<string, string> Out = Topic.Keyed<string, string>("out");

    /// <summary>The value, and what the message says.</summary>
    public static TheoryData<string, string> Bad() => new()
    {
        { """{"item":"tea","amount":5}""", "was missing required properties including: 'Item', 'Amount'" },
        { """{"item":"tea","amount":5}""", "Serde.Json<Order>(JsonSerializerOptions.Web)" },
        { "{}", "Serde.Json<Order>(strict: false)" },
        { """{"Item":"tea"}""", "'Amount'" },
        { """{"Item":null,"Amount":5}""", "Make the member nullable; Serde.Json<Order>(strict: false) accepts the null." },
        { """{"Item":"tea","Amount":5,"Amount":6}""", " Serde.Json<Order>(strict: false) takes the last value." },
        { "null", "the JSON value null" },
        { "\uFEFF{\"Item\":\"tea\",\"Amount\":5}", "a byte order mark (EF BB BF), which JSON does not allow. Have the producer leave it out" },
        { "\0\0\0\u0001\u0002{\"Item\":\"tea\",\"Amount\":5}", "Confluent's frame (0, then schema id 258). Have the producer write plain JSON" },
        { "\0", "'0x00' is an invalid start of a value" },
        { "{tea", "'t' is an invalid start of a property name" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void WhatDoesNotFitIsABadRecord(string json, string why)
    {
        KeyedTopic<string, Order> orders = Topic.Keyed<string, Order>("orders");
        using FlowDriver driver = new(Flow(orders));
        driver.PushBytes("orders", "k"u8.ToArray(), Encoding.UTF8.GetBytes(json));
        StreamException error = Assert.Throws<StreamException>(driver.Run);
        Assert.Equal(ExitCode.BadRecord, error.Code);
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Empty(driver.Outputs(Out));
    }

    [Fact]
    public void WhatFitsIsTaken()
    {
        Assert.Equal("Order { Item = tea, Amount = 5, Note =  }", Read(null, """{"Item":"tea","Amount":5}"""));
        Assert.Equal("Order { Item = tea, Amount = 5, Note = hot }", Read(null, """{"Amount":5,"Note":"hot","Item":"tea","Sugar":[1,{}]}"""));
        Assert.Equal("Order { Item = tea, Amount = 5, Note =  }", Read(Serde.Json<Order>(JsonSerializerOptions.Web), """{"item":"tea","amount":5}"""));
    }

    [Fact]
    public void GapsAreTakenWhereTheSerdeAllowsThem()
    {
        Assert.Equal("Order { Item = , Amount = 0, Note =  }", Read(Serde.Json<Order>(strict: false), "{}"));
        Assert.Equal("Order { Item = , Amount = 5, Note =  }", Read(Serde.Json<Order>(strict: false), """{"Item":null,"Amount":5}"""));
        Assert.Equal("Order { Item = tea, Amount = 6, Note =  }", Read(Serde.Json<Order>(strict: false), """{"Item":"tea","Amount":5,"Amount":6}"""));
        Assert.Equal("", Read(Serde.Json<Order>(strict: false), "null"));
        Assert.Equal("Order { Item = tea, Amount = 0, Note =  }", Read(Serde.Json<Order>(JsonSerializerOptions.Web, strict: false), """{"item":"tea"}"""));
    }

    [Fact]
    public void OptionsAreStrictToo()
    {
        StreamException error = Assert.Throws<StreamException>(() => Read(Serde.Json<Order>(JsonSerializerOptions.Web), """{"item":"tea"}"""));
        Assert.Contains("'amount'", error.Message, StringComparison.Ordinal);
    }

    /// <summary>A step of the flow may put out what an input may not have; the engine reads it back as it was, in keys, states and topics of its own.</summary>
    [Fact]
    public void WhatTheFlowItselfMakesComesBackWithItsNulls()
    {
        KeyedTopic<string, string> input = Topic.Keyed<string, string>("in");
        Dataflow flow = new("nulls");
        flow.Input("in", input)
            .KeyOn("by-order", (_, _) => new Order(null!, 1))
            .StatefulMap("last", (ref Order? last, string _) => { Order? before = last; last = new Order(null!, (before?.Amount ?? 0) + 1); return new Order(null!, last.Amount); })
            .KeyOn("back", (_, _) => "k")
            .Repartition("across")
            .MapValue("show", order => $"{order}")
            .Output("out", Out);
        using FlowDriver driver = new(flow, new FlowDriverOptions { EvictAlways = true });
        driver.Push(input, "k", "a");
        driver.Run();
        driver.Crash();
        driver.Restart();
        driver.Push(input, "k", "b");
        driver.Run();
        Assert.Equal([("k", "Order { Item = , Amount = 1, Note =  }"), ("k", "Order { Item = , Amount = 2, Note =  }")], driver.Pairs(Out));
    }

    private static string Read(Serde<Order>? serde, string json)
    {
        KeyedTopic<string, Order> orders = Topic.Keyed("orders", Serde.Utf8, serde);
        using FlowDriver driver = new(Flow(orders));
        driver.PushBytes("orders", "k"u8.ToArray(), Encoding.UTF8.GetBytes(json));
        driver.Run();
        return Assert.Single(driver.Outputs(Out)).Value;
    }

    private static Dataflow Flow(KeyedTopic<string, Order> orders)
    {
        Dataflow flow = new("orders");
        flow.Input("orders", orders).MapValue("show", order => $"{order}").Output("out", Out);
        return flow;
    }

    private sealed record Order(string Item, decimal Amount, string? Note = null);
}
