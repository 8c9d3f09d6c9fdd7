using Microsoft.Extensions.Logging;

namespace KStreamSharp;

/// <summary>All log lines of the engine. Ids: 1xx life of an instance, 2xx membership, 3xx restore, 4xx commit, 5xx records, 6xx the broker's client.</summary>
internal static partial class Log
{
    private const string LastingWait = "A wait that lasts is for a transaction that the broker does not end: see 'When every broker goes away' in docs/guarantees.md.";

    [LoggerMessage(100, LogLevel.Information, "Instance {Instance} of {App} starts: {Shards} shards, {Workers} workers.")]
    public static partial void Starts(ILogger logger, string instance, string app, int shards, int workers);

    [LoggerMessage(101, LogLevel.Information, "Instance {Instance} of {App} has stopped.")]
    public static partial void Stopped(ILogger logger, string instance, string app);

    [LoggerMessage(102, LogLevel.Information, "Run {Run} begins: {Partitions} input partitions.")]
    public static partial void RunBegins(ILogger logger, long run, int partitions);

    [LoggerMessage(103, LogLevel.Information, "Run {Run}: shard {Shard} is done.")]
    public static partial void ShardDone(ILogger logger, long run, int shard);

    [LoggerMessage(104, LogLevel.Information, "Instance {Instance} leaves its group: StatefulSet {StatefulSet} has no such pod any more.")]
    public static partial void NotComingBack(ILogger logger, string instance, string statefulSet);

    [LoggerMessage(105, LogLevel.Warning, "Whether StatefulSet {StatefulSet} keeps instance {Instance} could not be asked, so it stays a member until its session times out: {Reason}.")]
    public static partial void StaysUnasked(ILogger logger, string instance, string statefulSet, string reason);

    [LoggerMessage(106, LogLevel.Warning, "Instance {Instance} was started to work to an end (--until-end) beside this one, which has none: a run would never be done, so that one stops. Stop this one first, or leave --until-end out.")]
    public static partial void FiniteBesideEndless(ILogger logger, string instance);

    [LoggerMessage(200, LogLevel.Information, "Shards assigned: {Shards}.")]
    public static partial void Assigned(ILogger logger, string shards);

    [LoggerMessage(201, LogLevel.Information, "Shards to be given up: {Shards}.")]
    public static partial void Revoking(ILogger logger, string shards);

    [LoggerMessage(202, LogLevel.Warning, "Shards lost to the group: {Shards}. What was not committed is dropped.")]
    public static partial void Lost(ILogger logger, string shards);

    [LoggerMessage(203, LogLevel.Information, "Shard {Shard} given up.")]
    public static partial void Released(ILogger logger, int shard);

    [LoggerMessage(300, LogLevel.Information, "Shard {Shard}: {Plan}.")]
    public static partial void RestorePlanned(ILogger logger, int shard, string plan);

    [LoggerMessage(301, LogLevel.Warning, "Shard {Shard}: the local state in {Folder} is wiped: {Reason}.")]
    public static partial void Wiped(ILogger logger, int shard, string folder, string reason);

    [LoggerMessage(302, LogLevel.Information, "Shard {Shard}: restored {Records} changelog records up to offset {Offset} in {Seconds:F2} s.")]
    public static partial void Restored(ILogger logger, int shard, long records, long offset, double seconds);

    [LoggerMessage(303, LogLevel.Warning, "Shard {Shard}: the restore waits at offset {Position} of {Partition} for an open transaction below offset {End}, since {Seconds:F0} s. " + LastingWait)]
    public static partial void RestoreWaits(ILogger logger, int shard, long position, TopicPartition partition, long end, double seconds);

    [LoggerMessage(304, LogLevel.Information, "Shard {Shard}: commit marker and committed positions differ; reading both again.")]
    public static partial void PositionsDiffer(ILogger logger, int shard);

    [LoggerMessage(305, LogLevel.Warning, "Shard {Shard}: the broker did not answer the restore, which goes on: {Reason}")]
    public static partial void RestoreRetries(ILogger logger, int shard, string reason);

    [LoggerMessage(306, LogLevel.Error, "Shard {Shard}: the local state is damaged and cannot be used: {Reason}")]
    public static partial void LocalDamaged(ILogger logger, int shard, string reason);

    [LoggerMessage(307, LogLevel.Information, "Shard {Shard}: restoring from {Source}, {Done} of {Total} {Unit}, about {Seconds:F0} s to go.")]
    public static partial void RestoreProgress(ILogger logger, int shard, string source, long done, long total, string unit, double seconds);

    [LoggerMessage(308, LogLevel.Information, "Shard {Shard}: snapshot {Snapshot} is here, {Bytes} bytes, {Reused} of them were here before, after {Seconds:F2} s.")]
    public static partial void Downloaded(ILogger logger, int shard, string snapshot, long bytes, long reused, double seconds);

    [LoggerMessage(309, LogLevel.Warning, "Shard {Shard}: snapshot {Snapshot} could not be downloaded, it will be tried again or done without: {Reason}")]
    public static partial void DownloadFailed(ILogger logger, int shard, string snapshot, string reason);

    [LoggerMessage(310, LogLevel.Error, "Shard {Shard}: snapshot {Snapshot} cannot be used: {Reason}")]
    public static partial void SnapshotUnusable(ILogger logger, int shard, string snapshot, string reason);

    [LoggerMessage(311, LogLevel.Information, "Shard {Shard}: runs here, {Milliseconds} ms after its last commit elsewhere.")]
    public static partial void Claimed(ILogger logger, int shard, long milliseconds);

    [LoggerMessage(312, LogLevel.Warning, "Shard {Shard}: the restore waits for the positions of group '{Group}', of which an open transaction holds some or which the broker does not answer, since {Seconds:F0} s. " + LastingWait)]
    public static partial void PositionsWait(ILogger logger, int shard, string group, double seconds);

    [LoggerMessage(350, LogLevel.Debug, "Shard {Shard}: snapshot {Snapshot} of {Bytes} bytes is in the store after {Seconds:F2} s.")]
    public static partial void SnapshotUploaded(ILogger logger, int shard, string snapshot, long bytes, double seconds);

    [LoggerMessage(351, LogLevel.Information, "Shard {Shard}: snapshot {Snapshot} is published, {Kept} are kept.")]
    public static partial void SnapshotPublished(ILogger logger, int shard, string snapshot, int kept);

    [LoggerMessage(352, LogLevel.Warning, "Shard {Shard}: the snapshot could not be taken, it will be tried again: {Reason}")]
    public static partial void SnapshotFailed(ILogger logger, int shard, string reason);

    [LoggerMessage(353, LogLevel.Warning, "Shard {Shard}: what old snapshots left in the store is not deleted yet: {Reason}")]
    public static partial void SnapshotsNotCollected(ILogger logger, int shard, string reason);

    [LoggerMessage(354, LogLevel.Warning, "The checkpoint {Folder} cannot be removed yet: {Reason}")]
    public static partial void CheckpointStays(ILogger logger, string folder, string reason);

    [LoggerMessage(355, LogLevel.Warning, "The snapshot store cannot be used now; shards restore from the changelog alone until it can: {Reason}")]
    public static partial void StoreCannotBeUsed(ILogger logger, string reason);

    [LoggerMessage(400, LogLevel.Information, "Transaction aborted, going back to the last commit: {Reason}")]
    public static partial void Aborted(ILogger logger, string reason);

    [LoggerMessage(401, LogLevel.Warning, "The end of a transaction is in doubt or its writer is fenced; a new writer settles it and {Shards} shards are taken over again: {Reason}")]
    public static partial void NewWriter(ILogger logger, int shards, string reason);

    [LoggerMessage(402, LogLevel.Error, "Shard {Shard}: a committed change could not be applied to the local state; the shard is taken over again: {Reason}")]
    public static partial void ApplyFailed(ILogger logger, int shard, string reason);

    [LoggerMessage(403, LogLevel.Warning, "Records of {Partition} below offset {Offset}, which are processed and committed, cannot be deleted; the topic keeps them, and it is tried again in {Minutes:F0} min: {Reason}")]
    public static partial void NotPurged(ILogger logger, TopicPartition partition, long offset, double minutes, string reason);

    [LoggerMessage(404, LogLevel.Warning, "The transaction of {Writer} has waited {Seconds:F0} s for the broker and keeps trying. Processing is paused, nothing is lost: {Reason}")]
    public static partial void TransactionWaits(ILogger logger, string writer, double seconds, string reason);

    [LoggerMessage(500, LogLevel.Warning, "Bad record passed over: {Partition} offset {Offset}, step {Step}: {Reason}")]
    public static partial void Skipped(ILogger logger, TopicPartition partition, long offset, string step, string reason);

    [LoggerMessage(501, LogLevel.Warning, "Step {Step} cannot read {Partition} past offset {Position} of {End}, since {Seconds:F0} s: a producer has a transaction open there. The broker aborts it after that producer's transaction.timeout.ms; to abort it now: 'kafka-transactions.sh --bootstrap-server HOST:PORT abort --topic {Topic} --partition {Number} --start-offset {Position}'.")]
    public static partial void HeldBack(ILogger logger, string step, TopicPartition partition, long position, long end, double seconds, string topic, int number);

    [LoggerMessage(EventId = 600, Message = "Kafka client {Client}, {Facility}: {Text}")]
    public static partial void KafkaSays(ILogger logger, LogLevel level, string client, string facility, string text);

    [LoggerMessage(601, LogLevel.Warning, "Topic '{Topic}' is not there; a broker may not have heard of it yet, and is asked again for {Seconds:F0} s.")]
    public static partial void TopicAbsent(ILogger logger, string topic, double seconds);

    [LoggerMessage(602, LogLevel.Warning, "Topic '{Topic}' was made without {Settings}, which this broker does not know: its own bounds count, and a record whose timestamp is beyond them stops the application.")]
    public static partial void TopicRulesLeftOut(ILogger logger, string topic, string settings);

    [LoggerMessage(603, LogLevel.Warning, "Topic '{Topic}' has {Setting}={Value}: {Why}. Set it by 'kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics --entity-name {Topic} --add-config {Setting}={Wanted}'.")]
    public static partial void TopicRuleWeak(ILogger logger, string topic, string setting, string value, string why, string wanted);

    [LoggerMessage(604, LogLevel.Warning, "Cannot check whether the topics are still those of the start; trying again in {Minutes:F0} min: {Reason}")]
    public static partial void TopicsNotLookedAt(ILogger logger, double minutes, string reason);
}
