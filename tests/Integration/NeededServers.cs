using System.Reflection;
using Xunit;
using Xunit.Sdk;
using Xunit.v3;

[assembly: TestFramework(typeof(KStreamSharp.Tests.NeededServers))]

namespace KStreamSharp.Tests;

/// <summary>A server that tests need and a machine may not have.</summary>
public interface IServer
{
    /// <summary>Whether tests are to fail without it.</summary>
    static abstract bool IsRequired { get; }

    /// <summary>Why it cannot be had, and what would mend that; null when it is there.</summary>
    static abstract Task<string?> WhyMissing();
}

/// <summary>What <see cref="NeedsAttribute{T}"/> says, whatever the server.</summary>
internal interface INeed
{
    Task<string?> WhyLeftOut();
}

/// <summary>The tests of the class, or the test, need a server: where it is missing they are left out, unless it is required.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method, AllowMultiple = true)]
internal sealed class NeedsAttribute<T> : Attribute, INeed
    where T : IServer
{
    public Task<string?> WhyLeftOut() => T.IsRequired ? Task.FromResult<string?>(null) : T.WhyMissing();
}

/// <summary>Runs the tests whose servers are there. Those left out for one reason are told as one skipped test with their number.</summary>
public sealed class NeededServers : XunitTestFramework
{
    protected override ITestFrameworkExecutor CreateExecutor(Assembly assembly) => new Executor(new XunitTestAssembly(assembly, configFilePath: null));

    private sealed class Executor(XunitTestAssembly assembly) : XunitTestFrameworkExecutor(assembly)
    {
        private readonly string _project = assembly.Assembly.GetName().Name!;
        private readonly Dictionary<Type, Task<string?>> _reasons = [];

        public override async ValueTask RunTestCases(
            IReadOnlyCollection<IXunitTestCase> testCases, IMessageSink executionMessageSink, ITestFrameworkExecutionOptions executionOptions, CancellationToken cancellationToken)
        {
            List<IXunitTestCase> run = [];
            Dictionary<string, List<IXunitTestCase>> leftOut = [];
            foreach (IXunitTestCase test in testCases)
            {
                if (await WhyLeftOut(test) is not { } reason)
                {
                    run.Add(test);
                }
                else if (!leftOut.TryAdd(reason, [test]))
                {
                    leftOut[reason].Add(test);
                }
            }

            run.AddRange(leftOut.Select(group => new XunitTestCase(
                group.Value[0].TestMethod, $"{group.Value.Count} tests of {_project}", group.Value[0].UniqueID, @explicit: false, skipReason: group.Key)));
            await base.RunTestCases(run, executionMessageSink, executionOptions, cancellationToken);
        }

        private async Task<string?> WhyLeftOut(IXunitTestCase test)
        {
            foreach (INeed need in test.TestMethod.TestClass.Class.GetCustomAttributes().Concat(test.TestMethod.Method.GetCustomAttributes()).OfType<INeed>())
            {
                if (!_reasons.TryGetValue(need.GetType(), out Task<string?>? reason))
                {
                    _reasons.Add(need.GetType(), reason = need.WhyLeftOut());
                }

                if (await reason is { } why)
                {
                    return why;
                }
            }

            return null;
        }
    }
}
