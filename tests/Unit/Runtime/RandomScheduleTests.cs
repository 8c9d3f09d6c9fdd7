using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>Instances start, stop, crash, sleep and wake at random, answers get lost, markers come late: each effect happens once all the same.</summary>
public class RandomScheduleTests
{
    public static TheoryData<int> Seeds => [.. Environment.GetEnvironmentVariable("KSTREAM_SEED") is { } seed ? [int.Parse(seed)] : Enumerable.Range(0, 60)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void NothingIsLostOrDoubledWhateverHappens(int seed) => new Schedule(seed).Run();

    private sealed class Schedule(int seed)
    {
        private readonly Random _random = new(seed);
        private readonly LedgerFlow _ledger = new();
        private readonly HashSet<Cluster.Member> _asleep = [];
        private readonly List<TopicPartition> _held = [];
        private int _pushed;

        public void Run()
        {
            using Cluster cluster = new(_ledger.Flow, shards: 1 + _random.Next(4));
            cluster.Add("a");
            cluster.StopsAt = (_, _) => _random.Next(400) == 0;
            cluster.Broker.WriterFaults = (_, call, done) => Fault(call, done);
            for (int i = 0; i < 220; i++)
            {
                Happen(cluster);
                foreach (Cluster.Member member in cluster.Members)
                {
                    if (!_asleep.Contains(member))
                    {
                        TurnPart(member);
                    }
                }

                cluster.Clock.Advance(TimeSpan.FromMilliseconds(_random.Next(80)));
            }

            cluster.StopsAt = (_, _) => false;
            cluster.Broker.WriterFaults = null;
            _held.ForEach(cluster.Broker.ReleaseMarkers);
            foreach (Cluster.Member member in cluster.Members.Where(member => !member.IsUp))
            {
                member.Open();
            }

            cluster.End();
            cluster.Until(() => cluster.Members.TrueForAll(member => member.IsDone), "the run is done");
            _ledger.AssertExact(cluster, ended: true);
        }

        private void TurnPart(Cluster.Member member)
        {
            switch (_random.Next(3))
            {
                case 0:
                    member.Do(instance => instance.StepMembership());
                    break;
                case 1:
                    member.Do(instance => instance.Restorer.Step());
                    break;
                default:
                    member.Turn();
                    break;
            }
        }

        private void Happen(Cluster cluster)
        {
            Cluster.Member member = cluster.Members[_random.Next(cluster.Members.Count)];
            switch (_random.Next(60))
            {
                case < 20:
                    _ledger.Push(cluster, $"{(char)('a' + _random.Next(4))}{_random.Next(6)}", _pushed++);
                    break;
                case 20 when cluster.Members.Count < 3:
                    cluster.Add($"{(char)('a' + cluster.Members.Count)}");
                    break;
                case 21 when member.IsUp && !_asleep.Contains(member):
                    member.Stop();
                    break;
                case 22 when member.IsUp:
                    member.Crash();
                    _asleep.Remove(member);
                    break;
                case < 28 when !member.IsUp:
                    if (_random.Next(3) == 0)
                    {
                        member.LoseFolder();
                    }

                    member.Open();
                    break;
                case 28:
                    _asleep.Add(member);
                    break;
                case < 33:
                    _asleep.Remove(member);
                    break;
                case 33:
                    cluster.Clock.Advance(TimeSpan.FromMilliseconds(_random.Next(3000)));
                    break;
                case 34:
                    Hold(cluster, new TopicPartition(Pick("counts", "entries", "ledger-changelog", "ledger-shards", "ledger-sum.repartition"), _random.Next(cluster.Shards)));
                    break;
                case < 38 when _held.Count > 0:
                    cluster.Broker.ReleaseMarkers(_held[^1]);
                    _held.RemoveAt(_held.Count - 1);
                    break;
                case 38:
                    cluster.Broker.Compact();
                    break;
                default:
                    break;
            }
        }

        private void Hold(Cluster cluster, TopicPartition partition)
        {
            cluster.Broker.HoldMarkers(partition);
            _held.Add(partition);
        }

        private string Pick(params string[] among) => among[_random.Next(among.Length)];

        /// <summary>A call fails, before or after it was carried out.</summary>
        private void Fault(string call, bool done)
        {
            if (_random.Next(call == "Append" ? 400 : 40) != 0)
            {
                return;
            }

            throw (call, done, _random.Next(2)) switch
            {
                ("Commit", _, 0) => new BrokerException(Consequence.Retry, "the answer was lost"),
                ("Commit", _, _) => new BrokerException(Consequence.NewWriter, "the end is in doubt"),
                (_, _, 0) => new BrokerException(Consequence.Abort, "the call failed"),
                _ => new BrokerException(Consequence.LostMembership, "the group does not know this member"),
            };
        }
    }
}
