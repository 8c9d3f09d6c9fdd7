using System.Diagnostics;
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
    /// <summary>How the value of a record of a backlog begins.</summary>
    public const string BacklogValue = "backlog";

    private const int Keys = 3000;

    private readonly IProducer<string, string> _producer;
    private readonly string _topic;
    private readonly Random _random;
    private readonly IReadOnlyList<string> _keys;
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stopping = new();
    private readonly Thread _thread;
    private long _written;
    private long _acknowledged;
    private volatile IReadOnlyList<string>? _favoured;
    private string? _failure;

    /// <param name="address">The brokers.</param>
    /// <param name="topic">The input.</param>
    /// <param name="seed">Draws keys and rates.</param>
    /// <param name="keys">The keys that it writes all the time; null for all.</param>
    public Load(string address, string topic, int seed, IReadOnlyList<string>? keys = null)
    {
        _topic = topic;
        _keys = keys ?? AllKeys;
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

    public static IReadOnlyList<string> AllKeys { get; } = [.. Enumerable.Range(0, Keys).Select(i => string.Create(CultureInfo.InvariantCulture, $"key-{i:D4}"))];

    public long Written => Volatile.Read(ref _written);

    public long Acknowledged => Volatile.Read(ref _acknowledged);

    public void Start() => _thread.Start();

    /// <summary>Writes many records at once, of some keys only, and waits until the broker has them all.</summary>
    public void Pour(IReadOnlyList<string> keys, long count, TimeSpan limit)
    {
        for (long i = 0; i < count && !_stopping.IsCancellationRequested; i++)
        {
            // Mixed, so that neighbours are of different keys.
            Write(BacklogValue, keys[(int)(i * 7919 % keys.Count)]);
        }

        long written = Written;
        long began = Stopwatch.GetTimestamp();
        while (Acknowledged < written && _failure is null && !_stopping.IsCancellationRequested)
        {
            if (Stopwatch.GetElapsedTime(began) > limit)
            {
                throw new InvalidOperationException($"{written - Acknowledged} records of a backlog were not acknowledged within {limit.TotalSeconds:0} s.");
            }

            _stopping.Token.WaitHandle.WaitOne(50);
        }
    }

    /// <summary>Nearly all records are of these keys, and there are ten times as many, until it is called with null.</summary>
    public void Favour(IReadOnlyList<string>? keys) => _favoured = keys;

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

            IReadOnlyList<string>? favoured = _favoured;
            for (int i = 0; i < (favoured is null ? perTurn : perTurn * 10); i++)
            {
                IReadOnlyList<string> keys = favoured is not null && i % 20 > 0 ? favoured : _keys;
                Write("load", keys[_random.Next(keys.Count)]);
            }

            _stopping.Token.WaitHandle.WaitOne(50);
        }
    }

    private void Write(string kind, string key)
    {
        // One at a time, so that the records of a key have ascending numbers.
        lock (_gate)
        {
            Produce(kind, key);
        }
    }

    private void Produce(string kind, string key)
    {
        string number = Written.ToString(CultureInfo.InvariantCulture);
        Message<string, string> message = new()
        {
            Key = key,
            Value = $"{kind}:{number}",
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
