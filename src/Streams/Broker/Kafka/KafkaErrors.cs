using System.Collections.Frozen;
using Confluent.Kafka;

namespace KStreamSharp;

/// <summary>
/// What each error of Kafka asks of the engine: the one table. A call that fails with a code that is not in it is judged
/// by what the client says of it, and stops the application if the client says nothing.
/// </summary>
internal static class KafkaErrors
{
    /// <summary>A row: errors with one meaning, and what to do about them.</summary>
    internal sealed record Row(Consequence Consequence, string Meaning, params IReadOnlyList<ErrorCode> Codes);

    public static IReadOnlyList<Row> Table { get; } =
    [
        new(
            Consequence.Retry,
            "no answer in time, or no broker can be reached now",
            ErrorCode.Local_TimedOut, ErrorCode.Local_TimedOutQueue, ErrorCode.Local_Transport, ErrorCode.Local_AllBrokersDown, ErrorCode.Local_Resolve,
            ErrorCode.RequestTimedOut, ErrorCode.NetworkException, ErrorCode.BrokerNotAvailable, ErrorCode.Local_WaitCoord, ErrorCode.Local_DestroyBroker),
        new(
            Consequence.Retry,
            "the connection was cut in its handshake, or not made: a broker that restarts, a token or a certificate that is late",
            ErrorCode.Local_Authentication, ErrorCode.Local_Ssl),
        new(
            Consequence.Retry,
            "a leader or a coordinator is moving or loading",
            ErrorCode.LeaderNotAvailable, ErrorCode.NotLeaderForPartition, ErrorCode.ReplicaNotAvailable, ErrorCode.FencedLeaderEpoch, ErrorCode.UnknownLeaderEpoch,
            ErrorCode.GroupLoadInProgress, ErrorCode.GroupCoordinatorNotAvailable, ErrorCode.NotCoordinatorForGroup, ErrorCode.NotController, ErrorCode.OffsetNotAvailable,
            ErrorCode.KafkaStorageError, ErrorCode.Local_NoEnt, ErrorCode.NotEnoughReplicas, ErrorCode.NotEnoughReplicasAfterAppend, ErrorCode.ThrottlingQuotaExceeded),
        new(
            Consequence.Retry,
            "an earlier call or transaction is still being ended",
            ErrorCode.ConcurrentTransactions, ErrorCode.Local_Retry, ErrorCode.Local_Conflict, ErrorCode.Local_InProgress, ErrorCode.Local_PrevInProgress),
        new(
            Consequence.Abort,
            "the group is between two generations, or its positions are not settled",
            ErrorCode.IllegalGeneration, ErrorCode.StaleMemberEpoch, ErrorCode.RebalanceInProgress, ErrorCode.UnstableOffsetCommit),
        new(
            Consequence.Abort,
            "records of the open transaction were not delivered in time",
            ErrorCode.Local_MsgTimedOut, ErrorCode.Local_PurgeQueue, ErrorCode.Local_PurgeInflight),
        new(
            Consequence.LostMembership,
            "the group no longer knows this member",
            ErrorCode.UnknownMemberId, ErrorCode.FencedMemberEpoch, ErrorCode.FencedInstanceId, ErrorCode.Local_AssignmentLost, ErrorCode.Local_MaxPollExceeded),
        new(
            Consequence.NewWriter,
            "the writer is fenced: a newer one has its id, or its transaction timed out",
            ErrorCode.Local_Fenced, ErrorCode.ProducerFenced, ErrorCode.InvalidProducerEpoch, ErrorCode.TransactionCoordinatorFenced),
        new(
            Consequence.NewWriter,
            "the broker and the writer disagree on the transaction or its sequence",
            ErrorCode.OutOfOrderSequenceNumber, ErrorCode.DuplicateSequenceNumber, ErrorCode.InvalidTxnState, ErrorCode.InvalidProducerIdMapping,
            ErrorCode.UnknownProducerId, ErrorCode.Local_State, ErrorCode.Local_GaplessGuarantee),
        new(
            Consequence.Stop,
            "the broker does not accept who this is",
            ErrorCode.SaslAuthenticationFailed, ErrorCode.UnsupportedSaslMechanism, ErrorCode.IllegalSaslState),
        new(
            Consequence.Stop,
            "the broker does not allow it",
            ErrorCode.TopicAuthorizationFailed, ErrorCode.GroupAuthorizationFailed, ErrorCode.ClusterAuthorizationFailed, ErrorCode.TransactionalIdAuthorizationFailed),
        new(
            Consequence.Stop,
            "the topic or partition does not exist",
            ErrorCode.UnknownTopicOrPart, ErrorCode.UnknownTopicId, ErrorCode.Local_UnknownTopic, ErrorCode.Local_UnknownPartition, ErrorCode.TopicException),
        new(
            Consequence.Stop,
            "the topic does not take the record",
            ErrorCode.MsgSizeTooLarge, ErrorCode.RecordListTooLarge, ErrorCode.InvalidRecord, ErrorCode.InvalidMsgSize, ErrorCode.InvalidTimestamp, ErrorCode.UnsupportedCompressionType),
        new(
            Consequence.Stop,
            "the request or a setting of it is refused",
            ErrorCode.InvalidTransactionTimeout, ErrorCode.InvalidSessionTimeout, ErrorCode.PolicyViolation, ErrorCode.InvalidConfig, ErrorCode.InvalidPartitions,
            ErrorCode.InvalidReplicationFactor, ErrorCode.InvalidGroupId, ErrorCode.InvalidRequest, ErrorCode.Local_InvalidArg),
        new(
            Consequence.Stop,
            "the group does not take this member",
            ErrorCode.GroupMaxSizeReached, ErrorCode.InconsistentGroupProtocol, ErrorCode.UnreleasedInstanceId, ErrorCode.UnsupportedAssignor),
        new(
            Consequence.Stop,
            "the broker is too old for it",
            ErrorCode.UnsupportedVersion, ErrorCode.Local_UnsupportedFeature, ErrorCode.UnsupportedForMessageFormat),
    ];

    /// <summary>What the client's reasons say where no broker said anything.</summary>
    private static readonly string[] NoWordOfABroker = ["transport failure", "disconnected", "(n/a)", "timed out", "token", "connection"];

    private static readonly FrozenDictionary<ErrorCode, Consequence> ByCode =
        Table.SelectMany(row => row.Codes, (row, code) => KeyValuePair.Create(code, row.Consequence)).ToFrozenDictionary();

    public static Consequence Of(Error error) =>
        ByCode.TryGetValue(error.Code, out Consequence known) ? known : error.IsFatal ? Consequence.NewWriter : Consequence.Stop;

    /// <summary>What the client says of its transaction counts more than a code that says "again": again it would fail at once, for ever.</summary>
    public static Consequence Of(KafkaException failure)
    {
        Consequence? known = ByCode.TryGetValue(failure.Error.Code, out Consequence found) ? found : null;
        return failure switch
        {
            _ when known is not (null or Consequence.Retry) => known.Value,
            KafkaTxnRequiresAbortException => Consequence.Abort,
            _ when failure.Error.IsFatal => Consequence.NewWriter,
            KafkaRetriableException => Consequence.Retry,
            _ => known ?? Of(failure.Error),
        };
    }

    /// <summary>
    /// What a partition's leader answers. One that does not know the partition was just named as its leader by another broker:
    /// it has not heard of a new topic yet.
    /// </summary>
    public static Error OfLeader(Error answer) =>
        answer.Code == ErrorCode.UnknownTopicOrPart ? new Error(ErrorCode.LeaderNotAvailable, answer.Reason) : answer;

    public static bool IsFenced(ErrorCode code) =>
        code is ErrorCode.Local_Fenced or ErrorCode.ProducerFenced or ErrorCode.InvalidProducerEpoch;

    /// <summary>
    /// Whether a broker has said that it does not take this user. A connection that is cut in its handshake, by a broker that
    /// restarts or a proxy, has the same code; so has a token that cannot be had now, and a certificate that only one broker has.
    /// </summary>
    public static bool IsRefusal(Error error) =>
        error.Code is ErrorCode.SaslAuthenticationFailed or ErrorCode.UnsupportedSaslMechanism or ErrorCode.IllegalSaslState
        || (error.Code == ErrorCode.Local_Authentication && !NoWordOfABroker.Any(part => error.Reason.Contains(part, StringComparison.OrdinalIgnoreCase)));

    /// <summary>Whether the client has come as far as the handshake. What is cut there has the code of any lost connection.</summary>
    public static bool IsOfSecurity(Error error) =>
        error.Reason.Contains("handshake", StringComparison.OrdinalIgnoreCase)
        || error.Code is ErrorCode.Local_Authentication or ErrorCode.Local_Ssl or ErrorCode.SaslAuthenticationFailed or ErrorCode.UnsupportedSaslMechanism or ErrorCode.IllegalSaslState;
}
