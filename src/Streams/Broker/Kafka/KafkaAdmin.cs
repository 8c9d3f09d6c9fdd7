using System.Diagnostics;
using Confluent.Kafka;

namespace KStreamSharp;

/// <summary>
/// Questions to the cluster that belong to no partition being read or written. The client's admin calls hold on to what they
/// knew before a broker restarted (leader epochs, coordinators): after an error that passes, a new client is asked.
/// </summary>
internal sealed class KafkaAdmin : IDisposable
{
    private static readonly TimeSpan PatienceLater = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <summary>How long every broker has to refuse this user, once one has answered, before that is no broker that restarts.</summary>
    private static readonly TimeSpan RefusedMax = TimeSpan.FromMinutes(1);

    private readonly KafkaBroker _broker;
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource<Error> _refused = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Lease _current;
    private volatile Error? _lastError;
    private volatile Error? _refusal;
    private long _refusedSince;
    private volatile bool _reached;

    public KafkaAdmin(KafkaBroker broker)
    {
        _broker = broker;
        _current = new Lease(NewClient());
    }

    /// <summary>How long an answer may take before the cluster counts as out of reach; much less once it has answered.</summary>
    public TimeSpan Patience
    {
        get => _reached && field > PatienceLater ? PatienceLater : field;
        set;
    } = TimeSpan.FromSeconds(20);

    public T Ask<T>(string failure, Func<IAdminClient, Task<T>> question)
    {
        for (long began = Stopwatch.GetTimestamp(); ;)
        {
            Lease lease = Take();
            try
            {
                T result = Wait(question(lease.Client));
                _reached = true;
                _refusal = null;
                return result;
            }
            catch (KafkaException error)
            {
                // Only a broker can say that nobody leads a partition.
                _reached |= error.Error.Code == ErrorCode.Local_NoEnt;
                BrokerException translated = _broker.Failure(error, failure);
                if (translated.Consequence != Consequence.Retry)
                {
                    throw translated;
                }

                if (Stopwatch.GetElapsedTime(began) + Pause < Patience)
                {
                    Thread.Sleep(Pause);
                }
                else if (_reached)
                {
                    throw _refusal is { } refusal && Stopwatch.GetElapsedTime(Volatile.Read(ref _refusedSince)) > RefusedMax ? Refused(refusal) : translated;
                }
                else
                {
                    throw new BrokerException(
                        Consequence.Stop,
                        $"No broker answers at {_broker.Settings.BootstrapServers} within {Patience.TotalSeconds:0} s{(_lastError is { } last ? $": {_broker.Describe(last)}" : "")}. Check the address, and that the broker runs{(_lastError is { } cause && KafkaErrors.IsOfSecurity(cause) ? "; then the security settings (KafkaOptions.Settings)" : "")}.{Mismatch()}",
                        error);
                }

                Renew(lease);
            }
            finally
            {
                Return(lease);
            }
        }
    }

    public void Dispose()
    {
        Lease last = Take();
        lock (_lock)
        {
            last.IsRetired = true;
        }

        Return(last);
    }

    private T Wait<T>(Task<T> answer)
    {
        if (Task.WaitAny(answer, _refused.Task) == 1 && !answer.IsCompletedSuccessfully && !_reached)
        {
            throw Refused(_refused.Task.Result);
        }

        return answer.GetAwaiter().GetResult();
    }

    private BrokerException Refused(Error word) => new(
        Consequence.Stop, $"Kafka at {_broker.Settings.BootstrapServers} refuses the connection: {_broker.Describe(word)}. Check the security settings (KafkaOptions.Settings).{Mismatch()}");

    private string Mismatch() => TlsProbe.Mismatch(_broker.Settings.BootstrapServers, _broker.Settings.SecurityProtocol);

    private Lease Take()
    {
        lock (_lock)
        {
            _current.Users++;
            return _current;
        }
    }

    private void Return(Lease lease)
    {
        bool last;
        lock (_lock)
        {
            last = --lease.Users == 0 && lease.IsRetired;
        }

        if (last)
        {
            lease.Client.Dispose();
        }
    }

    private void Renew(Lease failed)
    {
        lock (_lock)
        {
            if (_current == failed && !failed.IsRetired)
            {
                failed.IsRetired = true;
                _current = new Lease(NewClient());
            }
        }
    }

    private IAdminClient NewClient() => _broker.Build(() => new AdminClientBuilder(_broker.Settings.Admin())
        .SetLogHandler((_, message) => _broker.Heard(message))
        .SetErrorHandler((_, error) =>
        {
            // That all are down says less than why one is.
            _lastError = error.Code == ErrorCode.Local_AllBrokersDown ? _lastError ?? error : error;
            if (!KafkaErrors.IsRefusal(error))
            {
                return;
            }

            if (_refusal is null)
            {
                Volatile.Write(ref _refusedSince, Stopwatch.GetTimestamp());
                _refusal = error;
            }

            if (!_reached)
            {
                _refused.TrySetResult(error);
            }
        })
        .Build());

    /// <summary>A client, disposed when it is retired and its last user has gone.</summary>
    private sealed class Lease(IAdminClient client)
    {
        public IAdminClient Client { get; } = client;

        public int Users { get; set; }

        public bool IsRetired { get; set; }
    }
}
