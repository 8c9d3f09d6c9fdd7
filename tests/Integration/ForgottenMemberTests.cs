using Microsoft.Extensions.Logging;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A member that the group has forgotten while it was about to join again, as a process that is paused there.</summary>
public sealed class ForgottenMemberTests(KafkaCluster cluster, ITestOutputHelper output) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly string _name = $"forgotten-{Guid.NewGuid().ToString("N")[..12]}";
    private readonly HeldJoin _join = new();
    private readonly List<IDisposable> _open = [];

    public void Dispose()
    {
        _join.Dispose();
        _open.Reverse();
        _open.ForEach(open => open.Dispose());
    }

    [Fact]
    public void ItComesBackWithNothingOfWhatItHad()
    {
        KafkaBroker calm = new(new KafkaOptions { BootstrapServers = cluster.Address });
        KafkaBroker held = new(new KafkaOptions { BootstrapServers = cluster.Address, Settings = new Dictionary<string, string> { ["debug"] = "cgrp" } }, _join);
        _open.AddRange([calm, held]);
        calm.CreateTopic(new TopicSpec(_name, 2, TopicCleanup.Keep));
        Owner sleeper = Join(held, "sleeper");
        Until("the first owns everything", () => sleeper.Owned.Count == 2, sleeper);
        GroupToken before = sleeper.Member.Token;

        _join.HoldTheNext();
        Owner heir = Join(calm, "heir");
        Until("the group goes on without the one that does not join", () => heir.Owned.Count == 2, sleeper, heir);
        bool hasForgotten = false;
        _join.Release();
        Until(
            "the two share",
            () =>
            {
                GroupToken token = sleeper.Member.Token;
                hasForgotten |= sleeper.Voided.IsSupersetOf([0, 1]);
                Assert.True(!token.IsMember || token == before || hasForgotten, $"a token of {token} for what it had under {before}");
                return sleeper.Owned.Count == 1 && heir.Owned.Count == 1;
            },
            sleeper,
            heir);

        Assert.DoesNotContain(sleeper.Events, told => told.Kind == GroupEventKind.Revoking);
        Assert.Equal([0, 1], sleeper.Events.Where(told => told.Kind == GroupEventKind.Lost).SelectMany(told => told.Partitions).Order());
    }

    private Owner Join(KafkaBroker broker, string instance)
    {
        Owner owner = new(broker, _name, instance);
        _open.Add(owner.Member);
        return owner;
    }

    /// <summary>Turns of all; at no moment have two of them a partition and a token that the broker takes.</summary>
    private void Until(string what, Func<bool> condition, params Owner[] owners)
    {
        long began = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(began) < Limit, $"Not within {Limit}: {what}.");
            foreach (Owner owner in owners)
            {
                if (owner.Turn() is { } told)
                {
                    output.WriteLine($"{owner.Instance}: {told.Kind} {string.Join(", ", told.Partitions)}");
                }
            }

            if (_join.IsHeld)
            {
                // The client answers no question then.
                continue;
            }

            GroupToken[] tokens = [.. owners.Select(owner => owner.Member.Token)];
            int newest = tokens.Max(token => token.Generation);
            int[] working = [.. owners.Where((_, i) => tokens[i].IsMember && tokens[i].Generation == newest).SelectMany(owner => owner.Working)];
            Assert.Equal(working.Distinct().Order(), working.Order());
        }
    }

    private sealed class Owner
    {
        public Owner(KafkaBroker broker, string topic, string instance)
        {
            Instance = instance;
            Member = broker.JoinGroup(new GroupOptions
            {
                Group = topic,
                Topic = topic,
                InstanceId = instance,
                SessionTimeout = TimeSpan.FromSeconds(6),
                Voided = partitions =>
                {
                    lock (Voided)
                    {
                        Voided.UnionWith(partitions);
                    }
                },
            });
        }

        public string Instance { get; }

        public GroupMember Member { get; }

        public HashSet<int> Owned { get; } = [];

        public HashSet<int> Voided { get; } = [];

        public List<GroupEvent> Events { get; } = [];

        /// <summary>What it would commit.</summary>
        public IEnumerable<int> Working => Owned.Except(Voided);

        public GroupEvent? Turn()
        {
            if (Member.Poll() is not { } told)
            {
                return null;
            }

            Events.Add(told);
            if (told.Kind == GroupEventKind.Assigned)
            {
                Owned.UnionWith(told.Partitions);
                lock (Voided)
                {
                    Voided.ExceptWith(told.Partitions);
                }
            }
            else
            {
                Owned.ExceptWith(told.Partitions);
                if (told.Kind == GroupEventKind.Revoking)
                {
                    Member.Release(told.Partitions);
                }
            }

            return told;
        }
    }

    /// <summary>Holds the client at the moment before it sends its request to join: it says so in its log, on the thread that sends.</summary>
    private sealed class HeldJoin : ILoggerFactory, ILogger
    {
        private readonly ManualResetEventSlim _released = new(initialState: true);

        public bool IsHeld => !_released.IsSet;

        public void HoldTheNext() => _released.Reset();

        public void Release() => _released.Set();

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (formatter(state, exception).Contains("Joining group", StringComparison.Ordinal))
            {
                _released.Wait(Limit);
            }
        }

        public bool IsEnabled(LogLevel logLevel) => true;

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public void Dispose() => Release();
    }
}
