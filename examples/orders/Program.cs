using KStreamSharp;
using KStreamSharp.Hosting;

KeyedTopic<string, Order> orders = Topic.Keyed<string, Order>("orders");
KeyedTopic<string, Total> totals = Topic.Keyed<string, Total>("order-totals");

// Orders come keyed by customer; each one puts out the customer's new total.
Dataflow flow = new("orders");
flow.Input("orders", orders)
    .StatefulMap("total", (ref Total? total, Order order) => total = new Total((total?.Orders ?? 0) + 1, (total?.Amount ?? 0) + order.Amount))
    .Output("totals", totals);

return await KStreamHost.RunAsync(args, host => host.AddFlow(flow));

internal sealed record Order(string Item, decimal Amount);

internal sealed record Total(int Orders, decimal Amount);
