using KStreamSharp.Testing;

namespace KStreamSharp.Tests.Operators;

/// <summary>What the tests of operators read of a driver.</summary>
internal static class DriverReading
{
    /// <summary>The committed keys and values of a topic.</summary>
    public static IReadOnlyList<(TKey Key, TValue Value)> Pairs<TKey, TValue>(this FlowDriver driver, KeyedTopic<TKey, TValue> topic) =>
        [.. driver.Outputs(topic).Select(record => (record.Key, record.Value))];
}
