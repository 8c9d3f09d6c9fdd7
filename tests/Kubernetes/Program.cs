using System.Globalization;
using KStreamSharp.Tests.Kubernetes;

if (Environment.GetEnvironmentVariable("KSTREAM_KUBERNETES") != "1")
{
    Console.WriteLine("Skipped: it needs Docker and a Kubernetes cluster. Set KSTREAM_KUBERNETES=1 to run it.");
    return 0;
}

string root = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../../../.."));
string work = Directory.CreateTempSubdirectory("kstream-kubernetes-").FullName;
List<Step> steps = [];
string? failure = null;
try
{
    await using Cluster cluster = await Cluster.UpAsync(root, work);
    await using SlowStore? store = cluster.IsHere ? await SlowStore.StartAsync(ChartTest.Bucket) : null;
    if (store is null)
    {
        Console.WriteLine("Without snapshots: they need a cluster that reaches this machine, and versitygw on the PATH or named by KSTREAM_VERSITYGW.");
    }

    try
    {
        await new ChartTest(cluster, root, steps, store).RunAsync();
    }
    catch (Exception error)
    {
        // What the pods said is gone with the cluster.
        failure = error is InvalidOperationException ? error.Message : error.ToString();
        Console.Error.WriteLine((await cluster.TryKubectlAsync("get", "pods,pvc", "-o", "wide")).Output);
        Console.Error.WriteLine((await cluster.TryKubectlAsync("logs", "-l", "app.kubernetes.io/name=kstreamsharp", "--prefix", "--tail=40")).Output);
        foreach (string pod in (await cluster.TryKubectlAsync("get", "pods", "-l", "app.kubernetes.io/name=kstreamsharp", "-o", "name")).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string name = pod[(pod.IndexOf('/', StringComparison.Ordinal) + 1)..];
            Console.Error.WriteLine($"{name}: {(await new Pods(cluster).AskAsync(name, "status")).Output}");
        }
    }
}
finally
{
    Directory.Delete(work, recursive: true);
}

Console.WriteLine($"\n{"step",-44} {"ready after",12} {"inputs",9} {"outputs",9} {"lost",5} {"doubled",8}");
foreach (Step step in steps)
{
    string ready = step.Ready is { } time ? string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.0} s") : "";
    Console.WriteLine(step.Counts is { } counts
        ? string.Create(CultureInfo.InvariantCulture, $"{step.What,-44} {ready,12} {counts.Inputs,9} {counts.Outputs,9} {counts.Lost,5} {counts.Doubled,8}")
        : $"{step.What,-44} {ready,12}{(step.Fails ? "  FAILED" : "")}");
}

if (failure is not null)
{
    Console.Error.WriteLine(failure);
}

int failed = steps.Count(step => step.Fails) + (failure is null ? 0 : 1);
Console.WriteLine($"{steps.Count(step => !step.Fails)} passed, {failed} failed");
return failed == 0 ? 0 : 1;
