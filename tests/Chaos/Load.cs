using System.Globalization;
using System.Text;
using Confluent.Kafka;

namespace KStreamSharp.Tests.Chaos;

/// <summary>
/// Writes records into the input as long as the faults last: keys from a few thousand, values that carry a running number, so
/// that what is lost or doubled is seen. Idempotent, and not through the proxies.
/// </summary>
internal sealed class Load : IDisposable
{
    private const int Keys = 3000;

    private readonly IProducer<string, string> _producer;
    private readonly string _topic;
    private readonly Random _random;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Thread _thread;
    private long _written;
    private long _acknowledged;
    private string? _failure;

    public Load(string address, string topic, int seed)
    {
        _topic = topic;
        _random = new Random(seed);
        _producer = new ProducerBuilder<string, string>(new ProducerConfig
        {
            BootstrapServers = address,
            EnableIdempotence = true,
            Partitioner = Partitioner.Murmur2Random,
            LingerMs = 20,
            MessageTimeoutMs = 0,
            QueueBufferingMaxMessages = 1_000_000,
        }).SetErrorHandler((_, _) => { }).SetLogHandler((_, _) => { }).Build();
        _thread = new Thread(Run) { IsBackground = true, Name = "load" };
    }

    public long Written => Volatile.Read(ref _written);

    public long Acknowledged => Volatile.Read(ref _acknowledged);

    public void Start() => _thread.Start();

    /// <summary>Stops writing and waits until every record is acknowledged.</summary>
    public void Stop(TimeSpan limit)
    {
        _stopping.Cancel();
        _thread.Join();
        int left = _producer.Flush(limit);
        if (left > 0 || _failure is not null || Acknowledged != Written)
        {
            throw new InvalidOperationException($"The load could not be written: {_failure ?? $"{Written - Acknowledged} records are not acknowledged"}.");
        }
    }

    public void Dispose()
    {
        _stopping.Cancel();
        if (_thread.IsAlive)
        {
            _thread.Join();
        }

        _producer.Dispose();
        _stopping.Dispose();
    }

    /// <summary>Some records every 50 ms, at a rate that changes every few seconds.</summary>
    private void Run()
    {
        int perTurn = 10;
        for (int turn = 0; !_stopping.IsCancellationRequested; turn++)
        {
            if (turn % 60 == 0)
            {
                perTurn = _random.Next(2, 30);
            }

            for (int i = 0; i < perTurn; i++)
            {
                Write();
            }

            _stopping.Token.WaitHandle.WaitOne(50);
        }
    }

    private void Write()
    {
        string number = Written.ToString(CultureInfo.InvariantCulture);
        Message<string, string> message = new()
        {
            Key = string.Create(CultureInfo.InvariantCulture, $"key-{_random.Next(Keys):D4}"),
            Value = $"load:{number}",
            Headers = new Confluent.Kafka.Headers { { "number", Encoding.UTF8.GetBytes(number) } },
        };
        while (true)
        {
            try
            {
                _producer.Produce(_topic, message, report =>
                {
                    if (report.Error.IsError)
                    {
                        _failure = report.Error.Reason;
                    }
                    else
                    {
                        Interlocked.Increment(ref _acknowledged);
                    }
                });
                Interlocked.Increment(ref _written);
                return;
            }
            catch (ProduceException<string, string> error) when (error.Error.Code == ErrorCode.Local_QueueFull && !_stopping.IsCancellationRequested)
            {
                _stopping.Token.WaitHandle.WaitOne(100);
            }
        }
    }
}
