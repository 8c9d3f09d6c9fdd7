using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>
/// A whole service in one call: commands to run a flow and to look after it (<c>--help</c> lists them), options from command line, environment
/// and configuration file, signals, exit codes (<see cref="ExitCode"/>).
/// </summary>
public static class KStreamHost
{
    /// <summary>
    /// Runs the command line until the flow has ended or SIGTERM or SIGINT asks for the end: the batch is finished and
    /// committed, the instance leaves in order. A second signal ends the process at once.
    /// </summary>
    /// <param name="args">The command line; without any word, the first flow is run.</param>
    /// <param name="configure">Adds the flows.</param>
    /// <returns>The exit code.</returns>
    public static Task<int> RunAsync(string[] args, Action<KStreamHostBuilder> configure) => RunAsync(args, configure, Console.Out, Console.Error, Console.IsInputRedirected ? null : Console.In);

    internal static async Task<int> RunAsync(string[] args, Action<KStreamHostBuilder> configure, TextWriter output, TextWriter errors, TextReader? terminal = null)
    {
        ArgumentNullException.ThrowIfNull(args);
        ArgumentNullException.ThrowIfNull(configure);
        try
        {
            using HostLog log = new(errors, TimeProvider.System);
            KStreamHostBuilder builder = new(log);
            configure(builder);
            await using ServiceProvider services = builder.Services.BuildServiceProvider();
            ILoggerFactory logging = services.GetRequiredService<ILoggerFactory>();
            IReadOnlyList<IFlow> flows = builder.Build(services);
            return await new HostCommands(
                flows,
                flow => new FlowRunner(flow, builder.Stores, output, log, logging),
                new StateCommands(builder.Stores, logging, output, errors),
                new ResetCommand(builder.Stores, logging, output, terminal),
                new SnapshotCommands(builder.Stores, logging, output),
                new TopicCommands(flows, logging, output),
                output,
                errors).InvokeAsync(args);
        }
        catch (StreamException error)
        {
            errors.WriteLine(error.Message);
            return (int)error.Code;
        }
        catch (Exception error) when (error is FlowException or UsageException)
        {
            errors.WriteLine(error.Message);
            return (int)ExitCode.Usage;
        }
        catch (Exception error)
        {
            errors.WriteLine($"Unexpected: {error}");
            return (int)ExitCode.Internal;
        }
    }
}
