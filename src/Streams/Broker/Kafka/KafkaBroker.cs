using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using ClientPartition = Confluent.Kafka.TopicPartition;

namespace KStreamSharp;

/// <summary>A Kafka cluster. Safe for any number of engine instances at once; connects when it is first used.</summary>
public sealed class KafkaBroker : Broker, IDisposable
{
    private static readonly TimeSpan PropagationTurn = TimeSpan.FromMilliseconds(50);

    /// <summary>How long brokers may take to make the partitions of a new topic.</summary>
    private static readonly TimeSpan LeadersTime = TimeSpan.FromSeconds(30);

    /// <summary>How long a broker may take to hear of a topic that another has made.</summary>
    internal static readonly TimeSpan NewsTime = TimeSpan.FromSeconds(10);

    /// <summary>How long positions are asked for before the caller gets its turn back.</summary>
    private static readonly TimeSpan PositionsTime = TimeSpan.FromSeconds(1);

    private readonly ILogger _logger;
    private readonly ConcurrentDictionary<string, Lazy<IConsumer<Ignore, Ignore>>> _positions = [];

    /// <summary>Topics that were not found when they had to be there, and since when.</summary>
    private readonly ConcurrentDictionary<TopicPartition, long> _absentSince = [];
    private readonly KafkaAdmin _admin;

    /// <summary>A cluster; nothing is asked of it yet.</summary>
    /// <param name="options">Where it is and how to talk to it.</param>
    /// <param name="logging">Where to log what the client says; null for nowhere.</param>
    /// <exception cref="StreamException">A setting is unknown, has no such value, or cannot be set; the message names it.</exception>
    public KafkaBroker(KafkaOptions options, ILoggerFactory? logging = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        Settings = new KafkaSettings(options);
        _logger = (logging ?? NullLoggerFactory.Instance).CreateLogger("KStreamSharp.Kafka");
        _admin = new KafkaAdmin(this);
    }

    internal KafkaSettings Settings { get; }

    /// <summary>How long an answer may take before the cluster counts as out of reach; tests take less.</summary>
    internal TimeSpan Patience
    {
        get => _admin.Patience;
        init => _admin.Patience = value;
    }

    /// <summary>Closes the connection of this object; engine instances must have ended before.</summary>
    public void Dispose()
    {
        _admin.Dispose();
        foreach (Lazy<IConsumer<Ignore, Ignore>> positions in _positions.Values)
        {
            positions.Value.Dispose();
        }
    }

    internal override TopicDescription? DescribeTopic(string topic) =>
        Find(topic) is { } found && Configs(topic) is { } configs ? Description(found, configs) : null;

    internal override Guid? TopicId(string topic) => Find(topic) is { } found ? IdOf(found) : null;

    internal override TopicDescription? ExpectTopic(string topic)
    {
        TopicDescription? found = DescribeTopic(topic);
        if (found is null)
        {
            Log.TopicAbsent(_logger, topic, NewsTime.TotalSeconds);
            for (long began = Stopwatch.GetTimestamp(); found is null && Stopwatch.GetElapsedTime(began) < NewsTime; found = DescribeTopic(topic))
            {
                Thread.Sleep(PropagationTurn);
            }
        }

        return found;
    }

    private static TopicDescription Description(Confluent.Kafka.Admin.TopicDescription found, Dictionary<string, ConfigEntryResult> configs)
    {
        string policy = configs["cleanup.policy"].Value;

        // A broker whose default is to keep everything may change its mind: only what the topic says of itself counts.
        bool keeps = policy == "delete" && configs["retention.ms"] is { Value: "-1", Source: ConfigSource.DynamicTopicConfig } && configs["retention.bytes"].Value == "-1";
        TopicCleanup cleanup = policy == "compact" ? TopicCleanup.Compact : keeps ? TopicCleanup.Keep : TopicCleanup.Delete;
        return new(found.Name, IdOf(found), found.Partitions.Count, cleanup)
        {
            IsStampedByBroker = configs.TryGetValue("message.timestamp.type", out ConfigEntryResult? stamps) && stamps.Value == "LogAppendTime",
        };
    }

    private static Guid IdOf(Confluent.Kafka.Admin.TopicDescription found)
    {
        Span<byte> id = stackalloc byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(id, found.TopicId.MostSignificantBits);
        System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(id[8..], found.TopicId.LeastSignificantBits);
        return new Guid(id, bigEndian: true);
    }

    internal override TopicDescription CreateTopic(TopicSpec topic)
    {
        bool existed = false;
        Error answer = KafkaTopicRules.Create(
            KafkaTopicRules.Wanted(topic.Cleanup, Settings.LargestMessage),
            settings => CreateOnceBrokersAreThere(topic, settings),
            out Dictionary<string, string>? taken);
        if (answer.Code == ErrorCode.TopicAlreadyExists)
        {
            existed = true;
        }
        else if (answer.IsError)
        {
            throw Failure(new KafkaException(answer), $"Topic '{topic.Name}' cannot be created");
        }
        else if (KafkaTopicRules.LeftOut(taken!) is { Length: > 0 } leftOut)
        {
            Log.TopicRulesLeftOut(_logger, topic.Name, leftOut);
        }

        Confluent.Kafka.Admin.TopicDescription? made = null;
        Dictionary<string, ConfigEntryResult>? configs = null;
        Await(
            () => (made = Find(topic.Name)) is not null && made.Partitions.TrueForAll(partition => partition.Leader is not null) && (configs = Configs(topic.Name)) is not null,
            $"Topic '{topic.Name}' was created, but has no leaders");
        if (existed && topic.Cleanup == TopicCleanup.Compact)
        {
            CheckTombstones(topic.Name, configs!);
        }

        if (topic.Cleanup != TopicCleanup.Delete)
        {
            Dictionary<string, string> values = configs!.ToDictionary(entry => entry.Key, entry => entry.Value.Value);
            foreach ((string name, string value, string wanted, string why) in KafkaTopicRules.Weak(values, Settings.LargestMessage))
            {
                Log.TopicRuleWeak(_logger, topic.Name, name, value, why, wanted);
            }
        }

        return Description(made!, configs!);
    }

    /// <summary>A broker that has just started does not count yet, and the others may be too few for the replicas.</summary>
    private Error CreateOnceBrokersAreThere(TopicSpec topic, Dictionary<string, string> settings)
    {
        for (long began = Stopwatch.GetTimestamp(); ;)
        {
            Error answer = _admin.Ask($"Topic '{topic.Name}' cannot be created", admin => Create(admin, topic, settings));
            if (answer.Code != ErrorCode.InvalidReplicationFactor || Stopwatch.GetElapsedTime(began) >= NewsTime)
            {
                return answer;
            }

            Thread.Sleep(PropagationTurn);
        }
    }

    /// <summary>Answers with the broker's own errors; others, as of the connection, are thrown.</summary>
    private async Task<Error> Create(IAdminClient admin, TopicSpec topic, Dictionary<string, string> settings)
    {
        TopicSpecification wanted = new() { Name = topic.Name, NumPartitions = topic.Partitions, ReplicationFactor = Settings.ReplicationFactor, Configs = settings };
        try
        {
            await admin.CreateTopicsAsync([wanted], new() { RequestTimeout = Patience, OperationTimeout = Patience }).ConfigureAwait(false);
            return new Error(ErrorCode.NoError);
        }
        catch (CreateTopicsException error) when (error.Results[0].Error.Code is ErrorCode.TopicAlreadyExists or ErrorCode.InvalidConfig or ErrorCode.InvalidReplicationFactor)
        {
            return error.Results[0].Error;
        }
        catch (CreateTopicsException error)
        {
            throw new KafkaException(error.Results[0].Error);
        }
    }

    internal override void DeleteTopic(string topic)
    {
        _admin.Ask($"Topic '{topic}' cannot be deleted", async admin =>
        {
            try
            {
                await admin.DeleteTopicsAsync([topic], new() { RequestTimeout = Patience, OperationTimeout = Patience }).ConfigureAwait(false);
                return true;
            }
            catch (DeleteTopicsException error)
            {
                return error.Results[0].Error.Code == ErrorCode.UnknownTopicOrPart ? false : throw new KafkaException(error.Results[0].Error);
            }
        });
        Await(() => Find(topic) is null, $"Topic '{topic}' was deleted, but is still there");
    }

    internal override void DeleteRecords(TopicPartition partition, long beforeOffset) => _admin.Ask($"Records of {partition} cannot be deleted", async admin =>
    {
        try
        {
            return await admin.DeleteRecordsAsync([new(Client(partition), beforeOffset)], new() { RequestTimeout = Patience, OperationTimeout = Patience }).ConfigureAwait(false);
        }
        catch (DeleteRecordsException error)
        {
            throw new KafkaException(error.Results[0].Error);
        }
    });

    internal override long StartOffset(TopicPartition partition) => OffsetOf(partition, OffsetSpec.Earliest(), IsolationLevel.ReadUncommitted);

    internal override long EndOffset(TopicPartition partition, bool committedOnly) =>
        OffsetOf(partition, OffsetSpec.Latest(), committedOnly ? IsolationLevel.ReadCommitted : IsolationLevel.ReadUncommitted);

    internal override bool TryGetCommittedOffsets(string group, IReadOnlyList<TopicPartition> partitions, out long?[] offsets)
    {
        offsets = new long?[partitions.Count];
        try
        {
            List<TopicPartitionOffset> answers = PositionsOf(group).Committed(partitions.Select(Client), PositionsTime);
            for (int i = 0; i < offsets.Length; i++)
            {
                long offset = answers.Find(answer => answer.TopicPartition == Client(partitions[i]))?.Offset.Value ?? -1;
                offsets[i] = offset >= 0 ? offset : null;
            }

            return true;
        }
        catch (KafkaException error)
        {
            Error cause = error is TopicPartitionOffsetException perPartition ? perPartition.Results.First(result => result.Error.IsError).Error : error.Error;
            BrokerException translated = Failure(new KafkaException(cause), $"The positions of group '{group}' cannot be read");

            // The client asks again by itself while a transaction is pending; that it ran out of time is all it says of one.
            return translated.Consequence == Consequence.Stop ? throw translated : false;
        }
    }

    internal override int CountMembers(string group) => _admin.Ask($"Group '{group}' cannot be described", async admin =>
    {
        try
        {
            DescribeConsumerGroupsResult result = await admin.DescribeConsumerGroupsAsync([group], new() { RequestTimeout = Patience }).ConfigureAwait(false);
            return result.ConsumerGroupDescriptions[0].Members.Count;
        }
        catch (DescribeConsumerGroupsException error)
        {
            Error first = error.Results.ConsumerGroupDescriptions[0].Error;
            return first.Code == ErrorCode.GroupIdNotFound ? 0 : throw new KafkaException(first);
        }
    });

    internal override void DeleteGroup(string group) => _admin.Ask($"Group '{group}' cannot be deleted", async admin =>
    {
        try
        {
            await admin.DeleteGroupsAsync([group], new() { RequestTimeout = Patience }).ConfigureAwait(false);
            return true;
        }
        catch (DeleteGroupsException error)
        {
            return error.Results[0].Error.Code == ErrorCode.GroupIdNotFound ? false : throw new KafkaException(error.Results[0].Error);
        }
    });

    internal override GroupMember JoinGroup(GroupOptions options) => new KafkaGroupMember(this, options);

    internal override Reader CreateReader(bool readCommitted, bool hurries = false) => new KafkaReader(this, readCommitted, hurries);

    internal override TransactionalWriter CreateWriter(string transactionalId, TimeSpan transactionTimeout) => new KafkaWriter(this, transactionalId, transactionTimeout);

    internal override OutputWriter CreateOutputWriter(TimeSpan? dropsAfter = null) => new KafkaOutputWriter(this, dropsAfter ?? TimeSpan.FromSeconds(30));

    internal static ClientPartition Client(TopicPartition partition) => new(partition.Topic, partition.Partition);

    /// <summary>Makes a client; what it refuses is a setting of the user's.</summary>
    internal T Build<T>(Func<T> build)
    {
        try
        {
            return build();
        }
        catch (Exception error) when (error is ArgumentException or InvalidOperationException or KafkaException)
        {
            throw new StreamException(ExitCode.Usage, $"The Kafka client refuses its settings (KafkaOptions.Settings): {Settings.Redact(error.Message)}");
        }
    }

    /// <summary>What a client says beside its answers.</summary>
    internal void Heard(LogMessage message)
    {
        LogLevel level = message.Level <= SyslogLevel.Error ? LogLevel.Warning : message.Level == SyslogLevel.Debug ? LogLevel.Trace : LogLevel.Debug;
        Log.KafkaSays(_logger, level, message.Name, message.Facility, Settings.Redact(message.Message));
    }

    internal BrokerException Failure(KafkaException error, string what)
    {
        Consequence consequence = KafkaErrors.Of(error);
        return new(consequence, $"{what}: {Describe(error.Error)}.{(consequence == Consequence.Stop ? Advice(error.Error.Code) : "")}", error)
        {
            IsFenced = KafkaErrors.IsFenced(error.Error.Code),
        };
    }

    private static string Milliseconds(TimeSpan time) => ((long)time.TotalMilliseconds).ToString(CultureInfo.InvariantCulture);

    private static string Advice(ErrorCode code) => code switch
    {
        ErrorCode.TopicAuthorizationFailed => " Let the user read, write, create and describe (topic and configs) the topics of the application; a reset deletes those that the engine made.",
        ErrorCode.GroupAuthorizationFailed => " Let the user read and describe the application's group; a reset deletes it.",
        ErrorCode.TransactionalIdAuthorizationFailed => " Let the user write and describe transactional ids that begin with the application's id.",
        ErrorCode.MsgSizeTooLarge => " Make it smaller, or raise message.max.bytes (KafkaOptions.Settings) and the topic's max.message.bytes.",
        ErrorCode.InvalidTimestamp => " The topic's settings message.timestamp.before.max.ms and message.timestamp.after.max.ms say how far from the broker's time a record's timestamp may be: raise them (9223372036854775807 for no bound), or mend the timestamps in the input.",
        ErrorCode.InvalidTransactionTimeout => " The broker's transaction.max.timeout.ms is lower than StreamOptions.TransactionTimeout.",
        ErrorCode.InvalidSessionTimeout => " StreamOptions.SessionTimeout lies outside of the broker's group.min.session.timeout.ms and group.max.session.timeout.ms.",
        _ => "",
    };

    /// <summary>A client that asks for a group's positions, and is no member of it. Admin calls were seen not to find a coordinator again that had restarted.</summary>
    private IConsumer<Ignore, Ignore> PositionsOf(string group) => _positions.GetOrAdd(group, name => new(() => Build(() =>
        new ConsumerBuilder<Ignore, Ignore>(Settings.Positions(name)).SetLogHandler((_, message) => Heard(message)).SetErrorHandler((_, _) => { }).Build()))).Value;

    private Confluent.Kafka.Admin.TopicDescription? Find(string topic) => _admin.Ask<Confluent.Kafka.Admin.TopicDescription?>($"Topic '{topic}' cannot be described", async admin =>
    {
        try
        {
            DescribeTopicsResult result = await admin.DescribeTopicsAsync(TopicCollection.OfTopicNames([topic]), new() { RequestTimeout = Patience }).ConfigureAwait(false);
            return result.TopicDescriptions[0];
        }
        catch (DescribeTopicsException error)
        {
            Error first = error.Results.TopicDescriptions[0].Error;
            return first.Code == ErrorCode.UnknownTopicOrPart ? null : throw new KafkaException(first);
        }
    });

    /// <summary>Null when the broker that answers knows no such topic.</summary>
    private Dictionary<string, ConfigEntryResult>? Configs(string topic) => _admin.Ask<Dictionary<string, ConfigEntryResult>?>($"The settings of topic '{topic}' cannot be read", async admin =>
    {
        try
        {
            List<DescribeConfigsResult> results = await admin.DescribeConfigsAsync(
                [new ConfigResource { Type = ResourceType.Topic, Name = topic }], new() { RequestTimeout = Patience }).ConfigureAwait(false);
            return results[0].Entries;
        }
        catch (DescribeConfigsException error)
        {
            Error first = error.Results[0].Error;
            return first.Code == ErrorCode.UnknownTopicOrPart ? null : throw new KafkaException(first);
        }
    });

    /// <summary>What is so for the controller is so for those who ask a broker a moment later.</summary>
    private void Await(Func<bool> condition, string not)
    {
        for (long began = Stopwatch.GetTimestamp(); !condition();)
        {
            if (Stopwatch.GetElapsedTime(began) > LeadersTime)
            {
                throw new BrokerException(Consequence.Stop, $"{not} after {LeadersTime.TotalSeconds:0} s. Look at the brokers.");
            }

            Thread.Sleep(PropagationTurn);
        }
    }

    private static void CheckTombstones(string topic, Dictionary<string, ConfigEntryResult> configs)
    {
        long kept = long.Parse(configs["delete.retention.ms"].Value, CultureInfo.InvariantCulture);
        if (configs["cleanup.policy"].Value == "compact" && kept < TombstoneRetention.TotalMilliseconds)
        {
            throw new BrokerException(
                Consequence.Stop,
                $"Topic '{topic}' keeps deletions for {TimeSpan.FromMilliseconds(kept)} (delete.retention.ms); an older copy of the state would bring deleted keys back. Set it to {Milliseconds(TombstoneRetention)} or more.");
        }
    }

    private long OffsetOf(TopicPartition partition, OffsetSpec spec, IsolationLevel isolation)
    {
        try
        {
            return _admin.Ask($"The offsets of {partition} cannot be read", async admin =>
            {
                try
                {
                    ListOffsetsResult result = await admin.ListOffsetsAsync(
                        [new() { TopicPartition = Client(partition), OffsetSpec = spec }],
                        new ListOffsetsOptions { IsolationLevel = isolation, RequestTimeout = Patience }).ConfigureAwait(false);

                    // When the connection is lost while it waits, the client has no error, and no offset either.
                    long offset = result.ResultInfos[0].TopicPartitionOffsetError.Offset.Value;
                    return offset >= 0 ? offset : throw new KafkaException(new Error(ErrorCode.Local_Transport, "The connection was lost before the answer"));
                }
                catch (ListOffsetsException error)
                {
                    throw new KafkaException(KafkaErrors.OfLeader(error.Result.ResultInfos[0].TopicPartitionOffsetError.Error));
                }
            });
        }
        catch (BrokerException error) when (error.Consequence == Consequence.Retry && IsAbsent(partition))
        {
            // The client says the same of a partition without a leader and of one that does not exist.
            throw new BrokerException(Consequence.Stop, $"The offsets of {partition} cannot be read: topic '{partition.Topic}' does not exist, or has fewer partitions.", error);
        }
    }

    /// <summary>As <see cref="ExpectTopic"/>, for callers that must not wait: false, and so another question, until the time is over.</summary>
    private bool IsAbsent(TopicPartition partition)
    {
        if (Find(partition.Topic)?.Partitions.Count > partition.Partition)
        {
            _absentSince.TryRemove(partition, out _);
            return false;
        }

        return Stopwatch.GetElapsedTime(_absentSince.GetOrAdd(partition, Stopwatch.GetTimestamp())) >= NewsTime;
    }

    internal string Describe(Error error) => $"{Settings.Redact(error.Reason).TrimEnd('.')} ({error.Code})";
}
