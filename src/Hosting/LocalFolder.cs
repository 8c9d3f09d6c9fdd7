namespace KStreamSharp.Hosting;

/// <summary>The local state folder of an application, held so that no instance is at work in it.</summary>
internal sealed class LocalFolder : IDisposable
{
    private readonly FolderLock? _held;

    private LocalFolder(string path, FolderLock? held)
    {
        Path = path;
        _held = held;
    }

    public string Path { get; }

    public bool Exists => Directory.Exists(Path);

    /// <summary>Holds the folder if it exists.</summary>
    /// <exception cref="StreamException">A process is at work in it, or it cannot be used.</exception>
    public static LocalFolder Take(string stateDir, string app)
    {
        string path = System.IO.Path.GetFullPath(System.IO.Path.Combine(stateDir, app));
        StateFolder.CheckNoBroker(path, app);
        try
        {
            return new LocalFolder(
                path, Directory.Exists(path) ? FolderLock.Take(path, process => $"The state folder {path} is in use by process {process}. Stop that process first.") : null);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Unusable(path, error);
        }
    }

    /// <summary>Deletes the embedded broker of a state folder and the state of every application there.</summary>
    /// <exception cref="UsageException">The run is on Kafka.</exception>
    /// <exception cref="StreamException">A process is at work there, or something cannot be deleted.</exception>
    public static void Empty(HostOptions host)
    {
        if (host.Kafka is not null)
        {
            throw new UsageException("A run on Kafka cannot begin anew by itself. Stop every instance, then say reset FLOW.");
        }

        string broker = System.IO.Path.GetFullPath(BrokerCalls.EmbeddedFolder(host));
        if (FolderLock.Holder(broker) is { } process)
        {
            throw new StreamException(ExitCode.State, $"The folder {broker} is in use by process {process}. Stop that process first.");
        }

        try
        {
            StateFolder.Remove(broker);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Unusable(broker, error);
        }

        string[] apps = Directory.Exists(host.Stream.StateDir) ? [.. Directory.EnumerateDirectories(host.Stream.StateDir).Where(StateFolder.IsOne)] : [];
        foreach (string app in apps)
        {
            using LocalFolder folder = Take(host.Stream.StateDir, System.IO.Path.GetFileName(app));
            folder.Delete();
        }
    }

    /// <summary>Deletes the folder with everything in it, what is held last.</summary>
    /// <exception cref="StreamException">Something in it cannot be deleted.</exception>
    public void Delete()
    {
        try
        {
            foreach (string folder in Directory.EnumerateDirectories(Path))
            {
                Directory.Delete(folder, recursive: true);
            }

            Dispose();
            Directory.Delete(Path, recursive: true);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Unusable(Path, error);
        }
    }

    public void Dispose() => _held?.Dispose();

    private static StreamException Unusable(string path, Exception error) => new(ExitCode.State, $"The state folder {path} cannot be used: {error.Message.TrimEnd('.')}. Mend that, then reset again.", error);
}
