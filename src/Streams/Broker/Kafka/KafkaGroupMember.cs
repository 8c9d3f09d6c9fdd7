using System.Diagnostics;
using Confluent.Kafka;

namespace KStreamSharp;

/// <summary>
/// A member of a Kafka group. The client asks for an answer to a revocation inside its call, so it has a thread of its own,
/// which waits there until the partitions are released or the budget is over.
/// </summary>
/// <remarks>
/// The classic client may lose its membership without saying so: when it is about to join again and learns that the group
/// has forgotten it, it comes back as another member, goes on with the partitions it had, and claims them (librdkafka 2.16,
/// JoinGroup answered by UNKNOWN_MEMBER_ID). What was true of its partitions is true only as long as it is the same member
/// and takes part in every generation; so a token that does not follow the one held is none, and everything is given up:
/// numbers void, then out of the group, so that nothing is claimed, and in again by a new client. Of the generation in which
/// the claims were false nothing is taken: a partition that it gave to them may have its rightful owner still, whom only a
/// later one fences.
/// </remarks>
internal sealed class KafkaGroupMember : GroupMember
{
    private static readonly TimeSpan Turn = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LeavePatience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RenewPause = TimeSpan.FromMilliseconds(250);

    /// <summary>A member that joins again may fence itself, by an earlier request that comes late; more often than this it is another.</summary>
    private const int FencingsMax = 3;

    private readonly KafkaBroker _broker;
    private readonly GroupOptions _options;
    private readonly Thread _thread;
    private IConsumer<Ignore, Ignore> _consumer;
    private readonly object _gate = new();
    private readonly Lock _inUse = new();
    private readonly GroupNews _news;

    /// <summary>What the client counts as its own, and claims when it joins again.</summary>
    private readonly HashSet<int> _claimed = [];

    /// <summary>The member and the generation for which the claims are known to hold.</summary>
    private GroupToken _held;

    /// <summary>The newest generation in which claims were false; −1 when none was.</summary>
    private int _floor = -1;
    private Stage _stage;
    private long _unsubscribedAt;

    private string? _memberId;
    private long _memberSince;
    private int _fencings;

    /// <summary>When the client first said that there is no such topic; 0 when it has not.</summary>
    private long _absentSince;
    private long _renewedAt;
    private BrokerException? _failure;
    private long _polledAt;
    private bool _started;
    private bool _closing;
    private bool _leaving;
    private bool _isGone;

    public KafkaGroupMember(KafkaBroker broker, GroupOptions options)
    {
        _broker = broker;
        _options = options;
        _news = new GroupNews(options.Number);
        _consumer = NewClient();
        _thread = new Thread(Run) { Name = "kstream-kafka-member", IsBackground = true };
    }

    public override GroupToken Token
    {
        get
        {
            GroupToken? now = Now();
            lock (_gate)
            {
                if (now is not { } token || !Follows(token))
                {
                    return new("", -1);
                }

                // So that a generation which the thread has not seen is no gap.
                _held = token.IsMember ? token : _held;
                return token;
            }
        }
    }

    public override GroupEvent? Poll()
    {
        lock (_gate)
        {
            if (_failure is not null)
            {
                throw _failure;
            }

            _polledAt = Stopwatch.GetTimestamp();
            Monitor.PulseAll(_gate);
            if (!_started && !_closing)
            {
                _started = true;
                _thread.Start();
            }

            return _closing ? null : _news.Next();
        }
    }

    public override void Release(IReadOnlyList<int> partitions)
    {
        lock (_gate)
        {
            int[] released = [.. partitions.Where(_news.Revoking.Contains)];
            if (released.Length > 0)
            {
                _options.Voided(released);
                _news.Release(released);
                Monitor.PulseAll(_gate);
            }
        }
    }

    public override void Leave() => End(leave: true);

    public override void Dispose() => End(leave: false);

    private static int[] Numbers(IEnumerable<TopicPartitionOffset> partitions) => [.. partitions.Select(partition => partition.Partition.Value).Order()];

    private void End(bool leave)
    {
        lock (_gate)
        {
            if (_closing)
            {
                return;
            }

            _closing = true;
            _leaving = leave;
            Monitor.PulseAll(_gate);
            if (!_started)
            {
                DisposeClient();
                return;
            }
        }

        // When no broker answers, the thread ends with the process; the session time-out does the rest.
        _thread.Join(LeavePatience);
    }

    private void Run()
    {
        try
        {
            _consumer.Subscribe(_options.Topic);
            while (IsAlive())
            {
                Serve(Turn);
                Look();
            }

            if (_leaving && _failure is null)
            {
                // A static member's close keeps its partitions for it; to give up the subscription first gives them up too.
                _consumer.Unsubscribe();
                long began = Stopwatch.GetTimestamp();
                do
                {
                    Serve(Turn);
                }
                while (_claimed.Count > 0 && Stopwatch.GetElapsedTime(began) < LeavePatience / 2);
                Serve(Turn);
            }

            // A question that comes while the client closes may never be answered.
            lock (_inUse)
            {
                _isGone = true;
            }

            _consumer.Close();
        }
        catch (KafkaException error)
        {
            // Whatever it is, this thread ends: no client is made anew.
            GiveUp(error);
        }
        catch (StreamException error)
        {
            // A setting that the first client took is refused now: a file is gone, perhaps.
            GiveUp(new BrokerException(Consequence.Stop, error.Message, error));
        }
        finally
        {
            DisposeClient();
        }
    }

    private IConsumer<Ignore, Ignore> NewClient() => _broker.Build(() => new ConsumerBuilder<Ignore, Ignore>(_broker.Settings.Member(_options))
        .SetLogHandler((_, message) => _broker.Heard(message))
        .SetErrorHandler((_, _) => { })
        .SetPartitionsAssignedHandler((_, partitions) => Assigned(partitions))
        .SetPartitionsRevokedHandler((_, partitions) => Revoked(Numbers(partitions)))
        .SetPartitionsLostHandler((_, partitions) => Lost(Numbers(partitions)))
        .Build());

    /// <summary>
    /// Begins anew with a client that claims nothing. One that was fenced does nothing any more; one that left while its group
    /// was about to share out would, told to come back, ask itself for ever whether it may (librdkafka 2.16: a leave that was
    /// put off keeps "rejoin after this" set, and a subscription waits for that).
    /// </summary>
    private void Renew()
    {
        DisposeClient();
        _consumer = NewClient();
        lock (_gate)
        {
            _stage = Stage.Member;
            _claimed.Clear();
            _held = default;
        }

        _consumer.Subscribe(_options.Topic);
        lock (_inUse)
        {
            _isGone = false;
        }
    }

    /// <summary>After a turn: whether this is still the member that holds the claims; if not, it leaves the group and begins anew.</summary>
    private void Look()
    {
        GroupToken? now = Now();
        lock (_gate)
        {
            Hold(now);
            if (now?.MemberId != _memberId)
            {
                (_memberId, _memberSince) = (now?.MemberId, Stopwatch.GetTimestamp());
            }
            else if (IsSettled)
            {
                (_fencings, _absentSince) = (0, 0);
            }

            if (_closing || _failure is not null)
            {
                return;
            }
        }

        switch (_stage)
        {
            // Only a member can leave. The client may put it off until the group has answered it.
            case Stage.MustLeave when now is { IsMember: true }:
                _consumer.Unsubscribe();
                _unsubscribedAt = Stopwatch.GetTimestamp();
                _stage = Stage.Leaves;
                break;

            // With one more turn for the request that says so. A client that does not say that anything is gone is given up:
            // the group has gone on without it by now.
            case Stage.Leaves when (_claimed.Count == 0 && now is { IsMember: false }) || Stopwatch.GetElapsedTime(_unsubscribedAt) > _options.SessionTimeout:
                _stage = Stage.BeginsAnew;
                break;

            // It lost its membership meanwhile, and has nothing to claim.
            case Stage.MustLeave when _claimed.Count == 0 && now is { IsMember: false }:
                _stage = Stage.BeginsAnew;
                break;

            case Stage.BeginsAnew when Stopwatch.GetElapsedTime(_renewedAt) > RenewPause:
                Renew();
                _renewedAt = Stopwatch.GetTimestamp();
                break;
        }
    }

    /// <summary>What the client says now; null when it cannot be asked.</summary>
    private GroupToken? Now()
    {
        // The client does not guard its memory against a call that comes while it is disposed.
        lock (_inUse)
        {
            try
            {
                return _isGone ? null : KafkaGroupMetadata.Read(_consumer.ConsumerGroupMetadata);
            }
            catch (KafkaException)
            {
                return null;
            }
        }
    }

    /// <summary>
    /// The same member, in the same generation or the next: its claims were counted when that one was shared out. The
    /// broker shares out the partitions of the consumer protocol itself and waits for each; there the client says what it lost.
    /// </summary>
    private bool Follows(GroupToken now) =>
        !IsClassic || (now.MemberId == _held.MemberId && now.Generation - _held.Generation is 0 or 1);

    private bool IsClassic => _broker.Settings.GroupProtocol == KafkaGroupProtocol.Classic;

    /// <summary>The claims hold for this token too, or there are none, or all that this member owns is lost. Under the gate.</summary>
    private void Hold(GroupToken? now)
    {
        if (now is not { } token)
        {
            return;
        }

        if (token.IsMember && token.MemberId == _held.MemberId && token.Generation < _held.Generation)
        {
            // Asked for before the newer one, by another thread.
            return;
        }

        if (_claimed.Count > 0 && !Follows(token))
        {
            // An id that was taken back never comes again. The client may say next that all is lost, or claim it under another.
            _options.Voided([.. _news.Owned]);
            _news.TakeAll();
            _stage = _stage == Stage.Member && token.IsMember ? Stage.MustLeave : _stage;
        }

        _floor = _stage == Stage.Member ? _floor : Math.Max(_floor, token.Generation);
        _held = token;
    }

    private void DisposeClient()
    {
        lock (_inUse)
        {
            _isGone = true;
        }

        _consumer.Dispose();
    }

    /// <summary>Waits while the engine does not poll: it hangs, and the group must learn of it. The client then leaves by its own time-out.</summary>
    private bool IsAlive()
    {
        lock (_gate)
        {
            while (!_closing && _failure is null && Stopwatch.GetElapsedTime(_polledAt) > _options.SessionTimeout / 3)
            {
                Monitor.Wait(_gate, Turn);
            }

            return !_closing && _failure is null;
        }
    }

    private void Serve(TimeSpan atMost)
    {
        try
        {
            _consumer.Consume(atMost);
        }
        catch (ConsumeException error) when (!error.Error.IsFatal && KafkaErrors.Of(error.Error) != Consequence.Stop)
        {
            // The client mends these itself, and says so by the events that follow.
        }
        catch (KafkaException error)
        {
            Fail(error);
        }
    }

    /// <summary>A member for so long that no request of an earlier time can be under way.</summary>
    private bool IsSettled => !string.IsNullOrEmpty(_memberId) && Stopwatch.GetElapsedTime(_memberSince) > 2 * _options.SessionTimeout;

    private void Fail(KafkaException error)
    {
        lock (_gate)
        {
            if (_stage == Stage.BeginsAnew)
            {
                // Of a client that is given up; whatever lasts, the next one says again.
                return;
            }

            if (!_closing && IsPassing(error.Error.Code))
            {
                // Whom the group counts as its member has to leave it, or what it had waits for its session to time out.
                _stage = error.Error.Code == ErrorCode.FencedInstanceId || !_held.IsMember ? Stage.BeginsAnew : _stage == Stage.Member ? Stage.MustLeave : _stage;
                _options.Voided([.. _news.Owned]);
                _news.TakeAll();
                return;
            }

            GiveUp(error);
        }
    }

    /// <summary>It may be gone for the next client: a broker that has not heard of a new topic, a request of an earlier time.</summary>
    private bool IsPassing(ErrorCode code)
    {
        switch (code)
        {
            case ErrorCode.FencedInstanceId:
                return !IsSettled && _fencings++ < FencingsMax;
            case ErrorCode.UnknownTopicOrPart:
                _absentSince = _absentSince == 0 ? Stopwatch.GetTimestamp() : _absentSince;
                return Stopwatch.GetElapsedTime(_absentSince) < KafkaBroker.NewsTime;
            default:
                return false;
        }
    }

    private void GiveUp(KafkaException error) => GiveUp(error.Error.Code == ErrorCode.FencedInstanceId
        ? new BrokerException(Consequence.Stop, $"Another member of group '{_options.Group}' uses instance id '{_options.InstanceId}'. Give each instance an id of its own (InstanceId, --instance-id).", error)
        : new BrokerException(Consequence.Stop, _broker.Failure(error, $"This instance cannot be a member of group '{_options.Group}', which shares out topic '{_options.Topic}'").Message, error));

    private void GiveUp(BrokerException failure)
    {
        lock (_gate)
        {
            _options.Voided([.. _news.Owned]);
            _failure ??= failure;
            Monitor.PulseAll(_gate);
        }
    }

    private IEnumerable<TopicPartitionOffset> Assigned(List<Confluent.Kafka.TopicPartition> partitions)
    {
        GroupToken? now = Now();
        lock (_gate)
        {
            Hold(now);
            _claimed.UnionWith(partitions.Select(partition => partition.Partition.Value));
            if (_stage == Stage.Member && IsClassic && now is { IsMember: true } token && token.Generation <= _floor)
            {
                _stage = Stage.MustLeave;
            }

            if (_stage == Stage.Member)
            {
                _absentSince = 0;
                _news.Owned.UnionWith(partitions.Select(partition => partition.Partition.Value));
            }
        }

        // What the topic says is read elsewhere, by everyone; here only its partitions matter.
        return partitions.Select(partition => new TopicPartitionOffset(partition, Offset.End));
    }

    private void Revoked(int[] partitions)
    {
        GroupToken? now = Now();
        lock (_gate)
        {
            Hold(now);
            if (!_closing)
            {
                _news.Revoking.UnionWith(partitions);
                _news.Release(_news.RevokingUntold);
                long began = Stopwatch.GetTimestamp();
                while (_news.Revoking.Count > 0 && !_closing && _options.RevocationBudget - Stopwatch.GetElapsedTime(began) is { Ticks: > 0 } left)
                {
                    Monitor.Wait(_gate, left);
                }
            }

            Gone(partitions);
        }
    }

    private void Lost(int[] partitions)
    {
        lock (_gate)
        {
            Gone(partitions);
        }
    }

    private void Gone(int[] partitions)
    {
        _options.Voided(partitions);
        _news.Take(partitions);
        _claimed.ExceptWith(partitions);
    }

    /// <summary>Of its thread.</summary>
    private enum Stage
    {
        /// <summary>A member, or about to become one; its claims hold.</summary>
        Member,

        /// <summary>Its claims were false.</summary>
        MustLeave,

        /// <summary>It has told the client, and waits for what it claims to be gone.</summary>
        Leaves,

        /// <summary>It has left or was fenced: this client is of no use any more.</summary>
        BeginsAnew,
    }
}
