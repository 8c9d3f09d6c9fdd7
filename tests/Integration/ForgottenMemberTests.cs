using Microsoft.Extensions.Logging;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A member that the group has forgotten while it was about to join again, as a process that is paused there.</summary>
[Needs<KafkaCluster>]
public sealed class ForgottenMemberTests(KafkaCluster cluster, ITestOutputHelper output) : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly string _name = $"forgotten-{Guid.NewGuid().ToString("N")[..12]}";
    private readonly HeldClient _join = new("Joining group");
    private readonly HeldClient _sharing = new("assignor run for");
    private readonly List<IDisposable> _open = [];

    public void Dispose()
    {
        _join.Dispose();
        _sharing.Dispose();
        _open.Reverse();
        _open.ForEach(open => open.Dispose());
    }

    [Fact]
    public void ItComesBackWithNothingOfWhatItHad()
    {
        (Owner sleeper, Owner heir, GroupToken before) = Forget();
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

    /// <summary>Its leave has to wait for the group's answer to its false claims, which the leader gives late.</summary>
    [Fact]
    public void ItGetsItsShareAlsoWhenTheGroupAnswersLate()
    {
        (Owner sleeper, Owner heir, _) = Forget();
        _sharing.HoldTheNext();
        _join.Release();
        Until("it has lost what it had", () => sleeper.Owned.Count == 0, sleeper, heir);
        long began = TimeProvider.System.GetTimestamp();
        Until("longer than any patience of the client", () => TimeProvider.System.GetElapsedTime(began) > TimeSpan.FromSeconds(7), sleeper, heir);
        _sharing.Release();

        Until("the two share", () => sleeper.Owned.Count == 1 && heir.Owned.Count == 1, sleeper, heir);
    }

    /// <summary>Stops a member that has both partitions at the moment before it joins again, until the group goes on without it.</summary>
    private (Owner Sleeper, Owner Heir, GroupToken Before) Forget()
    {
        Dictionary<string, string> talks = new() { ["debug"] = "cgrp" };
        KafkaBroker one = new(new KafkaOptions { BootstrapServers = cluster.Address, Settings = talks }, _join);
        KafkaBroker other = new(new KafkaOptions { BootstrapServers = cluster.Address, Settings = talks }, _sharing);
        _open.AddRange([one, other]);
        one.CreateTopic(new TopicSpec(_name, 2, TopicCleanup.Keep));
        Owner sleeper = Join(one, "sleeper", TimeSpan.FromSeconds(6));
        Until("the first owns everything", () => sleeper.Owned.Count == 2, sleeper);
        GroupToken before = sleeper.Member.Token;

        _join.HoldTheNext();
        Owner heir = Join(other, "heir", TimeSpan.FromSeconds(20));
        Until("the group goes on without the one that does not join", () => heir.Owned.Count == 2, sleeper, heir);
        return (sleeper, heir, before);
    }

    private Owner Join(KafkaBroker broker, string instance, TimeSpan session)
    {
        Owner owner = new(broker, _name, instance, session);
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
            _join.Talked.WaitOne(TimeSpan.FromMilliseconds(10));
            foreach (Owner owner in owners)
            {
                if (owner.Turn() is { } told)
                {
                    output.WriteLine($"{owner.Instance}: {told.Kind} {string.Join(", ", told.Partitions)}");
                }
            }

            if (_join.IsHeld || _sharing.IsHeld)
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
        public Owner(KafkaBroker broker, string topic, string instance, TimeSpan session)
        {
            Instance = instance;
            Member = broker.JoinGroup(new GroupOptions
            {
                Group = topic,
                Topic = topic,
                InstanceId = instance,
                SessionTimeout = session,
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

    /// <summary>Holds a client where it says something in its log: it does so on the thread that sends its requests.</summary>
    private sealed class HeldClient(string says) : ILoggerFactory, ILogger
    {
        private readonly ManualResetEventSlim _released = new(initialState: true);

        /// <summary>Set when the client says anything, which it does whenever something happens to it.</summary>
        public AutoResetEvent Talked { get; } = new(initialState: false);

        public bool IsHeld => !_released.IsSet;

        public void HoldTheNext() => _released.Reset();

        public void Release() => _released.Set();

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            Talked.Set();
            if (formatter(state, exception).Contains(says, StringComparison.Ordinal))
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
