using System.Globalization;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>One embedded broker, shared by threads and by members of a group.</summary>
public sealed class EmbeddedSharingTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private readonly ManualClock _clock = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task ThreadsThatProduceTransactAndReadAtOnceSeeEachWritersRecordsInOrder()
    {
        const int Writers = 4;
        const int Each = 2000;
        using EmbeddedBroker broker = EmbeddedBroker.Open(_folder.Path);
        TopicPartition partition = broker.Topic("topic");
        CancellationToken stop = TestContext.Current.CancellationToken;

        Task[] writing = [.. Enumerable.Range(0, Writers).Select(number => Task.Run(
            () =>
            {
                using EmbeddedWriter writer = broker.Writer($"w{number}");
                for (int i = 0; i < Each; i += 10)
                {
                    if (number == 0)
                    {
                        broker.Produce("topic", Enumerable.Range(i, 10).Select(value => new NewRecord([(byte)number], $"{value}".Utf8(), Partition: 0)));
                        continue;
                    }

                    // Every second transaction fails at first, and is done again.
                    foreach (bool commit in new[] { i % 20 == 0, true }.Distinct())
                    {
                        writer.Begin();
                        for (int value = i; value < i + 10; value++)
                        {
                            writer.Append(partition, new OutgoingRecord(1, [(byte)number], true, $"{value}".Utf8(), true, Headers.Empty));
                        }

                        if (commit)
                        {
                            writer.Commit();
                        }
                        else
                        {
                            writer.Abort();
                        }
                    }
                }
            },
            stop))];
        Task<List<int>[]>[] reading = [.. Enumerable.Range(0, 2).Select(_ => Task.Run(
            () =>
            {
                using Reader reader = broker.CreateReader(readCommitted: true);
                reader.Assign(partition, 0);
                List<int>[] seen = [.. Enumerable.Range(0, Writers).Select(_ => new List<int>())];
                while (seen.Sum(values => values.Count) < Writers * Each)
                {
                    stop.ThrowIfCancellationRequested();
                    if (reader.Read(partition, 97) is not { } batch)
                    {
                        reader.Wait(TimeSpan.FromSeconds(1));
                        continue;
                    }

                    for (int i = 0; i < batch.Count; i++)
                    {
                        seen[batch[i].Key[0]].Add(int.Parse(batch[i].Value, CultureInfo.InvariantCulture));
                    }
                }

                return seen;
            },
            stop))];

        await Task.WhenAll(writing).WaitAsync(Limit, stop);
        foreach (List<int>[] seen in await Task.WhenAll(reading).WaitAsync(Limit, stop))
        {
            Assert.All(seen, values => Assert.Equal(Enumerable.Range(0, Each), values));
        }
    }

    [Fact]
    public void AMemberThatIsSilentForItsSessionLosesEverythingWhenAnyoneLooks()
    {
        using EmbeddedBroker broker = EmbeddedBroker.InMemory(time: _clock);
        broker.CreateTopic("topic", 4);
        List<int> voided = [];
        using GroupMember silent = Join(broker, "silent", voided.AddRange);
        Assert.Equal([0, 1, 2, 3], silent.Poll()!.Partitions);
        GroupToken token = silent.Token;

        _clock.Advance(TimeSpan.FromSeconds(15));
        broker.EndOffset(new("topic", 0), committedOnly: true);

        Assert.Equal([0, 1, 2, 3], voided.Order());
        Assert.False(silent.Token.IsMember);
        EmbeddedWriter writer = broker.Writer("w");
        writer.Begin();
        Assert.Equal(
            Consequence.LostMembership,
            Assert.Throws<BrokerException>(() => writer.SendOffsets("group", [new(new("topic", 0), 1)], token)).Consequence);
        GroupEvent lost = silent.Poll()!;
        Assert.Equal(GroupEventKind.Lost, lost.Kind);
        Assert.Equal([0, 1, 2, 3], lost.Partitions);
        Assert.Equal(GroupEventKind.Assigned, silent.Poll()!.Kind);
    }

    [Fact]
    public void AStaticMemberThatDiedKeepsItsPartitionsUntilItsSessionIsOver()
    {
        using EmbeddedBroker broker = EmbeddedBroker.InMemory(time: _clock);
        broker.CreateTopic("topic", 4);
        GroupMember dead = Join(broker, "dead");
        using GroupMember alive = Join(broker, "alive");
        dead.Poll();
        alive.Poll();
        GroupEvent revoking = dead.Poll()!;
        Assert.Equal(GroupEventKind.Revoking, revoking.Kind);
        dead.Release(revoking.Partitions);
        Assert.Equal(2, alive.Poll()!.Partitions.Count);
        dead.Dispose();

        _clock.Advance(TimeSpan.FromSeconds(14));
        Assert.Null(alive.Poll());
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(2, alive.Poll()!.Partitions.Count);
    }

    [Fact]
    public void AMemberWhoseInstanceIdIsTakenIsToldThatItsPartitionsAreVoidBeforeTheOtherHasThem()
    {
        using EmbeddedBroker broker = EmbeddedBroker.InMemory(time: _clock);
        broker.CreateTopic("topic", 2);
        List<int> voided = [];
        using GroupMember former = Join(broker, "same", voided.AddRange);
        former.Poll();
        GroupToken token = former.Token;
        using GroupMember latter = Join(broker, "same");

        Assert.Equal([0, 1], latter.Poll()!.Partitions);
        Assert.Equal([0, 1], voided.Order());
        Assert.False(former.Token.IsMember);
        Assert.NotEqual(token.MemberId, latter.Token.MemberId);
        Assert.Equal(token.Generation, latter.Token.Generation);
        Assert.Equal(Consequence.Stop, Assert.Throws<BrokerException>(() => former.Poll()).Consequence);
    }

    [Fact]
    public void ALateReleaseGivesNothingAwayThatHasComeBack()
    {
        using EmbeddedBroker broker = EmbeddedBroker.InMemory(time: _clock);
        broker.CreateTopic("topic", 2);
        using GroupMember slow = Join(broker, null);
        slow.Poll();
        GroupMember passing = Join(broker, null);
        passing.Poll();
        GroupEvent revoking = slow.Poll()!;
        _clock.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(revoking.Partitions, passing.Poll()!.Partitions);
        passing.Leave();
        Assert.Equal(GroupEventKind.Lost, slow.Poll()!.Kind);
        GroupEvent again = slow.Poll()!;
        Assert.Equal(GroupEventKind.Assigned, again.Kind);
        Assert.Equal(revoking.Partitions, again.Partitions);
        int generation = slow.Token.Generation;

        slow.Release(revoking.Partitions);

        Assert.Null(slow.Poll());
        Assert.Equal(generation, slow.Token.Generation);
    }

    [Fact]
    public void AGroupOfATopicThatDoesNotExistIsRefused()
    {
        using EmbeddedBroker broker = EmbeddedBroker.InMemory();

        BrokerException error = Assert.Throws<BrokerException>(() => Join(broker, null));
        Assert.Equal(Consequence.Stop, error.Consequence);
        Assert.Contains("'topic'", error.Message, StringComparison.Ordinal);
    }

    private static GroupMember Join(EmbeddedBroker broker, string? instance, Action<IReadOnlyList<int>>? voided = null) =>
        broker.JoinGroup(new GroupOptions { Group = "group", Topic = "topic", InstanceId = instance, Voided = voided ?? (_ => { }) });
}
