namespace KStreamSharp.Tests;

/// <summary>A folder of one test, removed with everything in it.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("kstreamsharp-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
