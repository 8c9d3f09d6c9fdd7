using KStreamSharp.Hosting;
using Xunit;

namespace KStreamSharp.Tests.Hosting;

public class MemoryBudgetTests
{
    private const long Gib = 1L << 30;

    [Fact]
    public void TheBudgetOfAPodIsToldInALine()
    {
        MemoryBudget budget = MemoryBudget.Of(Gib, Gib / 2, new StreamOptions { Workers = 1 }, usesKafka: true, processors: 64);

        Assert.Equal("Memory: 1024 MiB for the container: .NET heap up to 512, block cache 64, write buffers 64, queues to Kafka 96 (1 worker), code and the rest about 128", budget.Line);
        Assert.Null(budget.Warning);
    }

    [Fact]
    public void WhatDoesNotFitIsSaidWithTheWaysOut()
    {
        MemoryBudget budget = MemoryBudget.Of(Gib, Gib * 3 / 4, new StreamOptions(), usesKafka: true, processors: 64);

        Assert.Contains("(64 workers)", budget.Line, StringComparison.Ordinal);
        Assert.StartsWith("These add up to 7168 MiB, more than the limit", budget.Warning, StringComparison.Ordinal);
        Assert.Contains("--workers", budget.Warning, StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutKafkaThereAreNoQueuesAndWorkersAreNoMoreThanShards()
    {
        MemoryBudget budget = MemoryBudget.Of(Gib, Gib / 2, new StreamOptions { Shards = 4 }, usesKafka: false, processors: 8);

        Assert.Equal((0, 4), (budget.Queues, budget.Workers));
        Assert.DoesNotContain("Kafka", budget.Line, StringComparison.Ordinal);
    }
}
