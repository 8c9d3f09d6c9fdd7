using System.Globalization;
using System.Net;
using System.Text;

namespace KStreamSharp.Hosting;

/// <summary>A run's status, for machines and for people.</summary>
internal static class StatusPage
{
    public static object Json(RunHealth run)
    {
        EngineStatus status = run.Status;
        IReadOnlyList<string> notReady = run.WhyNotReady();
        IReadOnlyList<string> notLive = run.WhyNotLive();
        return new
        {
            app = run.App,
            flow = run.Flow,
            instance = status.InstanceId,
            live = notLive.Count == 0,
            ready = notReady.Count == 0,
            reasons = notLive.Concat(notReady),
            member = status.IsMember,
            ending = status.IsEnding,
            records = new { @in = status.RecordsIn, @out = status.RecordsOut, skipped = status.RecordsSkipped },
            commits = status.Commits,
            restoredRecords = status.RecordsRestored,
            snapshots = new { published = status.SnapshotsPublished, failures = status.SnapshotFailures, restored = status.SnapshotsRestored, refused = status.SnapshotsRefused },
            shardsOfAll = status.ShardCount,
            shards = Shards(status),
            workers = status.Workers.Select(worker => new { worker = worker.Worker, lastTurn = worker.LastTurn, inTurnSeconds = worker.InTurn.TotalSeconds }),
            lastMembershipTurn = status.LastMembershipTurn,
        };
    }

    public static IEnumerable<object> Shards(EngineStatus status) => status.Shards.Select(shard => Shard(status.InstanceId, shard));

    public static string Html(RunHealth run)
    {
        EngineStatus status = run.Status;
        IReadOnlyList<string> notReady = run.WhyNotReady();
        StringBuilder page = new();
        string title = WebUtility.HtmlEncode(run.App);
        page.Append(CultureInfo.InvariantCulture, $$"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta http-equiv="refresh" content="5">
            <title>{{title}}</title>
            <style>
            body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #222; background: #fff }
            table { border-collapse: collapse; width: 100% }
            th, td { text-align: left; padding: .25em 1em .25em 0; border-bottom: 1px solid #ddd }
            </style>
            </head>
            <body>
            <h1>{{title}}</h1>
            <p>{{WebUtility.HtmlEncode(notReady.Count == 0 ? "Ready." : $"Not ready: {string.Join("; ", notReady)}.")}}</p>
            <p>Flow {{WebUtility.HtmlEncode(run.Flow)}}, instance {{WebUtility.HtmlEncode(status.InstanceId)}}: {{status.Shards.Count}} of {{status.ShardCount}} shards.
            Records in {{status.RecordsIn:N0}}, out {{status.RecordsOut:N0}}, passed over {{status.RecordsSkipped:N0}}; commits {{status.Commits:N0}}.</p>
            <table>
            <tr><th>shard</th><th>state</th><th>lag</th><th>restore</th><th>last commit</th><th>last snapshot</th></tr>

            """);
        foreach (ShardStatus shard in status.Shards)
        {
            string[] cells =
            [
                $"{shard.Shard}",
                Word(shard.State),
                shard.Lag?.ToString("N0", CultureInfo.InvariantCulture) ?? "",
                shard.Restore is { } restore ? Restore(restore) : "",
                Ago(run.Now, shard.LastCommit),
                Ago(run.Now, shard.LastSnapshot?.TakenAt),
            ];
            page.Append("<tr>").AppendJoin("", cells.Select(cell => $"<td>{WebUtility.HtmlEncode(cell)}</td>")).Append("</tr>\n");
        }

        return page.Append("</table>\n<p><a href=\"/status\">status</a> <a href=\"/metrics\">metrics</a></p>\n</body>\n</html>\n").ToString();
    }

    private static object Shard(string owner, ShardStatus shard) => new
    {
        shard = shard.Shard,
        owner,
        state = Word(shard.State),
        lag = shard.Lag,
        restore = shard.Restore is not { } restore ? null : new
        {
            source = restore.Source,
            done = restore.Done,
            total = restore.Total,
            unit = restore.Unit,
            remainingSeconds = restore.Remaining?.TotalSeconds,
        },
        lastCommit = shard.LastCommit,
        lastSnapshot = shard.LastSnapshot is not { } snapshot ? null : new { id = snapshot.Id, takenAt = snapshot.TakenAt, bytes = snapshot.Bytes },
    };

    private static string Restore(RestoreProgress restore) => string.Create(
        CultureInfo.InvariantCulture,
        $"{restore.Source}: {restore.Done:N0} of {restore.Total:N0} {restore.Unit}{(restore.Remaining is { } rest ? $", about {rest.TotalSeconds:N0} s to go" : "")}");

    private static string Ago(DateTimeOffset now, DateTimeOffset? then) =>
        then is null ? "" : string.Create(CultureInfo.InvariantCulture, $"{Math.Max(0, (now - then.Value).TotalSeconds):N0} s ago");

    private static string Word(ShardState state) => state.ToString().ToLowerInvariant();
}
