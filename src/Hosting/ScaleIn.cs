using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;

namespace KStreamSharp.Hosting;

/// <summary>
/// Asks the API server of Kubernetes, when an instance ends in order, whether its pod comes back. It does not when its
/// ordinal is no longer one of its StatefulSet's, or that is deleted: then the instance leaves its group. In every other
/// case it stays a member, also when nobody can be asked.
/// </summary>
/// <param name="statefulSet">The StatefulSet's name.</param>
/// <param name="instanceId">The instance's id: the pod's name, <c>NAME-N</c>.</param>
/// <param name="api">The API server; null outside of Kubernetes.</param>
/// <param name="account">The folder of the service account: the files <c>token</c>, <c>ca.crt</c> and <c>namespace</c>.</param>
/// <param name="patience">How long to wait for the answer.</param>
/// <param name="logger">Where it is told.</param>
internal sealed class ScaleIn(string statefulSet, string instanceId, Uri? api, string account, TimeSpan patience, ILogger logger)
{
    private const string MountedAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <summary>What an engine asks; null when there is nothing to ask, as no StatefulSet is named or the instance leaves in any case.</summary>
    public static Func<Task<bool>>? Question(string? statefulSet, StreamOptions options, ILoggerFactory logging) =>
        statefulSet is null || options.InstanceId is null
            ? null
            : new ScaleIn(statefulSet, options.InstanceId, Server(), MountedAccount, Patience, logging.CreateLogger("KStreamSharp")).AskAsync;

    /// <summary>Whether the instance is to leave its group. Never fails.</summary>
    public async Task<bool> AskAsync()
    {
        // The thread that asks has the drain to begin.
        await Task.Yield();
        try
        {
            bool isGone = await IsGoneAsync();
            if (isGone)
            {
                Log.NotComingBack(logger, instanceId, statefulSet);
            }

            return isGone;
        }
        catch (Exception error)
        {
            string cause = error.GetBaseException().Message.TrimEnd('.');
            string reason = error switch
            {
                OperationCanceledException => $"the API server has not answered within {patience.TotalSeconds:0.#} s",
                HttpRequestException => $"the API server at {api} cannot be called: {cause}",
                _ => cause,
            };
            Log.StaysUnasked(logger, instanceId, statefulSet, reason);
            return false;
        }
    }

    private static Uri? Server() =>
        Environment.GetEnvironmentVariable("KUBERNETES_SERVICE_HOST") is { Length: > 0 } host
        && ushort.TryParse(Environment.GetEnvironmentVariable("KUBERNETES_SERVICE_PORT"), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port)
            ? new UriBuilder(Uri.UriSchemeHttps, host, port).Uri
            : null;

    private async Task<bool> IsGoneAsync()
    {
        // By a wrong name none is found, as if it were deleted.
        string prefix = $"{statefulSet}-";
        if (!instanceId.StartsWith(prefix, StringComparison.Ordinal)
            || !int.TryParse(instanceId.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int ordinal))
        {
            throw new InvalidOperationException($"the id of a pod of it is {prefix}N");
        }

        if (api is null)
        {
            throw new InvalidOperationException("this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set");
        }

        using HttpClient client = Client();
        using HttpResponseMessage answer = await client.GetAsync(new Uri(api, $"/apis/apps/v1/namespaces/{Mounted("namespace")}/statefulsets/{statefulSet}"));
        if (answer.StatusCode == HttpStatusCode.NotFound)
        {
            return true;
        }

        if (!answer.IsSuccessStatusCode)
        {
            string fix = answer.StatusCode is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden ? "; the pod's service account needs a Role with get on this StatefulSet" : "";
            throw new InvalidOperationException($"the API server answers {(int)answer.StatusCode}{fix}");
        }

        return await answer.Content.ReadFromJsonAsync<StatefulSet>() is { Metadata: { } metadata, Spec: { } spec }
            ? metadata.DeletionTimestamp is not null || !spec.Has(ordinal)
            : throw new InvalidDataException("the API server's answer is no StatefulSet");
    }

    /// <summary>A client that trusts the cluster's own authority alone, and shows the token to nobody else.</summary>
    private HttpClient Client()
    {
        X509ChainPolicy trust = new() { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        trust.CustomTrustStore.ImportFromPemFile(Path.Combine(account, "ca.crt"));
        SocketsHttpHandler handler = new() { UseProxy = false, AllowAutoRedirect = false, SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = trust } };
        HttpClient client = new(handler) { Timeout = patience };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Mounted("token"));
        return client;
    }

    private string Mounted(string file) => File.ReadAllText(Path.Combine(account, file)).Trim();

    private sealed record StatefulSet(Metadata? Metadata, Spec? Spec);

    private sealed record Metadata(string? DeletionTimestamp);

    private sealed record Spec(int? Replicas, Ordinals? Ordinals)
    {
        public bool Has(int ordinal) => ordinal - (Ordinals?.Start ?? 0) is >= 0 and int place && place < (Replicas ?? 1);
    }

    private sealed record Ordinals(int Start);
}
