using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>What a host runs: its flows, and the services that they are made of.</summary>
public sealed class KStreamHostBuilder
{
    private readonly List<Func<IServiceProvider, IFlow>> _flows = [];
    private readonly Dictionary<string, Func<Uri, ISnapshotStore>> _stores = new(StringComparer.OrdinalIgnoreCase);

    internal KStreamHostBuilder(HostLog log) =>
        Services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Trace).AddFilter((category, level) => log.IsEnabled(category, level)).AddProvider(log));

    /// <summary>
    /// Services for flow classes. User code runs on several workers at once, so what it captures must be thread-safe. Logging
    /// is there: warnings and errors, or what <c>--log-level</c> says, a line each, to standard error.
    /// </summary>
    public IServiceCollection Services { get; } = new ServiceCollection();

    /// <summary>Adds a flow that was built by hand. The first flow added is the one that runs when none is named.</summary>
    /// <param name="flow">The flow.</param>
    public KStreamHostBuilder AddFlow(Dataflow flow)
    {
        ArgumentNullException.ThrowIfNull(flow);
        _flows.Add(_ => new BuiltFlow(flow));
        return this;
    }

    /// <summary>Adds a flow class, made by the container. The first flow added is the one that runs when none is named.</summary>
    /// <typeparam name="TFlow">The class; its constructor takes services.</typeparam>
    public KStreamHostBuilder AddFlow<TFlow>()
        where TFlow : class, IFlow
    {
        _flows.Add(services => ActivatorUtilities.CreateInstance<TFlow>(services));
        return this;
    }

    /// <summary>
    /// Lets the option <c>--snapshots</c> name a store by a URI, for example <c>s3://bucket/prefix</c>. A folder is known without it.
    /// </summary>
    /// <param name="scheme">The scheme of the URIs, for example <c>s3</c>.</param>
    /// <param name="open">Makes the store; throws <see cref="ArgumentException"/> when the URI cannot be used. Secrets belong in the environment, not in the URI.</param>
    public KStreamHostBuilder AddSnapshotStore(string scheme, Func<Uri, ISnapshotStore> open)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(scheme);
        ArgumentNullException.ThrowIfNull(open);
        _stores[scheme] = open;
        return this;
    }

    internal IReadOnlyDictionary<string, Func<Uri, ISnapshotStore>> Stores => _stores;

    internal IReadOnlyList<IFlow> Build(IServiceProvider services)
    {
        IFlow[] flows = [.. _flows.Select(make => make(services))];
        if (flows.Length == 0)
        {
            throw new FlowException("The host has no flow. Add one with AddFlow(...).");
        }

        return flows.GroupBy(flow => flow.Id).FirstOrDefault(group => group.Count() > 1) is { } twice
            ? throw new FlowException($"The host has two flows '{twice.Key}'. Give each an id of its own.")
            : flows;
    }

    private sealed class BuiltFlow(Dataflow flow) : IFlow
    {
        public string Id => flow.Id;

        public Dataflow Build(FlowArguments arguments) => flow;
    }
}
