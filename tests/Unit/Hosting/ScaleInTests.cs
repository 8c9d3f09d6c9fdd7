using KStreamSharp.Hosting;
using KStreamSharp.Tests.Runtime;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

public class ScaleInTests
{
    private const string Asked = "/apis/apps/v1/namespaces/streams/statefulsets/my-flights";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Lines _log = new();

    [Theory]
    [InlineData("my-flights-2", """{"metadata":{},"spec":{"replicas":2}}""")]
    [InlineData("my-flights-10", """{"metadata":{},"spec":{"replicas":2}}""")]
    [InlineData("my-flights-0", """{"metadata":{},"spec":{"replicas":0}}""")]
    [InlineData("my-flights-1", """{"metadata":{},"spec":{}}""")]
    [InlineData("my-flights-7", """{"metadata":{},"spec":{"replicas":2,"ordinals":{"start":5}}}""")]
    [InlineData("my-flights-4", """{"metadata":{},"spec":{"replicas":2,"ordinals":{"start":5}}}""")]
    public async Task APodThatIsScaledInLeaves(string pod, string set)
    {
        Assert.True(await AskAsync(pod, context => context.Response.WriteAsync(set)));
        Assert.Equal([$"Information 104: Instance {pod} leaves its group: StatefulSet my-flights has no such pod any more."], _log.All);
    }

    [Theory]
    [InlineData("my-flights-0", """{"metadata":{},"spec":{"replicas":2}}""")]
    [InlineData("my-flights-1", """{"kind":"StatefulSet","metadata":{"name":"my-flights","deletionTimestamp":null},"spec":{"replicas":2,"template":{}},"status":{"replicas":5}}""")]
    [InlineData("my-flights-0", """{"metadata":{},"spec":{}}""")]
    [InlineData("my-flights-5", """{"metadata":{},"spec":{"replicas":2,"ordinals":{"start":5}}}""")]
    [InlineData("my-flights-6", """{"metadata":{},"spec":{"replicas":2,"ordinals":{"start":5}}}""")]
    public async Task APodThatRestartsStays(string pod, string set)
    {
        Assert.False(await AskAsync(pod, context => context.Response.WriteAsync(set)));
        Assert.Empty(_log.All);
    }

    [Fact]
    public async Task APodWhoseStatefulSetIsGoneLeaves() => Assert.True(await AskAsync("my-flights-0", context => Refuse(context, 404)));

    [Fact]
    public async Task APodWhoseStatefulSetIsBeingDeletedLeaves() => Assert.True(await AskAsync(
        "my-flights-0", context => context.Response.WriteAsync("""{"metadata":{"deletionTimestamp":"2030-01-01T00:00:00Z"},"spec":{"replicas":2}}""")));

    [Fact]
    public async Task ItsOwnStatefulSetIsAskedForOnceWithTheTokenOfTheAccount()
    {
        List<(string, string, string)> asked = [];
        await AskAsync("my-flights-0", context =>
        {
            asked.Add((context.Request.Method, context.Request.Path.Value!, context.Request.Headers.Authorization.ToString()));
            return Refuse(context, 500);
        });
        AssertOneWarning("the API server answers 500.");
        Assert.Equal([("GET", Asked, $"Bearer {ApiServer.Token}")], asked);
    }

    [Theory]
    [InlineData(401)]
    [InlineData(403)]
    public async Task APodThatIsRefusedStaysAndSaysWhichRoleItNeeds(int status)
    {
        Assert.False(await AskAsync("my-flights-7", context => Refuse(context, status)));
        AssertOneWarning($"the API server answers {status}; the pod's service account needs a Role with get on this StatefulSet.");
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("null")]
    [InlineData("""{"metadata":{}}""")]
    [InlineData("<html>")]
    public async Task APodStaysWhenTheAnswerIsNoStatefulSet(string body)
    {
        Assert.False(await AskAsync("my-flights-7", context => context.Response.WriteAsync(body)));
        AssertOneWarning("");
    }

    [Fact]
    public async Task APodStaysWhenNoAnswerComesInTime()
    {
        Assert.False(await AskAsync("my-flights-7", Aborted, TimeSpan.FromMilliseconds(200)));
        AssertOneWarning("the API server has not answered within 0.2 s.");
    }

    [Fact]
    public async Task APodStaysWhenTheRestOfTheAnswerDoesNotComeInTime()
    {
        Assert.False(await AskAsync(
            "my-flights-7",
            async context =>
            {
                await context.Response.WriteAsync("""{"metadata":{},"spec":{"replicas":""");
                await context.Response.Body.FlushAsync();
                await Aborted(context);
            },
            TimeSpan.FromMilliseconds(500)));
        AssertOneWarning("the API server has not answered within 0.5 s.");
    }

    [Fact]
    public async Task AServerThatTheClusterDoesNotVouchForIsNotTrustedAndSeesNoToken()
    {
        int asked = 0;
        Assert.False(await AskAsync(
            "my-flights-7",
            context =>
            {
                asked++;
                return Refuse(context, 404);
            },
            isTrusted: false));
        AssertOneWarning("cannot be called: ");
        Assert.Equal(0, asked);
    }

    [Fact]
    public async Task APodStaysWhenNoServerIsThere()
    {
        await using ApiServer server = await ApiServer.StartAsync(context => Refuse(context, 404));
        Uri nobody = new("https://127.0.0.1:1");
        Assert.False(await new ScaleIn("my-flights", "my-flights-7", nobody, server.Account, Patience, _log).AskAsync());
        AssertOneWarning("the API server at https://127.0.0.1:1/ cannot be called: ");
    }

    [Fact]
    public async Task APodWithoutTheFilesOfItsAccountStays()
    {
        Assert.False(await new ScaleIn("my-flights", "my-flights-7", new("https://127.0.0.1:1"), Path.Combine(Path.GetTempPath(), Path.GetRandomFileName()), Patience, _log).AskAsync());
        AssertOneWarning("ca.crt");
    }

    [Fact]
    public async Task OutsideOfKubernetesAnInstanceStays()
    {
        Assert.False(await new ScaleIn("my-flights", "my-flights-7", null, "", Patience, _log).AskAsync());
        AssertOneWarning("KUBERNETES_SERVICE_HOST");
    }

    [Theory]
    [InlineData("other-1")]
    [InlineData("my-flights")]
    [InlineData("my-flights-")]
    [InlineData("my-flights--1")]
    [InlineData("my-flights-x")]
    [InlineData("my-flights-99999999999")]
    public async Task AnInstanceWhoseIdIsNoPodsOfTheStatefulSetStaysAndAsksNobody(string id)
    {
        Assert.False(await AskAsync(id, context => Refuse(context, 404)));
        AssertOneWarning("the id of a pod of it is my-flights-N.");
    }

    [Fact]
    public void WithoutAStatefulSetAndWithoutAnIdNobodyIsAsked()
    {
        using LoggerFactory logging = new();
        Assert.Null(ScaleIn.Question(null, new StreamOptions { InstanceId = "my-flights-0" }, logging));
        Assert.Null(ScaleIn.Question("my-flights", new StreamOptions(), logging));
    }

    private static Task Refuse(HttpContext context, int status)
    {
        context.Response.StatusCode = status;
        return context.Response.WriteAsync("""{"kind":"Status"}""");
    }

    /// <summary>Ends when the client has given up.</summary>
    private static Task Aborted(HttpContext context)
    {
        TaskCompletionSource gone = new(TaskCreationOptions.RunContinuationsAsynchronously);
        context.RequestAborted.Register(gone.SetResult);
        return gone.Task;
    }

    private async Task<bool> AskAsync(string pod, Func<HttpContext, Task> answer, TimeSpan? patience = null, bool isTrusted = true)
    {
        await using ApiServer server = await ApiServer.StartAsync(answer, isTrusted);
        return await new ScaleIn("my-flights", pod, server.Address, server.Account, patience ?? Patience, _log).AskAsync();
    }

    private void AssertOneWarning(string part)
    {
        string line = Assert.Single(_log.All);
        Assert.StartsWith("Warning 105: Whether StatefulSet my-flights keeps instance ", line, StringComparison.Ordinal);
        Assert.Contains(part, line, StringComparison.Ordinal);
        Assert.DoesNotContain(ApiServer.Token, line, StringComparison.Ordinal);
    }
}
