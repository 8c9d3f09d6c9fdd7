using Xunit;

namespace KStreamSharp.Tests.Runtime;

/// <summary>
/// Instances start, stop, crash, sleep and wake at random, answers get lost, markers come late, folders get lost or are put
/// back from a copy, versions of the flow and numbers of workers change, finite runs follow each other: each effect happens
/// once all the same.
/// </summary>
public class RandomScheduleTests
{
    /// <summary>KSTREAM_SEED: one seed (<c>17</c>) or a range (<c>100-2000</c>).</summary>
    public static TheoryData<int> Seeds
    {
        get
        {
            int[] range = [.. (Environment.GetEnvironmentVariable("KSTREAM_SEED") ?? "0-59").Split('-').Select(int.Parse)];
            return [.. Enumerable.Range(range[0], range[^1] - range[0] + 1)];
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void NothingIsLostOrDoubledWhateverHappens(int seed) => new Schedule(seed).Run();

    private sealed class Schedule(int seed)
    {
        private readonly Random _random = new(seed);
        private readonly LedgerFlow _ledger = new();
        private readonly LedgerFlow _other = new(withExtra: true);
        private readonly HashSet<Cluster.Member> _asleep = [];
        private readonly List<TopicPartition> _held = [];
        private readonly Dictionary<Cluster.Member, string> _copies = [];
        private readonly bool _evictAlways = seed % 3 == 1;
        private readonly bool _atLeastOnce = seed % 6 == 5;
        private readonly int _runs = 1 + (seed % 4 == 3 ? 2 : 0);
        private int _pushed;
        private bool _ending;

        public void Run()
        {
            using Cluster cluster = new(_other.Flow, shards: 1 + _random.Next(4), _atLeastOnce ? Guarantee.AtLeastOnce : Guarantee.ExactlyOnce);
            cluster.Flow = _ledger.Flow;
            cluster.Adjust = options => options with { EvictAlways = _evictAlways, Workers = 1 + _random.Next(3) };
            cluster.Add("a");
            for (int run = 1; run <= _runs; run++)
            {
                cluster.GoOn();
                _ending = false;
                Reopen(cluster);
                int turns = 220 / _runs;
                int endAt = seed % 2 == 0 ? turns : turns / 2;
                Disturb(cluster);
                for (int i = 0; i < turns; i++)
                {
                    if (i == endAt)
                    {
                        // The finite run begins in the midst of it all.
                        cluster.End();
                        _ending = true;
                    }

                    Turn(cluster);
                }

                Settle(cluster);
                cluster.End();
                UntilAllHaveLeft(cluster);

                // What came while a run was under way belongs to the next one.
                Reopen(cluster);
                UntilAllHaveLeft(cluster);
                _ledger.AssertExact(cluster, ended: true, once: !_atLeastOnce);
            }
        }

        private void Disturb(Cluster cluster)
        {
            cluster.StopsAt = (_, _) => _random.Next(400) == 0;
            cluster.Broker.WriterFaults = (_, call, done) => Fault(call, done);
        }

        private void Settle(Cluster cluster)
        {
            cluster.StopsAt = (_, _) => false;
            cluster.Broker.WriterFaults = null;
            _held.ForEach(cluster.Broker.ReleaseMarkers);
            _held.Clear();
            _asleep.Clear();
            Reopen(cluster);
        }

        private static void UntilAllHaveLeft(Cluster cluster) => cluster.Until(
            () =>
            {
                cluster.Members.FindAll(member => member.IsDone).ForEach(member => member.Stop());
                return cluster.Members.TrueForAll(member => !member.IsUp);
            },
            "the run is done, and all have left");

        private static void Reopen(Cluster cluster) => cluster.Members.Where(member => !member.IsUp).ToList().ForEach(member => member.Open());

        private void Turn(Cluster cluster)
        {
            Happen(cluster);
            foreach (Cluster.Member member in cluster.Members.Where(member => !_asleep.Contains(member)))
            {
                TurnPart(member);
                if (_ending && member.IsDone && _random.Next(10) == 0)
                {
                    member.Stop();
                }
            }

            cluster.Clock.Advance(TimeSpan.FromMilliseconds(_random.Next(80)));
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
            switch (_random.Next(62))
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
                    ChangeFolder(member);
                    cluster.Flow = _random.Next(2) == 0 ? _ledger.Flow : _other.Flow;
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
                case 39 when _random.Next(5) == 0:
                    // So long that tombstones go: who was away must not bring deleted keys back.
                    cluster.Clock.Advance(TimeSpan.FromDays(6 + _random.Next(3)));
                    cluster.Broker.Compact();
                    break;
                default:
                    break;
            }
        }

        private void ChangeFolder(Cluster.Member member)
        {
            switch (_random.Next(8))
            {
                case 0 or 1:
                    member.LoseFolder();
                    break;
                case 2 or 3:
                    _copies[member] = member.CopyFolder();
                    break;
                case 4 or 5 when _copies.TryGetValue(member, out string? copy):
                    member.PutBack(copy);
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
