using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace KStreamSharp.Tests;

/// <summary>
/// A server of a test run, on a port and in a folder of its own: a program that a variable names or that is on the PATH.
/// </summary>
internal sealed class StoreServer : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);

    private readonly DirectoryInfo _folder;
    private readonly Process _process;

    private StoreServer(DirectoryInfo folder, Process process, int port)
    {
        _folder = folder;
        _process = process;
        Port = port;
    }

    /// <summary>Whether tests of stores fail where there is no server.</summary>
    public static bool IsRequired => Environment.GetEnvironmentVariable("KSTREAM_REQUIRE_STORES") == "1";

    public int Port { get; }

    /// <summary>The program that a variable names, else the one on the PATH; null when there is none.</summary>
    public static string? Find(string variable, string program) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } given
            ? given
            : (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);

    /// <summary>Starts a program and waits until its port takes connections. It ends with this process, however that ends.</summary>
    /// <param name="program">The program; a file that ends with <c>.js</c> is run by Node.js.</param>
    /// <param name="arguments">Its arguments, from the folder and the port.</param>
    public static async Task<StoreServer> Start(string program, Func<string, int, string[]> arguments)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("kstream-stores-");
        int port = FreePort();
        string log = Path.Combine(folder.FullName, "log");
        string data = folder.CreateSubdirectory("data").FullName;
        ProcessStartInfo start = new("sh") { RedirectStandardInput = true, WorkingDirectory = folder.FullName };
        // The shell reads to the end of its input, which comes when this process is gone.
        foreach (string argument in (string[])["-c", "log=$1; shift; \"$@\" >\"$log\" 2>&1 & read -r _; kill $!; wait $!", "sh", log, .. program.EndsWith(".js", StringComparison.Ordinal) ? ["node"] : (string[])[], program, .. arguments(data, port)])
        {
            start.ArgumentList.Add(argument);
        }

        StoreServer server = new(folder, Process.Start(start)!, port);
        try
        {
            for (long began = Stopwatch.GetTimestamp(); !await Answers(port); await Task.Delay(50))
            {
                if (Stopwatch.GetElapsedTime(began) > StartLimit)
                {
                    throw new InvalidOperationException($"{program} does not answer on port {port}: {await File.ReadAllTextAsync(log)}");
                }
            }

            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        _process.StandardInput.Close();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _folder.Delete(recursive: true);
    }

    /// <summary>A port where nobody listens.</summary>
    public static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static async Task<bool> Answers(int port)
    {
        using TcpClient client = new();
        try
        {
            await client.ConnectAsync(IPAddress.Loopback, port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
