using System.Diagnostics;

namespace KStreamSharp.Tests.Kubernetes;

/// <summary>Programs of the machine: what they print, or an exception with it.</summary>
internal static class Shell
{
    public static Dictionary<string, string> Environment { get; } = [];

    public static async Task<string> RunAsync(string program, params string[] arguments) => await FeedAsync("", program, arguments);

    /// <summary>With something on standard input.</summary>
    public static async Task<string> FeedAsync(string input, string program, params string[] arguments)
    {
        (int code, string output, string errors) = await TryAsync(input, program, arguments);
        return code == 0 ? output : throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {code}: {errors}{output}");
    }

    public static async Task<(int Code, string Output, string Errors)> TryAsync(string input, string program, params string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach ((string name, string value) in Environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output, await errors);
    }
}
