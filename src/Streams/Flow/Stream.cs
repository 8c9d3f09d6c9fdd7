namespace KStreamSharp;

/// <summary>A stream of items without keys. Its operators are the methods; each takes a step id first, which those that keep nothing may go without.</summary>
/// <typeparam name="T">The type of the items.</typeparam>
public sealed partial class Stream<T>
{
    internal Stream(Outlet<T> outlet) => Outlet = outlet;

    internal Outlet<T> Outlet { get; }

    private Dataflow Flow => Outlet.Flow;

    private Stream<TOut> Add<TOut>(string id, string name, Func<FlowInstance, Step, Port<TOut>, Port<T>> port) =>
        new(Flow.Add(id, name, Outlet, port));
}
