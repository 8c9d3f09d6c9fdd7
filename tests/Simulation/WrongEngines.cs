namespace KStreamSharp.Tests.Simulations;

/// <summary>Engines with one step done wrongly. The simulator is worth what it finds in these.</summary>
internal static class WrongEngines
{
    public static IReadOnlyDictionary<string, WrongEngine> All { get; } = new SortedDictionary<string, WrongEngine>
    {
        ["a"] = new(new Wrong { Commit = (parts, membership, transaction) => new NoOwnershipCheck(parts, membership, transaction) }),
        ["b"] = new(new Wrong { Takeover = (parts, shard, number) => new StableEnd(parts, shard, number) }),
        ["c"] = new(new Wrong { Commit = (parts, membership, transaction) => new AppliedFirst(parts, membership, transaction) }),
        ["d"] = new(new Wrong { Commit = (parts, membership, transaction) => new MovedPositionsOnly(parts, membership, transaction) }),
        ["e"] = new(new Wrong { Takeover = (parts, shard, number) => new TombstonesForgotten(parts, shard, number) }),
        ["f"] = new(new Wrong { Takeover = (parts, shard, number) => new EndsForgotten(parts, shard, number) }),
        ["g"] = new(new Wrong { Series = (parts, shard, ownerEpoch) => new BlindCollector(parts, shard, ownerEpoch) }),
        ["h"] = new(EngineSteps.Default) { ForgetsPauses = true },
        ["i"] = new(new TurnsLeftOpen()),
        ["j"] = new(new PurgesOrEnds()),
        ["k"] = new(EngineSteps.Default) { Between = (broker, app) => new IdsOfTheChangelogHidden(broker, app) },
        ["l"] = new(new Wrong { Takeover = (parts, shard, number) => new IdsForgotten(parts, shard, number) }),
        ["m"] = new(EngineSteps.Default) { IsBlindInTurns = true },
        ["n"] = new(EngineSteps.Default) { Between = (broker, app) => new OtherApplicationsHidden(broker, app) },
        ["o"] = new(EngineSteps.Default) { Between = (broker, app) => new AnswersDropped(broker, app) },
    };

    private sealed class Wrong : EngineSteps
    {
        public Func<EngineParts, Membership, Transaction, Commit>? Commit { get; init; }

        public Func<InstanceContext, int, long, Takeover>? Takeover { get; init; }

        public Func<InstanceContext, int, long, SnapshotSeries>? Series { get; init; }

        public override SnapshotSeries NewSnapshotSeries(InstanceContext parts, int shard, long ownerEpoch) =>
            Series?.Invoke(parts, shard, ownerEpoch) ?? base.NewSnapshotSeries(parts, shard, ownerEpoch);

        public override Commit NewCommit(EngineParts parts, Membership membership, Transaction transaction) =>
            Commit?.Invoke(parts, membership, transaction) ?? base.NewCommit(parts, membership, transaction);

        public override Takeover NewTakeover(InstanceContext parts, int shard, long number) =>
            Takeover?.Invoke(parts, shard, number) ?? base.NewTakeover(parts, shard, number);
    }

    /// <summary>What a slice of the end of the input emitted waits in batches, over the commit.</summary>
    private sealed class TurnsLeftOpen : EngineSteps
    {
        public override bool EndsTurns => false;
    }

    /// <summary>Ends the instance when purged records cannot be deleted.</summary>
    private sealed class PurgesOrEnds : EngineSteps
    {
        public override void PurgeFailed(BrokerException error)
        {
            if (error.Consequence == Consequence.Stop)
            {
                throw new StreamException(ExitCode.Broker, error.Message, error);
            }
        }
    }

    /// <summary>Commit, step 3, without a look at the ownership numbers.</summary>
    private sealed class NoOwnershipCheck(EngineParts parts, Membership membership, Transaction transaction) : Commit(parts, membership, transaction)
    {
        protected override void CheckOwnership(Shard[] touched)
        {
        }
    }

    /// <summary>Takeover, step 2, takes the last stable offset for the end.</summary>
    private sealed class StableEnd(InstanceContext parts, int shard, long number) : Takeover(parts, shard, number)
    {
        private readonly Broker _broker = parts.Broker;
        private readonly TopicPartition _changelog = new(InternalTopics.Changelog(parts.App), shard);

        protected override long ChangelogEnd() => _broker.EndOffset(_changelog, committedOnly: true);
    }

    /// <summary>Commit, step 5 before step 4.</summary>
    private sealed class AppliedFirst(EngineParts parts, Membership membership, Transaction transaction) : Commit(parts, membership, transaction)
    {
        private readonly Broker _broker = parts.Broker;

        public override void Complete(Shard[] touched, Action<Shard> takeOverAgain)
        {
            SendPositions(touched);
            Apply(touched, shard => _broker.EndOffset(shard.Changelog, committedOnly: false), takeOverAgain);
            End();
            Count();
        }
    }

    /// <summary>Commit, step 3, without the positions of shards that did not move.</summary>
    private sealed class MovedPositionsOnly(EngineParts parts, Membership membership, Transaction transaction) : Commit(parts, membership, transaction)
    {
        protected override IReadOnlyList<KeyValuePair<TopicPartition, long>> Positions(Shard[] touched) =>
        [
            .. from shard in touched
               where shard.Sources.Any(source => source.Position != source.Committed)
               from source in shard.Sources
               select KeyValuePair.Create(source.Partition, source.Position),
        ];

        protected override void Send(IReadOnlyList<KeyValuePair<TopicPartition, long>> positions, GroupToken token)
        {
            if (positions.Count > 0)
            {
                base.Send(positions, token);
            }
        }
    }

    /// <summary>A local folder is used however old it is.</summary>
    private sealed class TombstonesForgotten(InstanceContext parts, int shard, long number) : Takeover(parts, shard, number)
    {
        protected override RestorePlan Plan(LocalState? local, IReadOnlyList<SnapshotEntry> snapshots, IReadOnlyDictionary<string, string> damaged, ChangelogState changelog) =>
            base.Plan(local is null ? null : local with { BrokerTime = long.MaxValue / 2 }, [.. snapshots.Select(entry => entry with { BrokerTime = long.MaxValue / 2 })], damaged, changelog);

        protected override string? UselessByNow(SnapshotEntry entry, ChangelogState changelog) => null;
    }

    /// <summary>The ends of upstream shards that have been seen are not kept with the commit.</summary>
    private sealed class EndsForgotten(InstanceContext parts, int shard, long number) : Takeover(parts, shard, number)
    {
        protected override RunProgress RunOf(CommitMarker? marker) => base.RunOf(marker) with { EndsSeen = new Dictionary<string, IReadOnlySet<int>>() };
    }

    /// <summary>Takeover, step 4, does not compare the ids in the marker.</summary>
    private sealed class IdsForgotten(InstanceContext parts, int shard, long number) : Takeover(parts, shard, number)
    {
        protected override IReadOnlyDictionary<string, Guid> IdsOf(CommitMarker? marker) => new Dictionary<string, Guid>();
    }

    /// <summary>Snapshot, step 5, deletes by name: what older owners wrote, whatever the kept manifests name.</summary>
    private sealed class BlindCollector(InstanceContext parts, int shard, long ownerEpoch) : SnapshotSeries(parts, shard, ownerEpoch)
    {
        protected override IEnumerable<string> Garbage(IReadOnlyList<SnapshotObject> objects, IReadOnlyList<SnapshotEntry> kept, IReadOnlyList<SnapshotManifest> manifests) =>
            objects.Select(stored => stored.Name).Where(name => Place.EpochOf(name, ChangelogId) < OwnerEpoch && !kept.Select(Place.Manifest).Contains(name));
    }
}

/// <summary>An engine with a fault.</summary>
/// <param name="Steps">What its commits, takeovers and snapshots are made of.</param>
internal sealed record WrongEngine(EngineSteps Steps)
{
    /// <summary>Its readers forget what they have paused, as Kafka's client does.</summary>
    public bool ForgetsPauses { get; init; }

    /// <summary>It does not look at the clock between two keys.</summary>
    public bool IsBlindInTurns { get; init; }

    /// <summary>What hides something of the broker from it, given the broker and the application.</summary>
    public Func<Broker, string, Broker> Between { get; init; } = (broker, _) => broker;
}
