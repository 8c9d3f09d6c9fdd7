using System.IO.Pipes;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>
/// A pipe of this machine and user by which commands reach the embedded broker of a process that runs: its folder is locked.
/// A line is a request, and the next one its answer, both JSON.
/// </summary>
internal sealed class BrokerPipe : IAsyncDisposable
{
    private readonly Broker _broker;
    private readonly string _name;
    private readonly CancellationTokenSource _ending = new();
    private readonly Task _serving;

    private BrokerPipe(Broker broker, string name, NamedPipeServerStream first)
    {
        _broker = broker;
        _name = name;
        _serving = ServeAsync(first);
    }

    /// <summary>Serves an embedded broker that has a folder; null where there is nothing to serve, or no pipe can be had.</summary>
    public static BrokerPipe? Serve(Broker broker, ILogger log)
    {
        if (broker is not EmbeddedBroker { Folder: { } folder })
        {
            return null;
        }

        string name = NameOf(folder);
        try
        {
            return new BrokerPipe(broker, name, Open(name));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException or PlatformNotSupportedException or InvalidOperationException)
        {
            log.LogWarning("The commands produce and tail cannot reach this process: no pipe can be made: {Reason}", error.Message);
            return null;
        }
    }

    /// <summary>A topic of the broker that a process holds.</summary>
    /// <exception cref="StreamException">That process does not answer.</exception>
    public static ITopicSession Connect(string folder, string process, string topic, TimeSpan patience)
    {
        NamedPipeClientStream pipe = new(".", NameOf(folder), PipeDirection.InOut, PipeOptions.Asynchronous | PipeOptions.CurrentUserOnly);
        try
        {
            pipe.Connect(patience);
            return new Remote(pipe, topic);
        }
        catch (Exception error) when (error is TimeoutException or IOException or UnauthorizedAccessException)
        {
            pipe.Dispose();
            throw new StreamException(
                ExitCode.State, $"The broker in {folder} is in use by process {process}, which does not answer: {error.Message.TrimEnd('.')}. A host of the same user and machine does; else stop that process first.", error);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        await _serving;
        _ending.Dispose();
    }

    private static string NameOf(string folder) => $"kstream-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Path.GetFullPath(folder))))[..16]}";

    private static NamedPipeServerStream Open(string name) =>
        new(name, PipeDirection.InOut, NamedPipeServerStream.MaxAllowedServerInstances, PipeTransmissionMode.Byte, PipeOptions.Asynchronous | PipeOptions.CurrentUserOnly);

    private async Task ServeAsync(NamedPipeServerStream first)
    {
        List<Task> clients = [];
        NamedPipeServerStream next = first;
        while (!_ending.IsCancellationRequested)
        {
            NamedPipeServerStream pipe = next;
            try
            {
                await pipe.WaitForConnectionAsync(_ending.Token);
                next = Open(_name);
                clients.RemoveAll(client => client.IsCompleted);
                clients.Add(AnswerAsync(pipe));
            }
            catch (Exception error) when (error is OperationCanceledException or IOException)
            {
                await pipe.DisposeAsync();
                next = _ending.IsCancellationRequested ? next : Open(_name);
            }
        }

        await next.DisposeAsync();
        await Task.WhenAll(clients);
    }

    private async Task AnswerAsync(NamedPipeServerStream pipe)
    {
        try
        {
            await using NamedPipeServerStream closing = pipe;
            using StreamReader reader = new(pipe);
            await using StreamWriter writer = new(pipe) { AutoFlush = true };
            TopicSession? session = null;
            while (await reader.ReadLineAsync(_ending.Token) is { } line)
            {
                Answer answer;
                try
                {
                    Request request = JsonSerializer.Deserialize<Request>(line)!;
                    session ??= new TopicSession(_broker, request.Topic);
                    answer = Do(session, request);
                }
                catch (StreamException error)
                {
                    answer = new(null, error.Message, error.Code);
                }

                await writer.WriteLineAsync(JsonSerializer.Serialize(answer).AsMemory(), _ending.Token);
            }

            session?.Dispose();
        }
        catch (Exception error) when (error is OperationCanceledException or IOException or JsonException or ObjectDisposedException)
        {
            // The other side is gone, or this one ends.
        }
    }

    private static Answer Do(TopicSession session, Request request)
    {
        if (!request.Produces)
        {
            return new(session.Read(request.Positions, request.FromStart), null, ExitCode.Ok);
        }

        session.Produce(request.Key, request.Value);
        return new(null, null, ExitCode.Ok);
    }

    private sealed record Request(string Topic, bool Produces, byte[]? Key, byte[]? Value, long[]? Positions, bool FromStart);

    private sealed record Answer(TopicRows? Rows, string? Error, ExitCode Code);

    private sealed class Remote(NamedPipeClientStream pipe, string topic) : ITopicSession
    {
        private readonly StreamReader _reader = new(pipe);
        private readonly StreamWriter _writer = new(pipe) { AutoFlush = true };

        public void Produce(byte[]? key, byte[]? value) => Ask(new(topic, true, key, value, null, false));

        public TopicRows Read(long[]? positions, bool fromStart) => Ask(new(topic, false, null, null, positions, fromStart)).Rows!;

        public void Dispose() => pipe.Dispose();

        private Answer Ask(Request request)
        {
            _writer.WriteLine(JsonSerializer.Serialize(request));
            Answer answer = JsonSerializer.Deserialize<Answer>(_reader.ReadLine() ?? throw new IOException("The process that holds the broker has ended."))!;
            return answer.Error is { } error ? throw new StreamException(answer.Code, error) : answer;
        }
    }
}
